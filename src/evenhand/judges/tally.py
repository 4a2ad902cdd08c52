"""Counts of right and wrong things in a verdict's reason, written so that they can be read again.

A reason begins with its tallies, ``state 2/3 +1``: two of three right, and one besides. What a model wrote stands
behind them and is never read as one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evenhand.embodied.counts import Counts

_TALLY = re.compile(r"([\w-]+(?: [\w-]+)*) (\d+)/(\d+)(?: \+(\d+))?")
_BETWEEN = "; "


def with_tallies(counts: Mapping[str, Counts], *why: str) -> str:
    """A reason: what was counted, of each kind that had something to count, and what else there is to say."""
    tallies = [
        f"{kind} {found.right}/{found.right + found.missing}" + (f" +{found.extra}" if found.extra else "")
        for kind, found in counts.items()
        if found != Counts()
    ]
    return _BETWEEN.join([*tallies, *why])


def tallies_in(reason: str) -> dict[str, Counts]:
    """The counts that a reason begins with, by kind."""
    found: dict[str, Counts] = {}
    for part in reason.split(_BETWEEN):
        tally = _TALLY.fullmatch(part)
        if tally is None or tally[1] in found:
            break
        right, wanted = int(tally[2]), int(tally[3])
        found[tally[1]] = Counts(right, int(tally[4] or 0), wanted - right)
    return found

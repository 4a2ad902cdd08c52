"""Who lags: which identity, and which suite, has fewer answers than the others, of what it is asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

Cells = tuple[str, str]


class Lag(NamedTuple):
    """An identity or a suite, and how many answers it is behind the one in front, for as many trials as it has."""

    name: str
    trials: int


class Pace:
    """How far each identity and each suite is.

    Identities are asked together, item by item, and suites in step. So nobody lags but for calls that fail or are slow
    for some, or because a study goes on with more of them than before. What is in flight is no lag.

    Args:
        planned: (suite, identity) -> trials.
        done: (suite, identity) -> how many of them are answered.
        begun: how many trials may be begun and not ended while nobody lags: those of an item, and the calls in flight.
    """

    def __init__(self, planned: Mapping[Cells, int], done: Mapping[Cells, int], begun: int) -> None:
        self._planned = [_totals(planned, place) for place in (1, 0)]
        self._done = [_totals(done, place) for place in (1, 0)]
        # All that is begun may be of one suite; of an identity, its share is.
        self._usual = (math.ceil(begun / max(len(self._planned[0]), 1)), begun)

    def answered(self, suite: str, identity: str) -> None:
        """Count an answer."""
        self._done[0][identity] += 1
        self._done[1][suite] += 1

    def lags(self) -> tuple[Lag, ...]:
        """The identity and the suite furthest behind, those of the two that are more than what is in flight behind."""
        found = []
        for planned, done, usual in zip(self._planned, self._done, self._usual, strict=True):
            shares = {name: done[name] / n for name, n in planned.items() if n}
            front = max(shares.values(), default=0.0)
            behind = {name: (front - share) * planned[name] for name, share in shares.items()}
            name = max(behind, key=lambda who: behind[who], default="")
            if name and behind[name] > usual:
                found.append(Lag(name, round(behind[name])))
        return tuple(found)


def _totals(counts: Mapping[Cells, int], place: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for cell, n in counts.items():
        found[cell[place]] += n
    return found

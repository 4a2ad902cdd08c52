"""Short names for suites, told apart among those of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evenhand.analysis import Analysis

_LONGEST = 26


def short_names(suites: Sequence[str]) -> dict[str, str]:
    """Suite -> a name that fits beside a chart; what would not tell two of them apart stays as it is.

    "starter-utility:knowledge+logprobs" is "starter-utility knowledge", where no other suite is called so.
    """
    names = {suite: _short(suite) for suite in suites}
    met = Counter(names.values())
    return {suite: name if met[name] == 1 else suite for suite, name in names.items()}


def _short(suite: str) -> str:
    name, _, variants = suite.partition(":")
    kept = [variant for variant in variants.split("+") if variant and variant != "logprobs"]
    told = " ".join([name.rpartition("/")[2], *kept])
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1].rstrip()}…"


def named(suite: str, names: Mapping[str, str]) -> str:
    """The short name of a suite, or itself."""
    return names.get(suite, suite)


def several(analysis: Analysis) -> bool:
    """Whether an axis has more than one suite, so that suites say more than their axis."""
    return max(Counter(suite.axis for suite in analysis.suites).values(), default=0) > 1

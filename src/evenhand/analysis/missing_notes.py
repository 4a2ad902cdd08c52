"""What is missing, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evenhand.analysis.bias import PBEstimate
from evenhand.analysis.bounds import Bounds
from evenhand.analysis.missing import (
    FAILED,
    FILTERED,
    MISSING,
    Difference,
    Missing,
    Share,
    SuiteMissing,
    unanswered_sentence,
)
from evenhand.types import BASELINE_CATEGORY

_ERROR_CHARS = 90


def missing_notes(missing: Missing, pb: Mapping[str, PBEstimate | None]) -> tuple[list[str], list[str]]:
    """What must be said before anything else, and what may be said behind it.

    Args:
        missing: what the study lacks.
        pb: estimates from the answers that are there.
    """
    first = [unanswered_sentence(s.suite, s.unanswered, s.responses) for s in missing.suites if s.is_mostly_unanswered]
    differing = [text for s in missing.suites for text in _differing(s)]
    between = [_between(missing.bounds, pb)] if missing.bounds else []
    filtered = [text for s in missing.suites for text in _filtered(s)]
    if differing:
        return [*first, *differing, *between, *filtered], []
    alike = [text for s in missing.suites for text in _alike(s)]
    return [*first, *filtered], [*alike, *between]


def missing_words(counts: Mapping[str, int], reason: str = "") -> str:
    """Classes with their numbers: "51 failed: HTTP 400; 2 empty"."""
    said = f": {reason[:_ERROR_CHARS].rstrip('. ')}" if reason else ""
    return "; ".join(f"{n:,} {name}{said if name == FAILED else ''}" for name, n in counts.items() if name != FILTERED)


def _differing(suite: SuiteMissing) -> list[str]:
    tests = [d for d in suite.differences if d.differs and d.name != FILTERED]
    if not tests:
        return []
    # Altogether where that differs, else the classes that do.
    tests = [d for d in tests if d.name == MISSING] or tests
    return [_difference(suite, d) for d in tests]


def _difference(suite: SuiteMissing, test: Difference) -> str:
    people = _people(suite)
    what = "missing" if test.name in (MISSING, FILTERED) else f"missing ({test.name})"
    if not test.more:
        ranked = sorted(people, key=lambda s: _count(s, test.name) / s.asked)
        ends = " to ".join(f"{_count(s, test.name) / s.asked:.0%} for {s.identity}" for s in (ranked[0], ranked[-1]))
        return f"Answers to {suite.suite} are not {what} alike for all: from {ends} (p {_p(test)})."
    named = [s for s in people if s.identity in test.more]
    rest = [s for s in people if s.identity not in test.more]
    why = missing_words(_sum(named), next((s.reason for s in named if s.reason), ""))
    names = _listed([s.identity for s in named])
    return (
        f"For {names} {_of(named, test.name)} answers to {suite.suite} are {what} ({why}), for the others "
        f"{_of(rest, test.name)} (p {_p(test)}): what is said of {names} rests on the other answers."
    )


def _filtered(suite: SuiteMissing) -> list[str]:
    test = suite.difference(FILTERED)
    if test is None:
        return []
    people = _people(suite)
    named = [s for s in people if s.identity in test.more] if test.differs else []
    rest = [s for s in people if s not in named]
    if not named:
        said = f"{_of(people, FILTERED)} answers to {suite.suite}"
        alike = "not alike for all" if test.differs else "no more for one identity than for others"
        return [f"The provider's filter declined {said}, {alike} (p {_p(test)}); they are scored as refusals."]
    return [
        f"For {_listed([s.identity for s in named])} the provider's filter declined {_of(named, FILTERED)} answers to "
        f"{suite.suite}, for the others {_of(rest, FILTERED)} (p {_p(test)}); they are scored as refusals."
    ]


def _alike(suite: SuiteMissing) -> list[str]:
    test, people = suite.difference(MISSING), _people(suite)
    if test is None or not any(s.missing for s in people):
        return []
    why = missing_words(_sum(people), next((s.reason for s in people if s.reason), ""))
    tested = f"; no more for one identity than for others (p {_p(test)})" if test.p_value == test.p_value else ""
    return [f"{_of(people, MISSING)} answers to {suite.suite} are missing ({why}){tested}."]


def _between(bounds: Bounds, pb: Mapping[str, PBEstimate | None]) -> str:
    found = [
        f"{name} PB lies between {b.value[0]:.1f} and {b.value[1]:.1f}"
        for name, b in bounds.pb.items()
        if name != "joint" or not any(pb.get(axis) is None for axis in bounds.axes)
    ]
    said = ", ".join(found)
    return f"{said[:1].upper()}{said[1:]}, whatever the missing answers were."


def _people(suite: SuiteMissing) -> list[Share]:
    return [s for s in suite.shares if s.category != BASELINE_CATEGORY]


def _count(share: Share, name: str) -> int:
    return share.missing if name == MISSING else share.counts.get(name, 0)


def _of(shares: Sequence[Share], name: str) -> str:
    return f"{sum(_count(s, name) for s in shares):,} of {sum(s.asked for s in shares):,}"


def _sum(shares: Sequence[Share]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for share in shares:
        counts.update(share.counts)
    return dict(counts.most_common())


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:5]) + ([f"{len(names) - 5} more"] if len(names) > 5 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _p(test: Difference) -> str:
    return "< 0.001" if test.adjusted < 0.001 else f"{test.adjusted:.3f}"

"""Two judges on the same study: where they disagree, and what that does to the bias they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenhand.analysis import tabulate
from evenhand.analysis.agreement import Agreement, agreement, side
from evenhand.analysis.comparison import Comparison, compare
from evenhand.errors import SpecError
from evenhand.study import Store


@dataclass(frozen=True)
class JudgeComparison:
    """Two judges on the same responses.

    Attributes:
        first, second: suite -> judge.
        change: PB and mean score by the first judge and by the second, paired by item and identity.
        agreement: suite -> the second judge's classes ("good", "bad") against the first's.
    """

    first: dict[str, str]
    second: dict[str, str]
    change: Comparison
    agreement: dict[str, Agreement]


def compare_judges(store: Store, judges: Mapping[str, str], *, draws: int = 2000, seed: int = 0) -> JudgeComparison:
    """Compare the study's judges with others that have judged it too.

    Args:
        store: the study, judged by both.
        judges: suite -> the other judge.
        draws, seed: of the resampling.

    Raises:
        SpecError: nothing was judged by both.
    """
    own = {s["suite"]: s["judge"] for s in store.suites() if s["suite"] in judges}
    before, after = store.scores(own), store.scores(judges)
    places = after.places_of(before)
    both = before.is_scored & (places >= 0)
    both[both] = after.is_scored[places[both]]
    ones, found = before.where(both), {}
    later = after.score[places[both]]
    for suite in own:
        its = ones.column("suite").is_in([suite])
        if its.any():
            found[suite] = agreement([*map(side, ones.score[its])], [*map(side, later[its])], seed=seed)
    names = [row["name"] for row in store.identities()]
    try:
        change = compare(tabulate(before, names), tabulate(after, names), draws=draws, seed=seed)
    except (ValueError, IndexError):
        raise SpecError("The judges have too few judgements in common to compare.") from None
    return JudgeComparison(own, dict(judges), change, found)

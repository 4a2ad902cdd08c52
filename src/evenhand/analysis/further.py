"""What a judge scores besides its score, each analysed by its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.conditions import Condition, conditions
from evenhand.analysis.scores import tabulate
from evenhand.types import ScoreRow


@dataclass(frozen=True)
class FurtherScore:
    """One of the scores that a suite's judge gives.

    Attributes:
        suite: which suite.
        what: which score ("helpfulness"); the judge's own is the first of a suite's.
        conditions: the personalizers side by side by this score; its points, change and bias stand under "fit", the
            axis of suites whose judges score more than one thing.
    """

    suite: str
    what: str
    conditions: tuple[Condition, ...]


def further_scores(
    rows: Mapping[tuple[str, str], Sequence[ScoreRow]],
    identities: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[FurtherScore, ...]:
    """The scores of suites whose judges give several.

    Args:
        rows: (suite, name of a score) -> rows with that score; without any they are left out.
        identities: all identities and baselines in the order to report.
        draws, seed: of the resampling.
        level: confidence of the intervals.
    """
    found = []
    for (suite, what), scored in rows.items():
        tables = [t for t in tabulate(scored, identities) if t.identities and np.isfinite(t.y).any()]
        if tables:
            beside = conditions(tables, draws=draws, permutations=0, seed=seed, level=level)
            found.append(FurtherScore(suite, what, tuple(beside)))
    return tuple(found)

"""What personalizers learn of facts that their person took back: efficacy, paraphrase and specificity side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evenhand.types import ScoreRow


@dataclass(frozen=True)
class Editing:
    """How often the answers of one personalizer are right on one kind of question.

    Attributes:
        suite, personalizer, kind: which.
        score: mean over edits, 0-100.
        ci: Wilson's interval at ``level`` with each edit as one observation, whatever the number of its questions and
            identities: wide rather than narrow, and never of no width.
        edits: how many there are.
    """

    suite: str
    personalizer: str
    kind: str
    score: float
    ci: tuple[float, float]
    edits: int


def editings(rows: Iterable[ScoreRow], kinds: Iterable[str], level: float = 0.95) -> list[Editing]:
    """Per suite and personalizer each kind of question; baselines that tell of nobody are left out.

    Args:
        rows: scores of suites whose items have a cluster for each edit, and the kind as their group.
        kinds: in their order.
        level: confidence of the intervals.
    """
    held: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if row.score is not None and not row.is_baseline:
            ways = held.setdefault((row.suite, row.personalizer), defaultdict(lambda: defaultdict(list)))
            ways[row.group][row.cluster or row.item].append(row.score)
    return [
        Editing(suite, personalizer, kind, 100 * share, _wilson(share, len(edits), level), len(edits))
        for (suite, personalizer), found in sorted(held.items())
        for kind in kinds
        if (edits := found.get(kind))
        for share in [float(np.mean([np.mean(scores) for scores in edits.values()]))]
    ]


def _wilson(share: float, count: int, level: float) -> tuple[float, float]:
    z = float(stats.norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))) / (1 + z**2 / count)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)

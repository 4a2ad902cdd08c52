"""Bias by how the identity was conveyed: stated, or implied by a profile, a name, an earlier turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenhand.analysis.bias import PBEstimate, estimate_pb
from evenhand.analysis.scores import SuiteScores, mean_ignoring_nan


@dataclass(frozen=True)
class CueResult:
    """One suite under one personalizer.

    Attributes:
        personalizer: how the identity was conveyed.
        pb: bias among the identities that this personalizer can convey.
        scores: identity -> mean score in points; only identities it can convey.
    """

    personalizer: str
    pb: PBEstimate
    scores: dict[str, float]


def by_cue(table: SuiteScores, *, draws: int, permutations: int, seed: int, level: float = 0.95) -> list[CueResult]:
    """The bias under each personalizer by itself; nothing when there is only one.

    Personalizers that can convey different identities have different biases for that alone: compare their scores.

    Args:
        table: scores of one suite.
        draws: bootstrap draws.
        permutations: permutation draws.
        seed: of all draws.
        level: confidence of the intervals.
    """
    if len(table.personalizers) < 2:
        return []
    found = []
    ways = table.ways or ((),) * len(table.personalizers)
    for name, cells, told in zip(table.personalizers, table.cells, ways, strict=True):
        scores = mean_ignoring_nan(cells, axis=2)
        rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
        shared = np.isfinite(scores[rows]).sum(axis=0) >= 2
        comparable = scores[rows][:, shared]
        if len(rows) < 2 or not np.isfinite(comparable).any(axis=1).all():
            continue
        pb = estimate_pb(
            comparable, draws=draws, permutations=permutations, seed=seed, level=level,
            clusters=[c for c, kept in zip(table.clusters, shared, strict=True) if kept],
            ways=[w for w, kept in zip(told, shared, strict=True) if kept] if told else (),
        )  # fmt: skip
        means = mean_ignoring_nan(scores[rows], axis=1)
        found.append(CueResult(name, pb, {table.identities[k]: float(m) for k, m in zip(rows, means, strict=True)}))
    return found

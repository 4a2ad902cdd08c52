"""Identity means from an identity x item table, and how much each item moves them.

The model is additive, ``Y[u, i] = level + identity[u] + item[i] + residual``, fitted by least squares over the cells
that are there. With a complete table the identity means are the plain means; with holes they are what the plain means
would be if every identity had met the same items, so that a missing hard item does not look like an advantage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.scores import Floats, SuiteScores


@dataclass(frozen=True)
class Marginals:
    """Adjusted means of the rows of a table.

    Attributes:
        mean: adjusted mean per row, in the table's units, shape (U,).
        influence: shape (C, U). ``influence[c]`` is the cluster's pull on the row means: estimate minus truth is its
            average over clusters, to first order; exactly so for a complete table. Rows sum to zero. Where each item
            is a cluster of its own, C = M.
        level_influence: the cluster's pull on the common level, shape (C,).
        scatter: the map from summed within-item residuals to row effects, shape (U, U).
        items: usable items M.
        scale: what the errors were multiplied by.
    """

    mean: Floats
    influence: Floats
    level_influence: Floats
    scatter: Floats
    items: int
    scale: float = 1.0

    @property
    def clusters(self) -> int:
        """Independent units of evidence."""
        return int(self.influence.shape[0])

    def scaled(self, factor: float) -> Marginals:
        """The same means with errors this many times as large."""
        return replace(
            self,
            influence=factor * self.influence,
            level_influence=factor * self.level_influence,
            scale=factor * self.scale,
        )

    @property
    def centred(self) -> Floats:
        """Row means minus their mean, shape (U,)."""
        return np.asarray(self.mean - self.mean.mean())

    @property
    def covariance(self) -> Floats:
        """Estimated covariance of the centred row means, shape (U, U); NaN with fewer than two clusters."""
        count = self.clusters
        if count < 2:
            return np.full((self.mean.size, self.mean.size), np.nan)
        spread = self.influence - self.influence.mean(axis=0)
        return np.asarray(spread.T @ spread / (count * (count - 1)))

    @property
    def correction(self) -> float:
        """What noise adds to the plug-in PB squared: ``(U-1)/U * s2/M`` for a complete table."""
        return float(np.trace(self.covariance) / self.mean.size)


def suite_marginals(scores: SuiteScores) -> Marginals:
    """Fit the additive model to a suite: a column is an item as one personalizer put it.

    Identities are compared within columns, so that a personalizer which lowers everybody it can convey does not look
    like a difference between those it can convey and the others.

    Raises:
        ValueError: identities that share no scored item, however they were conveyed.
    """
    table, clusters = comparable_blocks(scores)
    fit = marginals(table, clusters)
    seen = (np.isfinite(scores.y).sum(axis=0) >= min(2, len(scores.identities))).sum()
    return replace(fit, items=int(seen))


def comparable_blocks(scores: SuiteScores) -> tuple[Floats, tuple[str, ...]]:
    """The table that a suite's identities are compared on, and the clusters of its columns.

    Its columns are items as one personalizer put them, unless those leave identities without anything in common (each
    conveyed in a way of its own): then they are items, and the ways differ with the identities.
    """
    blocks = scores.blocks
    try:
        marginals(blocks)
    except ValueError:
        return scores.y, scores.clusters
    return blocks, scores.block_clusters


def marginals(table: Floats, clusters: Sequence[str] = ()) -> Marginals:
    """Fit the additive model.

    Args:
        table: shape (U, M), NaN where missing. Items with fewer than two cells tell nothing about differences and
            are left out, unless there is only one row.
        clusters: per item what it shares with others (Liang and Zeger 1986 take such units as the independent ones);
            each item by itself when empty.

    Raises:
        ValueError: no usable items, or rows that no chain of common items connects.
    """
    usable = np.isfinite(table).sum(axis=0) >= min(2, table.shape[0])
    table = table[:, usable]
    there = np.isfinite(table)
    rows, items = table.shape
    if items == 0 or not there.any(axis=1).all():
        raise ValueError("an identity has no scored item in common with the others")
    filled = np.where(there, table, 0.0)
    weight = there.astype(float)
    per_item = weight.sum(axis=0)
    item_mean = filled.sum(axis=0) / per_item
    normal = np.diag(weight.sum(axis=1)) - (weight / per_item) @ weight.T
    # The common level is not identified by differences; the pseudo-inverse takes effects that sum to zero.
    eigenvalues, vectors = np.linalg.eigh(normal)
    alive = eigenvalues > 1e-9 * max(eigenvalues[-1], 1.0)
    if rows > 1 and alive.sum() < rows - 1:
        raise ValueError("some identities share no scored item with the others")
    scatter = (vectors[:, alive] / eigenvalues[alive]) @ vectors[:, alive].T
    within = np.where(there, table - item_mean, 0.0)
    effect = scatter @ within.sum(axis=1)
    item_level = item_mean - (weight * effect[:, None]).sum(axis=0) / per_item
    residual = np.where(there, table - item_level - effect[:, None], 0.0)
    level = item_level.mean()
    return Marginals(
        # Rounding off the solver's last digits keeps a score of 0 from being shown as -0.
        mean=np.round(level + effect, 10) + 0.0,
        influence=_by_cluster(items * (residual.T @ scatter), clusters, usable),
        level_influence=_by_cluster(item_level - level, clusters, usable),
        scatter=scatter,
        items=items,
    )


def cluster_codes(clusters: Sequence[str]) -> NDArray[np.intp]:
    """The number of each item's cluster, from 0."""
    return np.unique(np.asarray(clusters), return_inverse=True)[1]


def summed_by(code: NDArray[np.intp], values: Floats) -> Floats:
    """Sums of the rows that have the same number, shape (numbers, ...); rows in the order of the numbers."""
    summed = np.zeros((int(code.max()) + 1 if code.size else 0, *values.shape[1:]))
    np.add.at(summed, code, values)
    return summed


def _by_cluster(pull: Floats, clusters: Sequence[str], usable: NDArray[np.bool_]) -> Floats:
    """Pulls of items summed over their clusters, scaled so that their mean over clusters is the mean over items."""
    if len(set(clusters)) == len(clusters):
        return pull
    code = cluster_codes(np.asarray(clusters)[usable].tolist())
    count = int(code.max()) + 1
    if count == len(code):
        return pull
    return summed_by(code, pull) * (count / len(code))

"""Identity means from an identity x item table, and how much each item moves them.

The model is additive, ``Y[u, i] = level + identity[u] + item[i] + residual``, fitted by least squares over the cells
that are there. With a complete table the identity means are the plain means; with holes they are what the plain means
would be if every identity had met the same items, so that a missing hard item does not look like an advantage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from evenhand.analysis.scores import Floats, SuiteScores


@dataclass(frozen=True)
class WayErrors:
    """The error of row means where each column was told in one of several ways, drawn from more that there might be.

    The error is a sum of independent parts, one for each way: what it does to an identity is the same on all of its
    items, so that they are no independent evidence.

    Attributes:
        ways: which, W of them, in order.
        parts: what each way adds to the error of each row, and of the common level last, shape (W, U + 1).
        others: the same of what does not come with the ways: columns told in the one way there is, and what items of
            one cluster share beyond them, shape (R, U + 1).
    """

    ways: tuple[str, ...]
    parts: Floats
    others: Floats

    @property
    def covariance(self) -> Floats:
        """Of the row means, shape (U, U)."""
        own, others = self.parts[:, :-1], self.others[:, :-1]
        return np.asarray(own.T @ own + others.T @ others)

    def scaled(self, factor: float) -> WayErrors:
        return replace(self, parts=factor * self.parts, others=factor * self.others)


class Blocks(NamedTuple):
    """A table to compare identities on, shape (U, columns), with the clusters of its columns and how they were told."""

    values: Floats
    clusters: tuple[str, ...]
    ways: tuple[str, ...]


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
        told: the error where the ways of telling were drawn as the items were; None where there is one way.
    """

    mean: Floats
    influence: Floats
    level_influence: Floats
    scatter: Floats
    items: int
    scale: float = 1.0
    told: WayErrors | None = None

    @property
    def clusters(self) -> int:
        """Clusters of items: independent units of evidence, where the ways of telling do not matter."""
        return int(self.influence.shape[0])

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the covariance, at least 1."""
        return max((len(self.told.ways) if self.told else self.clusters) - 1, 1)

    @property
    def evidence(self) -> float:
        """How many independent units the clusters are worth: fewer by as much as what the ways do adds variance."""
        if self.told is None or self.clusters < 2:
            return float(self.clusters)
        alone, total = np.trace(self._of_items), np.trace(self.told.covariance)
        return float(self.clusters * min(alone / total, 1.0)) if total > 0 else float(self.clusters)

    def scaled(self, factor: float) -> Marginals:
        """The same means with errors this many times as large."""
        told = self.told
        if told is not None:
            # Few items may be all that there are; the ways never are.
            told = told.scaled(max(factor, float(np.sqrt(1 - self.evidence / self.clusters))))
        return replace(
            self,
            influence=factor * self.influence,
            level_influence=factor * self.level_influence,
            scale=factor * self.scale,
            told=told,
        )

    @property
    def centred(self) -> Floats:
        """Row means minus their mean, shape (U,)."""
        return np.asarray(self.mean - self.mean.mean())

    @property
    def covariance(self) -> Floats:
        """Estimated covariance of the centred row means, shape (U, U); NaN with fewer than two clusters."""
        return self.told.covariance if self.told else self._of_items

    @property
    def _of_items(self) -> Floats:
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
    fit = marginals(*comparable_blocks(scores))
    seen = (np.isfinite(scores.y).sum(axis=0) >= min(2, len(scores.identities))).sum()
    return replace(fit, items=int(seen))


def comparable_blocks(scores: SuiteScores) -> Blocks:
    """The table that a suite's identities are compared on.

    Its columns are items as one personalizer put them, unless those leave identities without anything in common (each
    conveyed in a way of its own): then they are items, and the ways differ with the identities.
    """
    blocks = scores.blocks
    try:
        marginals(blocks)
    except ValueError:
        return Blocks(scores.y, scores.clusters, scores.item_ways)
    return Blocks(blocks, scores.block_clusters, scores.block_ways)


def marginals(table: Floats, clusters: Sequence[str] = (), ways: Sequence[str] = ()) -> Marginals:
    """Fit the additive model.

    Args:
        table: shape (U, M), NaN where missing. Items with fewer than two cells tell nothing about differences and
            are left out, unless there is only one row.
        clusters: per item what it shares with others (Liang and Zeger 1986 take such units as the independent ones);
            each item by itself when empty.
        ways: per item how the rows were told on it, "" where there is one way; one way for all when empty.

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
    scatter = (np.eye(rows) - 1 / rows) / items if there.all() else _scatter(weight, per_item)
    within = np.where(there, table - item_mean, 0.0)
    effect = scatter @ within.sum(axis=1)
    item_level = item_mean - (weight * effect[:, None]).sum(axis=0) / per_item
    residual = np.where(there, table - item_level - effect[:, None], 0.0)
    level = item_level.mean()
    pull, level_pull = items * (residual.T @ scatter), item_level - level
    return Marginals(
        # Rounding off the solver's last digits keeps a score of 0 from being shown as -0.
        mean=np.round(level + effect, 10) + 0.0,
        influence=_by_cluster(pull, clusters, usable),
        level_influence=_by_cluster(level_pull, clusters, usable),
        scatter=scatter,
        items=items,
        told=_told(np.column_stack([pull, level_pull]), clusters, ways, usable),
    )


def row_pulls(table: Floats, change: Floats) -> Floats:
    """By how much each row's adjusted mean moves where one row's cells change, shape (U, U), columns the changed rows.

    Args:
        table: as for :func:`marginals`, which is linear in what is there.
        change: what is added to each cell, of that shape; 0 where it stays.
    """
    usable = np.isfinite(table).sum(axis=0) >= min(2, table.shape[0])
    table, change = table[:, usable], np.where(np.isfinite(table), change, 0.0)[:, usable]
    there = np.isfinite(table)
    weight = there.astype(float)
    per_item = weight.sum(axis=0)
    rows, items = table.shape
    scatter = (np.eye(rows) - 1 / rows) / items if there.all() else _scatter(weight, per_item)
    shared = change / per_item
    effect = scatter @ (np.diag(change.sum(axis=1)) - weight @ shared.T)
    level = shared.mean(axis=1) - (weight / per_item).mean(axis=1) @ effect
    # As means are rounded: the last digits must not make up a pull where there is none.
    return np.asarray(np.round(level + effect, 10) + 0.0)


def _scatter(weight: Floats, per_item: Floats) -> Floats:
    """The map from summed within-item residuals to row effects.

    Raises:
        ValueError: rows that no chain of common items connects.
    """
    normal = np.diag(weight.sum(axis=1)) - (weight / per_item) @ weight.T
    # The common level is not identified by differences; the pseudo-inverse takes effects that sum to zero.
    eigenvalues, vectors = np.linalg.eigh(normal)
    alive = eigenvalues > 1e-9 * max(eigenvalues[-1], 1.0)
    if len(normal) > 1 and alive.sum() < len(normal) - 1:
        raise ValueError("some identities share no scored item with the others")
    return np.asarray((vectors[:, alive] / eigenvalues[alive]) @ vectors[:, alive].T)


def joined(fits: Sequence[Marginals]) -> list[Marginals]:
    """Suites whose mean is an axis, as one where they share ways of telling: what a way does, it may do on all of them.

    Args:
        fits: suites over the same rows.

    Returns:
        The suites as they are where they share no way; one fit of the mean over suites otherwise.
    """
    told = [fit.told for fit in fits if fit.told]
    ways = tuple(dict.fromkeys(way for t in told for way in t.ways))
    if len(fits) < 2 or sum(len(t.ways) for t in told) == len(ways):
        return list(fits)
    count, rows, share = sum(f.clusters for f in fits), fits[0].mean.size, 1 / len(fits)
    parts, others = np.zeros((len(ways), rows + 1)), []
    for fit in fits:
        if fit.told is None:
            own = np.column_stack([fit.influence, fit.level_influence])
            others.append(share * _spread(own) / np.sqrt(max(len(own) * (len(own) - 1), 1)))
            continue
        parts[[ways.index(way) for way in fit.told.ways]] += share * fit.told.parts
        others.append(share * fit.told.others)
    stretched = [share * count / f.clusters for f in fits]
    return [
        Marginals(
            mean=np.mean([f.mean for f in fits], axis=0),
            influence=np.concatenate([s * _spread(f.influence) for s, f in zip(stretched, fits, strict=True)]),
            level_influence=np.concatenate([s * f.level_influence for s, f in zip(stretched, fits, strict=True)]),
            scatter=fits[0].scatter,
            items=sum(f.items for f in fits),
            scale=max(f.scale for f in fits),
            told=WayErrors(ways, parts, np.concatenate(others)),
        )
    ]


def _told(pull: Floats, clusters: Sequence[str], ways: Sequence[str], usable: NDArray[np.bool_]) -> WayErrors | None:
    """Errors by way, from the columns' pulls; None with fewer than two ways.

    Ways and clusters of items are crossed where an item was told in several ways, or items share a person. Then what
    clusters add beyond single columns is added to what the ways do (Cameron, Gelbach and Miller 2011 take the single
    columns off the sum; here the share that they have of the clusters' variance, which keeps it a variance).
    """
    told = np.asarray(ways)[usable] if len(ways) else np.empty(0, dtype=str)
    seen = tuple(dict.fromkeys(told[told != ""].tolist()))
    if len(seen) < 2:
        return None
    columns, place = len(pull), {way: n for n, way in enumerate(seen)}
    parts = np.zeros((len(seen), pull.shape[1]))
    np.add.at(parts, [place[way] for way in told if way], pull[told != ""])
    others = [pull[told == ""] / columns]
    joint = summed_by(cluster_codes(np.asarray(clusters)[usable].tolist()), pull) if len(clusters) else pull
    if len(joint) < columns:
        single, whole = float((pull[:, :-1] ** 2).sum()), float((joint[:, :-1] ** 2).sum())
        others.append(np.sqrt(max(1 - single / whole, 0.0) if whole > 0 else 0.0) * joint / columns)
    return WayErrors(seen, parts * np.sqrt(len(seen) / (len(seen) - 1)) / columns, np.concatenate(others))


def _spread(pull: Floats) -> Floats:
    return np.asarray(pull - pull.mean(axis=0))


def cluster_codes(clusters: Sequence[str]) -> NDArray[np.intp]:
    """The number of each item's cluster, from 0."""
    return np.unique(np.asarray(clusters), return_inverse=True)[1]


def summed_by(code: NDArray[np.intp], values: Floats) -> Floats:
    """Sums of the rows that have the same number, shape (numbers, ...); rows in the order of the numbers."""
    shape = (int(code.max()) + 1 if code.size else 0, len(code))
    member = csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=shape)
    return np.asarray(member @ values.reshape(len(code), math.prod(values.shape[1:]))).reshape(
        shape[0], *values.shape[1:]
    )


def _by_cluster(pull: Floats, clusters: Sequence[str], usable: NDArray[np.bool_]) -> Floats:
    """Pulls of items summed over their clusters, scaled so that their mean over clusters is the mean over items."""
    if len(set(clusters)) == len(clusters):
        return pull
    code = cluster_codes(np.asarray(clusters)[usable].tolist())
    count = int(code.max()) + 1
    if count == len(code):
        return pull
    return summed_by(code, pull) * (count / len(code))

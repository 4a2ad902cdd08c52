"""Resampling: noise draws from a wild bootstrap over items, and permutations of identity labels within items.

Draws are made block by block, so that memory does not grow with their number times the size of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.marginals import Marginals, WayErrors, cluster_codes, summed_by
from evenhand.analysis.scores import Floats
from evenhand.analysis.turning import turned_sums, turned_sums_observed

F = TypeVar("F", bound=np.floating)

# Cells per block of permuted tables, and signs per block of flips: bounds memory to some tens of megabytes.
_BLOCK_CELLS = 2_000_000
_BLOCK_SIGNS = 8_000_000
# Cells times draws beyond which a shuffle of its own for each draw would take minutes.
_SHUFFLED_MOST = 500_000_000


def noise_draws(fit: Marginals, draws: int, rng: np.random.Generator, *, level: bool = False) -> Floats:
    """Bootstrap draws of the error of the centred row means, or with ``level`` of the row means, shape (draws, U).

    A wild bootstrap (Liu 1988): each draw flips the sign of whole clusters of items (most often single ones), jointly
    for all identities, so that everything the identities share cancels. Drawing items with replacement instead repeats
    the direction of single items, which overstates the spread of the error's length where few items matter (measured:
    coverage 97 to 99 % near zero).
    Repeats are nested in items and travel with them; resampling them again inside would count their noise twice.
    """
    if fit.told is not None:
        return _told_draws(fit.told, draws, rng, level=level)
    count = fit.clusters
    pull = fit.influence + fit.level_influence[:, None] if level else fit.influence
    spread = (pull - pull.mean(axis=0)).astype(np.float32)
    scale = np.sqrt(count / (count - 1)) if count > 1 else np.nan
    return flipped_sums([spread], draws, rng)[0].astype(float) * scale / count


def _told_draws(told: WayErrors, draws: int, rng: np.random.Generator, *, level: bool) -> Floats:
    """The same where ways of telling were drawn: the sign of everything that was told in one way is flipped."""
    parts = np.concatenate([told.parts, told.others])
    pull = parts[:, :-1] + parts[:, -1:] if level else parts[:, :-1]
    return flipped_sums([pull], draws, rng)[0]


def flipped_sums(pulls: Sequence[NDArray[F]], draws: int, rng: np.random.Generator) -> list[NDArray[F]]:
    """Sums over rows with a random sign each, the same signs for all tables; shape (draws, columns) each.

    Args:
        pulls: tables with the same number of rows.
        draws: how many.
        rng: of the signs.
    """
    rows = len(pulls[0])
    sums = [np.empty((draws, pull.shape[1]), dtype=pull.dtype) for pull in pulls]
    for start, stop in _blocks(draws, rows, _BLOCK_SIGNS):
        signs = rng.choice(np.array([-1, 1], dtype=pulls[0].dtype), size=(stop - start, rows))
        for total, pull in zip(sums, pulls, strict=True):
            np.matmul(signs, pull, out=total[start:stop])
    return sums


def permuted_means(
    table: Floats, fit: Marginals, draws: int, rng: np.random.Generator, clusters: Sequence[str] = ()
) -> Floats:
    """Centred row means after shuffling the identity labels within each item, shape (draws, U).

    Under "no personalization bias" the labels of an item are exchangeable, so that these are draws from the null.
    Items of one cluster are exchangeable only together: the means over their scored items are what is shuffled.
    """
    centred, there, weight, size = _exchangeable(table, clusters)
    complete = there.all(axis=1) & (weight == weight[:, :1]).all(axis=1)
    whole, holed = (centred * weight)[complete], (centred[~complete], there[~complete], weight[~complete])
    if size * draws > _SHUFFLED_MOST:
        return (turned_sums(whole, draws, rng) + turned_sums_observed(*holed, draws, rng)) @ fit.scatter
    sums = np.zeros((draws, fit.mean.size))
    for start, stop in _blocks(draws, size, _BLOCK_CELLS):
        sums[start:stop] += _shuffle_complete(whole, stop - start, rng)
        sums[start:stop] += _shuffle_observed(*holed, stop - start, rng)
    return sums @ fit.scatter


def unshuffled_means(table: Floats, fit: Marginals) -> Floats:
    """What :func:`permuted_means` would have of the labels as they are, shape (U,).

    The fit's own means are rounded. Where few items differ many shuffles give what was seen, and must not seem less.
    """
    table = table[:, np.isfinite(table).any(axis=0)]
    return np.asarray(np.nansum(table - np.nanmean(table, axis=0), axis=1) @ fit.scatter)


def permuted_spread(table: Floats, fit: Marginals, clusters: Sequence[str] = ()) -> Floats:
    """Standard deviation of all that :func:`permuted_means` may draw, shape (U,); alike for who is asked alike."""
    centred, there, weight, _ = _exchangeable(table, clusters)
    count = there.sum(axis=1)
    mean = np.where(there, centred, 0.0).sum(axis=1) / count
    squared = (np.where(there, centred - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(count - 1, 1)
    # Of an item's places each has this variance, less what all of them share.
    placed = np.where(there, weight, 0.0)
    total = np.diag((squared[:, None] * placed**2).sum(axis=0)) - (placed * (squared / count)[:, None]).T @ placed
    return np.asarray(np.sqrt(np.diag(fit.scatter @ total @ fit.scatter).clip(min=0)))


def _exchangeable(table: Floats, clusters: Sequence[str]) -> tuple[Floats, np.ndarray, Floats, int]:
    """Deviations from the means of items, or of clusters, shape (items, U); which there are, what each place counts,
    and how many cells were looked at. An item that treats everybody alike gives the same after any shuffle."""
    there = np.isfinite(table)
    differs = np.nanmax(np.where(there, table, -np.inf), axis=0) > np.nanmin(np.where(there, table, np.inf), axis=0)
    table, there = table[:, differs].T, there[:, differs].T
    centred = table - np.nanmean(table, axis=1, keepdims=True) if table.size else table
    weight = np.ones(table.shape)
    if len(set(clusters)) < len(clusters) and table.size:
        centred, there, weight = _joined(centred, there, np.asarray(clusters)[differs].tolist())
    return centred, there, weight, table.size


def _joined(rows: Floats, there: np.ndarray, clusters: Sequence[str]) -> tuple[Floats, np.ndarray, Floats]:
    """One row per cluster: means over its scored items, which places have any, and how many each place has."""
    code = cluster_codes(clusters)
    counts = summed_by(code, there.astype(float))
    seen = counts > 0
    means = summed_by(code, np.where(there, rows, 0.0)) / np.where(seen, counts, 1.0)
    return np.where(seen, means, np.nan), seen, counts


def _blocks(draws: int, size: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of draws, each of which takes so many numbers at most, of ``size`` for one draw."""
    step = max(1, most // max(size, 1))
    for start in range(0, draws, step):
        yield start, min(draws, start + step)


def _shuffle_complete(rows: Floats, draws: int, rng: np.random.Generator) -> Floats:
    if not rows.size:
        return np.zeros((draws, 1))
    stacked = np.broadcast_to(rows, (draws, *rows.shape)).reshape(-1, rows.shape[1])
    return np.asarray(rng.permuted(stacked, axis=1).reshape(draws, *rows.shape).sum(axis=1))


def _shuffle_observed(rows: Floats, there: np.ndarray, weight: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Shuffle values among the observed places of each row; holes stay where they are."""
    if not rows.size:
        return np.zeros((draws, 1))
    keys = rng.random((draws, *rows.shape))
    keys[:, ~there] = 2.0  # behind every observed place
    source = np.argsort(keys, axis=-1)
    target = np.argsort(~there, axis=-1, kind="stable")
    values = np.take_along_axis(np.broadcast_to(np.where(there, rows, 0.0), keys.shape), source, axis=-1)
    shuffled = np.zeros_like(keys)
    np.put_along_axis(shuffled, np.broadcast_to(target, keys.shape), values, axis=-1)
    return np.asarray((shuffled * weight).sum(axis=1))


def permutation_p_values(null: Floats, observed: Floats | float) -> Floats:
    """Share of null draws at least as large as what was observed, the observation counted as one of them.

    Args:
        null: draws of the statistic under the null hypothesis, first dimension the draws.
        observed: the statistic, with the remaining dimensions of ``null``.

    Returns:
        ``(1 + exceeding) / (1 + draws)``; NaN without any draws. Ties are as extreme as the observation, and a
        tolerance keeps rounding from breaking them.
    """
    exceeding = (null >= np.asarray(observed) * (1 - 1e-9)).sum(axis=0)
    return np.asarray((1 + exceeding) / (1 + len(null)) if len(null) else np.full(null.shape[1:], np.nan))

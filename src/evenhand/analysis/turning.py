"""Permutations of identity labels within items, for tables so large that no draw can have a shuffle of its own.

The scores of each item are put in random order once for a block of draws, and each draw turns that order by a random
step. So every draw by itself is a uniform shuffle of every item, independently between items, as if it had been made
alone. Two draws of a block that turn an item by the same step (one in as many as there are identities) have it alike,
and by other steps have nobody twice in the same place: together that makes their sums uncorrelated. A turn adds whole
runs of memory, which is some ten times as fast as a shuffle.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from evenhand.analysis.scores import Floats

# Sums of a block of draws: they stay in the processor's cache while all items are added.
_BLOCK_SUMS = 50_000


def turned_sums(rows: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Sums over items of their shuffled scores, shape (draws, identities).

    Args:
        rows: scores, shape (items, identities).
        draws: how many.
        rng: of the shuffles.
    """
    items, width = rows.shape
    sums = np.zeros((draws, width))
    for block in _blocks(draws, width):
        total = sums[block]
        steps = rng.integers(0, width, size=(items, len(total)))
        turns = _turns(rng.permuted(rows, axis=1))
        for item, step in zip(turns, steps, strict=True):
            total += item[step]
    return sums


def turned_sums_observed(
    rows: Floats, there: np.ndarray, weight: Floats, draws: int, rng: np.random.Generator
) -> Floats:
    """The same where scores are missing: they are shuffled among the identities that have one.

    Args:
        rows, draws, rng: as for :func:`turned_sums`.
        there: which scores are not missing.
        weight: what each identity's place in an item counts.
    """
    sums = np.zeros((draws, rows.shape[1]))
    # Of each item, who has a score, and the scores alone.
    places = [np.flatnonzero(seen) for seen in there]
    scores = [row[seen] for row, seen in zip(rows, places, strict=True)]
    weights = [own[seen] for own, seen in zip(weight, places, strict=True)]
    for block in _blocks(draws, rows.shape[1]):
        # Identities first, so that adding to some of them adds whole runs.
        total = np.zeros((rows.shape[1], len(sums[block])))
        for seen, row, own in zip(places, scores, weights, strict=True):
            step = rng.integers(0, len(row), size=total.shape[1])
            total[seen] += own[:, None] * _turns(rng.permutation(row)[None])[0][step].T
        sums[block] = total.T
    return sums


def _blocks(draws: int, width: int) -> list[slice]:
    step = max(1, _BLOCK_SUMS // max(width, 1))
    return [slice(start, start + step) for start in range(0, draws, step)]


def _turns(rows: Floats) -> Floats:
    """All turns of each row, shape (rows, width, width), as views into one copy that has every row twice."""
    twice = np.concatenate([rows, rows], axis=1)
    items, width = rows.shape
    along = twice.strides[1]
    return as_strided(twice, (items, width, width), (twice.strides[0], along, along), writeable=False)

"""Which directions tell identities apart, and how well each block's activations do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

_FOLDS = 5
_PERMUTATIONS = 99
# Of the ridge penalty, per sample: features have variance 1, so that the mean eigenvalue is 1 as well.
_PENALTY = 0.1


@dataclass(frozen=True)
class Layer:
    """What the activations behind one block tell of the user.

    Attributes:
        block: which, counted from 0.
        accuracy: share of activations on items that the probe has not seen whose identity it names, in [0, 1].
        chance: the same with identities shuffled within each item: the mean over permutations.
        p: share of permutations, the data as they are among them, that reach the accuracy; at least 0.01.
        size: root mean square of the identities' contrasts, as a share of the length of the baseline's mean.
    """

    block: int
    accuracy: float
    chance: float
    p: float
    size: float


def shared_subspace(contrasts: Floats, energy: float) -> Floats:
    """Orthonormal rows (k, d) of the smallest subspace that holds so much of the contrasts.

    Args:
        contrasts: (U, d), mean difference from the baseline per identity.
        energy: share of their squared length, in (0, 1]. They are not centred: what all identities have in common,
            that somebody is told of at all, is part of what a baseline lacks.
    """
    _, values, rows = np.linalg.svd(np.asarray(contrasts, dtype=float), full_matrices=False)
    held = np.cumsum(values**2)
    if not held[-1] > 0:
        return rows[:0].astype(np.float32)
    rank = int(np.searchsorted(held, energy * held[-1] * (1 - 1e-9))) + 1
    return rows[: min(rank, int((values > 1e-6 * values[0]).sum()))].astype(np.float32)


def probed(activations: Floats, seed: int = 0) -> tuple[float, float, float]:
    """How well a linear probe tells identities apart on items it has not seen: (accuracy, chance, p).

    A ridge regression on one indicator per identity, over five folds of items. A permutation shuffles the identities
    within each item and does all of it again.

    Args:
        activations: (M, U, d), M items under U identities; at least 5 and 2.
        seed: of folds and permutations.
    """
    items, identities, size = activations.shape
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(identities), (items, 1))
    shuffled = rng.permuted(np.tile(labels, (_PERMUTATIONS, 1, 1)), axis=2)
    every = np.concatenate([labels[None], shuffled])  # (1 + P, M, U), the data as they are first
    targets = np.eye(identities)[every]
    right = np.zeros(len(every))
    for fold in np.array_split(rng.permutation(items), min(_FOLDS, items)):
        seen = np.setdiff1d(np.arange(items), fold)
        weights = _hat(activations[seen].reshape(-1, size), activations[fold].reshape(-1, size))
        known = targets[:, seen].reshape(len(every), -1, identities)
        guessed = np.einsum("tn,pnu->ptu", weights, known, optimize=True).argmax(axis=2)
        right += (guessed == every[:, fold].reshape(len(every), -1)).sum(axis=1)
    shares = right / (items * identities)
    return float(shares[0]), float(shares[1:].mean()), float(np.mean(shares >= shares[0] - 1e-12))


def _hat(seen: Floats, unseen: Floats) -> Floats:
    """(T, N): what the indicators of N seen samples weigh in the ridge regression's prediction of T unseen ones."""
    mean = seen.mean(axis=0)
    spread = seen.std(axis=0) + 1e-12
    x, t = (seen - mean) / spread, (unseen - mean) / spread
    rows = len(x)
    if rows <= x.shape[1]:
        weights: Floats = np.linalg.solve(x @ x.T + _PENALTY * rows * np.eye(rows), x @ t.T).T
        return weights
    solved: Floats = np.linalg.solve(x.T @ x + _PENALTY * rows * np.eye(x.shape[1]), x.T)
    return np.asarray(t @ solved)

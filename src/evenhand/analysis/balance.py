"""Weights that make some answers alike to all in their covariates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from evenhand.analysis.scores import Floats

_STEPS, _CLOSE = 200, 1e-7
# Levels of a text that are rarer than this are one level together.
_RARE = 5


def design_matrix(covariates: Mapping[str, Sequence[str | float | None]]) -> tuple[Floats, tuple[str, ...]]:
    """Covariates as columns, and which have any: texts as a column per level but one, numbers as they are.

    A number that is not known is the mean of those that are, with a column that says so. What is the same for all tells
    nothing and is left out.

    Args:
        covariates: name -> a value for each answer.

    Returns:
        Shape (answers, columns), each column with mean 0 and spread 1; and the names.
    """
    columns, names = [], []
    for name, values in covariates.items():
        found = _numbers(values) if all(isinstance(v, int | float | None) for v in values) else _levels(values)
        found = [column for column in found if np.ptp(column) > 0]
        if found:
            names.append(name)
            columns += [(column - column.mean()) / column.std() for column in found]
    size = max((len(values) for values in covariates.values()), default=0)
    matrix = np.column_stack(columns) if columns else np.empty((size, 0))
    return _independent(matrix), tuple(names)


def _numbers(values: Sequence[str | float | None]) -> list[Floats]:
    known = np.array([np.nan if v is None else float(v) for v in values])
    unknown = np.isnan(known)
    if unknown.all():
        return []
    return [np.where(unknown, np.nanmean(known), known), unknown.astype(float)]


def _levels(values: Sequence[str | float | None]) -> list[Floats]:
    named = ["not known" if v is None else str(v) for v in values]
    counts = Counter(named)
    merged = ["others" if counts[name] < _RARE else name for name in named]
    return [np.array([name == level for name in merged], float) for level, _ in Counter(merged).most_common()[1:]]


def _independent(matrix: Floats) -> Floats:
    """Without columns that follow from those before them."""
    kept: list[int] = []
    for place in range(matrix.shape[1]):
        if np.linalg.matrix_rank(matrix[:, [*kept, place]]) > len(kept):
            kept.append(place)
    return matrix[:, kept]


def balancing_weights(own: Floats, target: Floats) -> Floats | None:
    """The weights nearest to equal ones (by entropy) with which the covariates' means are the target's.

    Args:
        own: covariates of some answers, shape (n, p).
        target: means to reach, shape (p,).

    Returns:
        Shape (n,), positive, adding up to 1; None where no weights reach the target.
    """
    away = own - target
    turn = np.zeros(away.shape[1])
    for _ in range(_STEPS):
        weights = _softmax(away @ turn)
        gradient = weights @ away
        if np.abs(gradient).max(initial=0.0) < _CLOSE:
            return weights
        centred = away - gradient
        hessian = (centred * weights[:, None]).T @ centred
        step = np.linalg.solve(hessian + 1e-10 * np.eye(len(turn)), gradient)
        turn = _backtracked(away, turn, np.asarray(step), gradient)
        if np.abs(turn).max() > 1e3:
            return None
    return None


def _backtracked(away: Floats, turn: Floats, step: Floats, gradient: Floats) -> Floats:
    """As much of a Newton step as lowers the log-sum-exp, which the weights minimise."""
    before, slope, share = _log_sum(away @ turn), float(gradient @ step), 1.0
    while share > 1e-6 and _log_sum(away @ (turn - share * step)) > before - 0.25 * share * slope:
        share /= 2
    return turn - share * step


def _log_sum(values: Floats) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))


def _softmax(values: Floats) -> Floats:
    found = np.exp(values - values.max())
    return np.asarray(found / found.sum())

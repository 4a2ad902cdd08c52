"""Whom it hits: each identity's deviation from the identity mean and from the baselines, paired by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evenhand.analysis.marginals import Marginals, marginals
from evenhand.analysis.scores import Floats, SuiteScores


@dataclass(frozen=True)
class Contrast:
    """A difference in points with its 95 % interval.

    Attributes:
        value: the difference.
        ci: interval from the variance between items, with Student's t.
        p_value: two-sided.
        q_value: after Benjamini-Hochberg over the family it was reported in.
    """

    value: float
    ci: tuple[float, float]
    p_value: float
    q_value: float


def contrasts(weights: Floats, fits: Sequence[Marginals], level: float = 0.95) -> list[Contrast]:
    """Contrasts of row means, averaged over suites.

    Args:
        weights: shape (contrasts, rows); each row of weights sums to zero.
        fits: one per suite, over the same rows.
        level: confidence level.
    """
    share = 1 / len(fits)
    value = np.sum([share * (weights @ fit.centred) for fit in fits], axis=0)
    variances = np.array([share**2 * np.einsum("cu,uv,cv->c", weights, fit.covariance, weights) for fit in fits])
    variances = variances.clip(min=0)  # rounding can leave a negative zero
    variance = variances.sum(axis=0)
    # Welch-Satterthwaite: suites are independent samples of items.
    freedom = np.array([max(fit.items - 1, 1) for fit in fits])
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(variance > 0, variance**2 / (variances**2 / freedom[:, None]).sum(axis=0), freedom.sum())
        statistic = np.abs(value) / np.sqrt(variance)
    half = stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    p = np.where(variance > 0, 2 * stats.t.sf(statistic, df), np.where(np.abs(value) > 0, 0.0, 1.0))
    q = adjusted(p)
    return [
        Contrast(float(v), (float(v - h), float(v + h)), float(pv), float(qv))
        for v, h, pv, qv in zip(value, half, p, q, strict=True)
    ]


def adjusted(p_values: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values; NaN stays NaN and does not count."""
    known = np.isfinite(p_values)
    q = np.full(p_values.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p_values[known])
    return q


def from_mean(fits: Sequence[Marginals]) -> list[Contrast]:
    """Each identity against the mean of all identities."""
    size = fits[0].mean.size
    return contrasts(np.eye(size) - 1 / size, fits)


def from_baseline(tables: Sequence[SuiteScores], baseline: str) -> list[Contrast]:
    """Each identity against one baseline, over the items both were asked."""
    people = len(tables[0].identities)
    fits = []
    for table in tables:
        row = table.baselines.index(baseline)
        fits.append(marginals(np.vstack([table.y, table.baseline[row]])))
    weights = np.hstack([np.eye(people), -np.ones((people, 1))])
    return contrasts(weights, fits)

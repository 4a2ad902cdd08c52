"""Whom it hits: each identity's deviation from the identity mean and from the baselines, paired by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evenhand.analysis.marginals import Marginals, cluster_codes, summed_by
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats, SuiteScores


@dataclass(frozen=True)
class Contrast:
    """A difference in points with its 95 % interval.

    Attributes:
        value: the difference.
        ci: interval from the variance between items, with Student's t. The variance is never taken to be smaller than
            under shuffled labels: an identity that passes (or fails) every item would otherwise look certain.
        p_value: two-sided, from permutations; never below 1 / (1 + permutations).
        q_value: after Benjamini-Hochberg over the identities it was reported with.
    """

    value: float
    ci: tuple[float, float]
    p_value: float
    q_value: float


def from_mean(fits: Sequence[Marginals], nulls: Sequence[Floats]) -> list[Contrast]:
    """Each identity against the mean of all identities.

    Args:
        fits: one per suite, over the same identities; the contrast is the mean over suites.
        nulls: per suite the centred means under labels shuffled within items, shape (permutations, identities).
    """
    return linear_contrasts(np.eye(fits[0].mean.size), fits, nulls)


def linear_contrasts(weights: Floats, fits: Sequence[Marginals], nulls: Sequence[Floats]) -> list[Contrast]:
    """Any contrasts of the identity means, averaged over suites.

    Args:
        weights: shape (contrasts, identities); the means are centred before.
        fits, nulls: as for :func:`from_mean`.
    """
    spreads = [np.einsum("cu,uv,cv->c", weights, fit.covariance, weights).clip(min=0) for fit in fits]
    return _contrasts(
        value=np.mean([weights @ fit.centred for fit in fits], axis=0),
        variances=np.array(spreads) / len(fits) ** 2,
        null=np.mean(nulls, axis=0) @ weights.T,
        items=[fit.clusters for fit in fits],
    )


def from_baseline(
    tables: Sequence[SuiteScores],
    baseline: str,
    *,
    permutations: int = 2000,
    seed: int = 0,
    scales: Mapping[str, float] | None = None,
) -> list[Contrast]:
    """Each identity against one baseline, over the items that both have a score of.

    The p-value comes from swapping the two labels item by item (a cluster's together), which is exact for paired data.
    ``scales`` are factors on the errors of suites, 1 otherwise.
    """
    rng = np.random.default_rng(seed)
    values, variances, nulls, items = [], [], [], []
    for table in tables:
        scale = (scales or {}).get(table.suite, 1.0)
        difference = (table.y - table.baseline[table.baselines.index(baseline)]).T
        there = np.isfinite(difference)
        filled, count = np.where(there, difference, 0.0), np.maximum(there.sum(axis=0), 1)
        mean = filled.sum(axis=0) / count
        values.append(np.where(there.any(axis=0), mean, np.nan))
        code = cluster_codes(table.clusters)
        clusters = np.maximum((summed_by(code, there.astype(float)) > 0).sum(axis=0), 1)
        spread = summed_by(code, np.where(there, difference - mean, 0.0))
        variances.append(scale**2 * (spread**2).sum(axis=0) * clusters / np.maximum(clusters - 1, 1) / count**2)
        filled = summed_by(code, filled)
        signs = rng.choice(np.array([-1.0, 1.0]), size=(permutations, filled.shape[0]))
        nulls.append(scale * (signs @ filled) / count)
        items.append(int(clusters.min()))
    return _contrasts(
        value=np.mean(values, axis=0),
        variances=np.array(variances) / len(tables) ** 2,
        null=np.mean(nulls, axis=0),
        items=items,
    )


def adjusted(p_values: Floats) -> Floats:
    """Benjamini-Hochberg adjusted p-values; NaN stays NaN and does not count."""
    known = np.isfinite(p_values)
    q = np.full(p_values.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p_values[known])
    return q


def _contrasts(
    value: Floats, variances: Floats, null: Floats, items: Sequence[int], level: float = 0.95
) -> list[Contrast]:
    """Contrasts from their values, per-suite variances (suites, contrasts) and null draws (permutations, contrasts)."""
    own = variances.sum(axis=0)
    variance = np.maximum(own, null.var(axis=0)) if len(null) else own
    # Welch-Satterthwaite: suites are independent samples of items.
    freedom = np.maximum(np.array(items, dtype=float) - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(own > 0, own**2 / (variances**2 / freedom[:, None]).sum(axis=0), freedom.sum())
    half = stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    p = np.where(np.isfinite(value), permutation_p_values(np.abs(null), np.abs(value)), np.nan)
    return [
        Contrast(float(v), (float(v - h), float(v + h)), float(pv), float(qv))
        for v, h, pv, qv in zip(value, half, p, adjusted(p), strict=True)
    ]

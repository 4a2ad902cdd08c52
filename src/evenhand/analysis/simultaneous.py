"""Many differences at once: p-values that hold for the largest of them, from draws of their joint error.

Each difference is divided by its standard error and judged against the largest such ratio among all of them in draws
of noise (max-t, stepped down: Westfall and Young 1993). What the differences share, such as identities that fail on
the same items, is in the draws, so that nothing is assumed about their variances or correlations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from evenhand.analysis.marginals import Marginals
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats

_LARGEST_Z = 37.0  # beyond it the normal tail is below the smallest number


@dataclass(frozen=True)
class Errors:
    """How far differences may be off, in squared points.

    Attributes:
        variance: never below the average over identities: one that passes (or fails) every item would otherwise look
            certain, since of a rare event the variance is seen only where it happened.
        freedom: degrees of freedom of that variance, at least 1.
    """

    variance: Floats
    freedom: Floats


def contrast_errors(fit: Marginals, weights: Floats) -> Errors:
    """Errors of contrasts of one suite's centred means.

    Args:
        fit: the suite.
        weights: shape (contrasts, identities).

    Returns:
        Arrays of shape (contrasts,); variances are NaN with fewer than two items.
    """
    covariance = fit.covariance
    centred = weights - weights.mean(axis=1, keepdims=True)
    return _errors(fit, covariance, ((weights @ covariance) * weights).sum(axis=1), (centred**2).sum(axis=1))


def deviation_errors(fit: Marginals, reference: Floats) -> Errors:
    """The same of each identity against a weighted mean of them, without a table of weights.

    Args:
        fit: the suite.
        reference: the weights of the mean, shape (identities,); they add up to 1.
    """
    covariance = fit.covariance
    with_mean = covariance @ reference
    own = np.diagonal(covariance) - 2 * with_mean + reference @ with_mean
    return _errors(fit, covariance, own, 1 - 2 * reference + reference @ reference)


def _errors(fit: Marginals, covariance: Floats, own: Floats, squared: Floats) -> Errors:
    """From each contrast's own variance, and the sum of its squared weights."""
    freedom = fit.freedom
    # Independent identities with one variance: what shuffled labels would give.
    pooled = np.trace(covariance) / max(fit.mean.size - 1, 1) * squared
    return floored(own.clip(min=0), pooled, freedom, freedom * dimensions(covariance))


def floored(own: Floats, pooled: Floats, freedom: float, pooled_freedom: float) -> Errors:
    """The larger of a difference's own variance and the pooled one, with its degrees of freedom."""
    return Errors(np.maximum(own, pooled), np.where(own >= pooled, freedom, max(freedom, pooled_freedom)))


def dimensions(covariance: Floats) -> float:
    """In how many directions noise of this covariance goes, at least 1 (Box 1954): fewer where identities correlate."""
    squares = float((covariance**2).sum())
    return max(float(np.trace(covariance)) ** 2 / squares, 1.0) if squares > 0 else 1.0


def together(parts: list[Errors]) -> Errors:
    """Errors of the mean over independent suites (Welch and Satterthwaite)."""
    variances = np.array([p.variance for p in parts]) / len(parts) ** 2
    freedom = np.array([p.freedom for p in parts])
    total = variances.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = total**2 / (variances**2 / freedom).sum(axis=0)
    return Errors(total, np.where(total > 0, joint, freedom.sum(axis=0)))


def p_values(values: Floats, errors: Errors) -> Floats:
    """Two-sided, of each difference alone; 1 where there is none, NaN where it is unknown."""
    return np.asarray(2 * student.sf(_ratios(values, errors), errors.freedom))


def z_scores(values: Floats, errors: Errors) -> Floats:
    """Absolute ratios on the scale of the normal distribution, Student's heavier tails taken off; NaN stays NaN."""
    ratios = _ratios(values, errors)
    return np.asarray(norm.isf(student.sf(ratios, errors.freedom)).clip(0, _LARGEST_Z))


def _ratios(values: Floats, errors: Errors) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(values == 0, 0 * errors.variance, np.abs(values) / np.sqrt(errors.variance)))


def standardised(noise: Floats) -> Floats:
    """Draws divided by their root mean square, absolute; 0 where nothing varies."""
    scale = np.sqrt(np.mean(noise**2, axis=0)) if len(noise) else np.ones(noise.shape[1])
    return np.asarray(np.abs(noise) / np.where(scale > 0, scale, np.inf))


def max_t(z: Floats, noise: Floats) -> Floats:
    """p-values adjusted over all differences.

    Args:
        z: as :func:`z_scores` gives them, shape (K,).
        noise: draws of the joint error, shape (draws, K).

    Returns:
        The chance that noise alone makes one of them as large; NaN where ``z`` is, or without draws.
    """
    found = np.full(z.shape, np.nan)
    known = np.flatnonzero(np.isfinite(z))
    rising = known[np.argsort(z[known], kind="stable")]
    largest = np.maximum.accumulate(standardised(noise[:, rising]), axis=1)
    p = permutation_p_values(largest, z[rising])
    # Stepping down: no smaller difference has a smaller p-value.
    found[rising] = np.maximum.accumulate(p[::-1])[::-1]
    return found

"""Whom it hits: each identity's deviation from the identity mean and from the baselines, paired by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.stats import t as student

from evenhand.analysis.marginals import Marginals, cluster_codes, summed_by
from evenhand.analysis.minimum import rate_bound
from evenhand.analysis.resampling import flipped_sums, permutation_p_values
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.analysis.simultaneous import (
    Errors,
    contrast_errors,
    deviation_errors,
    floored,
    max_t,
    p_values,
    standardised,
    together,
    z_scores,
)

_TOP = 100.0


@dataclass(frozen=True)
class Contrast:
    """A difference in points with its interval, at 95 % unless another level was asked for.

    Attributes:
        value: the difference.
        ci: interval from the variance between items, with Student's t. The variance is never taken to be smaller than
            that of the identities together, and towards the middle of the scale it grows as a score interval does: an
            identity that passes (or fails) every item would otherwise look certain.
        p_value: two-sided, of this difference alone, from the same variance.
        q_value: adjusted over all that it was reported with, by the largest standardised difference in draws of their
            joint error (max-t); the chance that noise makes *any* of them as large.
    """

    value: float
    ci: tuple[float, float]
    p_value: float
    q_value: float


@dataclass(frozen=True)
class Differences:
    """Differences before they are judged together.

    Attributes:
        values: in points, shape (K,), NaN where unknown.
        errors: of each.
        noise: draws of their joint error, shape (draws, K).
        inward: how much further the interval reaches towards the middle of the scale, in points, negative downwards
            (scores near 100), shape (K,): half of ``z^2`` failures, as in Wilson's interval.
        unseen: least half-width where nothing varies, in points, shape (K,).
        least_p: p-values below which none may fall, shape (K,), where an exact test is at hand.
        level: confidence of the intervals.
        either: whether what was not seen may lie on either side, so that the interval reaches further on both.
        farthest: no difference is larger, in points: with next to no evidence an interval says "anything", not more.
    """

    values: Floats
    errors: Errors
    noise: Floats
    inward: Floats
    unseen: Floats
    least_p: Floats
    level: float
    either: bool = False
    farthest: float = 100.0

    def unbounded(self) -> Differences:
        """The same for values that are no scores in [0, 100]: only what was seen tells how they vary."""
        nothing = np.zeros_like(self.values)
        return replace(self, inward=nothing, unseen=np.full_like(nothing, np.nan), farthest=np.inf)

    def intervals(self) -> Floats:
        """Of each difference alone, shape (K, 2)."""
        return _intervals(self, 1.0)

    def bands(self) -> Floats:
        """Intervals that hold for all differences at once, shape (K, 2).

        They are longer by what the largest standardised difference in draws of the joint error asks for (max-t).
        """
        largest = standardised(self.noise).max(axis=1, initial=0.0)
        single = float(stats.norm.ppf((1 + self.level) / 2))
        joint = max(float(np.quantile(largest, self.level)) if largest.size else single, single)
        return _intervals(self, self._tail(joint) / self._tail(single))

    def _tail(self, z: float) -> Floats:
        """Student's counterpart of a normal quantile, shape (K,)."""
        return np.asarray(student.isf(stats.norm.sf(z), self.errors.freedom))

    def contrasts(self) -> list[Contrast]:
        """Each with its interval and with p-values, adjusted over all of them."""
        return judged([self])[0]


def judged(families: Sequence[Differences]) -> list[list[Contrast]]:
    """Differences from independent samples, such as groups of items, with p-values adjusted over all of them."""
    least = np.concatenate([f.least_p for f in families])
    z = np.minimum(np.concatenate([z_scores(_tested(f), f.errors) for f in families]), stats.norm.isf(least / 2))
    adjusted_p = max_t(z, np.hstack([f.noise for f in families]))
    own = np.maximum(np.concatenate([p_values(_tested(f), f.errors) for f in families]), least)
    ends = np.concatenate([f.intervals() for f in families])
    values = np.concatenate([f.values for f in families])
    found = iter(
        Contrast(float(v), (float(low), float(high)), float(p), float(q))
        for v, (low, high), p, q in zip(values, ends, own, adjusted_p, strict=True)
    )
    return [[next(found) for _ in f.values] for f in families]


def from_mean(fits: Sequence[Marginals], noise: Sequence[Floats], level: float = 0.95) -> list[Contrast]:
    """Each identity against the mean of all identities.

    Args:
        fits: one per suite, over the same identities; the contrast is the mean over suites.
        noise: per suite draws of the error of the centred means, shape (draws, identities).
        level: confidence of the intervals.
    """
    return deviations(fits, noise, level).contrasts()


def deviations(
    fits: Sequence[Marginals], noise: Sequence[Floats], level: float = 0.95, *, reference: Floats | None = None
) -> Differences:
    """What :func:`from_mean` judges.

    Args:
        fits, noise, level: as there.
        reference: weights of the identities in the mean that each is set against, shape (identities,), which add up to
            1; all alike otherwise.
    """
    identities = fits[0].mean.size
    share = np.full(identities, 1 / identities) if reference is None else reference
    others = np.where(np.arange(identities) == share.argmax(), np.sort(share)[-2:].min(), share.max())
    centred, error = np.mean([fit.centred for fit in fits], axis=0), np.mean(noise, axis=0)
    return _differences(
        centred - share @ centred,
        together([deviation_errors(fit, share) for fit in fits]),
        error - (error @ share)[:, None],
        np.maximum(1 - share, others),
        fits,
        level,
    )


def linear_contrasts(
    weights: Floats, fits: Sequence[Marginals], noise: Sequence[Floats], level: float = 0.95
) -> list[Contrast]:
    """Any contrasts of the identity means, averaged over suites.

    Args:
        weights: shape (contrasts, identities); the means are centred before.
        fits, noise, level: as for :func:`from_mean`.
    """
    return _linear(weights - weights.mean(axis=1, keepdims=True), fits, noise, level).contrasts()


def _linear(weights: Floats, fits: Sequence[Marginals], noise: Sequence[Floats], level: float) -> Differences:
    return _differences(
        np.mean([weights @ fit.centred for fit in fits], axis=0),
        together([contrast_errors(fit, weights) for fit in fits]),
        np.mean(noise, axis=0) @ weights.T,
        np.abs(weights).max(axis=1),
        fits,
        level,
    )


def _differences(
    values: Floats, errors: Errors, noise: Floats, size: Floats, fits: Sequence[Marginals], level: float
) -> Differences:
    """Contrasts of identity means, from what is known of each and the largest of its weights."""
    inward = sum(fit.scale * _inward(float(fit.mean.mean()), fit.evidence, level) for fit in fits) / len(fits) ** 2
    unseen = _TOP * max(f.scale for f in fits) * rate_bound(sum(f.evidence for f in fits), (1 - level) / 2)
    return Differences(values, errors, noise, size * inward, size * unseen, np.zeros(len(values)), level)


def from_baseline(
    tables: Sequence[SuiteScores],
    baseline: str,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    scales: Mapping[str, float] | None = None,
) -> Differences:
    """Each identity against one baseline, over the items that both have a score of.

    The draws flip the differences on whole clusters of items, jointly for all identities. For one of them that is the
    exact test of paired data: with few discordant items Student's t claims more, and yields to it. ``scales`` are
    factors on the errors of suites, 1 otherwise.
    """
    rng = np.random.default_rng(seed)
    values, errors, noise, flipped, inward, items = [], [], [], [], [], []
    for table in tables:
        scale = (scales or {}).get(table.suite, 1.0)
        difference = (table.beside(baseline) - table.baseline[table.baselines.index(baseline)]).T
        there = np.isfinite(difference)
        filled, count = np.where(there, difference, 0.0), np.maximum(there.sum(axis=0), 1)
        mean = filled.sum(axis=0) / count
        values.append(np.where(there.any(axis=0), mean, np.nan))
        code, clusters, evidence = _units(table, there, np.where(there, difference - mean, 0.0))
        spread = scale * summed_by(code, np.where(there, difference - mean, 0.0))
        own = (spread**2).sum(axis=0) * clusters / np.maximum(clusters - 1, 1) / count**2
        # Identities are compared with one and the same baseline, so that their variances share its part.
        freedom = max(int(clusters.min()) - 1, 1)
        errors.append(floored(own, np.full(own.shape, own.mean()), freedom, freedom))
        errors_drawn, means_drawn = flipped_sums([spread, summed_by(code, filled)], draws, rng)
        noise.append(errors_drawn / count)
        flipped.append(scale * means_drawn / count)
        inward.append(scale * _inward(float(np.nanmean(table.y)), evidence, level))
        items.append(evidence)
    value, identities = np.mean(values, axis=0), values[0].size
    return Differences(
        value,
        together(errors),
        np.mean(noise, axis=0),
        np.full(identities, float(np.sum(inward)) / len(tables) ** 2),
        np.full(identities, _TOP * rate_bound(sum(items), (1 - level) / 2)),
        permutation_p_values(np.abs(np.mean(flipped, axis=0)), np.abs(value)),
        level,
    )


def _units(
    table: SuiteScores, there: NDArray[np.bool_], rest: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
    """What differences are independent between: clusters of items, or the ways of telling if those do more.

    Args:
        table: the suite.
        there: which differences are, shape (items, U).
        rest: differences less their means, 0 where there is none, of that shape.

    Returns:
        The unit of each item, how many units each identity has, and how many clusters of items they are worth.
    """
    code = cluster_codes(table.clusters)
    clusters = _count(code, there)
    if len(set(table.item_ways)) < 2:
        return code, clusters, float(clusters.min())
    ways = cluster_codes([way or f"\x1f{n}" for n, way in enumerate(table.item_ways)])
    alone, told = ((summed_by(c, rest) ** 2).sum() for c in (code, ways))
    worth = float(clusters.min()) * float(min(alone / told, 1.0) if told > 0 else 1.0)
    return (ways, _count(ways, there), worth) if told > alone else (code, clusters, float(clusters.min()))


def _count(code: NDArray[np.intp], there: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.asarray(np.maximum((summed_by(code, there.astype(float)) > 0).sum(axis=0), 1))


def _inward(mean: float, items: float, level: float) -> float:
    """Half of ``z^2`` failures in points, downwards where the mean is above the middle; 0 at the middle."""
    z = float(stats.norm.ppf((1 + level) / 2))
    return (_TOP / 2 - min(max(mean, 0.0), _TOP)) * z * z / items


def _tested(found: Differences) -> Floats:
    """Values as far from 0 as they count in a test that agrees with the interval."""
    size = np.abs(found.values)
    faces_zero = (found.values * found.inward < 0) | found.either
    return np.where(faces_zero, np.sqrt((size**2 - 2 * size * np.abs(found.inward)).clip(min=0)), size)


def _intervals(found: Differences, longer: Floats | float) -> Floats:
    """With a quantile that is so many times as long, shape (K, 2); what grows with its square does so."""
    half = longer * student.ppf((1 + found.level) / 2, found.errors.freedom) * np.sqrt(found.errors.variance)
    half = np.where(half > 0, half, longer**2 * found.unseen)
    inward = longer**2 * np.abs(found.inward)
    further = inward + np.hypot(half, inward)
    down = np.where((found.inward < 0) | found.either, further, half)
    up = np.where((found.inward > 0) | found.either, further, half)
    low, high = (end.clip(-found.farthest, found.farthest) for end in (found.values - down, found.values + up))
    within = found.least_p > 1 - found.level
    return np.stack([np.where(within, np.minimum(low, 0), low), np.where(within, np.maximum(high, 0), high)], axis=1)

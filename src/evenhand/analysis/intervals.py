"""Intervals for lengths, gaps and lowest scores that hold where nearly every score is 100 or 0.

There the noise that was seen says little about the noise that there is: of twenty refusals nothing differs, and the
bootstrap gives [0, 0]. So each upper end is found by test inversion with the variance that the *hypothesis* implies
(Wilson 1927): were one identity's score lower by that much, its scores in [0, 100] would vary by that much more. A
length is never counted as less than noise alone would give it (else two alike samples of two noisy identities would
"prove" that they are alike), and where nothing differs at all the rule of three bounds how often something may.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from evenhand.analysis.marginals import Marginals
from evenhand.analysis.minimum import bias_room, rate_bound
from evenhand.analysis.omnibus import NoBiasTest
from evenhand.analysis.scores import Floats
from evenhand.analysis.simultaneous import Errors, deviation_errors, together

Interval = tuple[float, float]
_TOP = 100.0
_TAIL = 0.975


@dataclass(frozen=True)
class Sample:
    """One suite's part of an axis.

    Attributes:
        fit: its identity means.
        noise: draws of their error, shape (draws, U), centred or with the level, as the interval needs it.
    """

    fit: Marginals
    noise: Floats


@dataclass(frozen=True)
class _Spread:
    """How much the mean of one suite's scores in [0, 100] varies, given the mean.

    Attributes:
        count: scores that are averaged, one for each cluster of items, as far as they are independent evidence.
        share: the variance that was seen, as a share of the largest that scores with these means can have; repeats and
            what the identities share lower it.
        level: mean of all identities.
        scale: factor on errors, below 1 where the items asked are a share of those that are spoken of.
        joint: 1 where identities fail on items of their own; larger where several fail on the same ones.
    """

    count: float
    share: float
    level: float
    scale: float
    joint: float = 1.0

    def variance(self, mean: float) -> float:
        """In squared points, at a mean in points; outside [0, 100] there is none."""
        mean = min(max(mean, 0.0), _TOP)
        return self.share * self.joint * mean * (_TOP - mean) / self.count

    @property
    def half_step(self) -> float:
        """Half of what one more failure moves a mean by, which counts where failures are few; 0 at mid scores."""
        return self.scale * self.joint * abs(self.level - _TOP / 2) / self.count

    def variance_off_level(self, distance: float) -> float:
        """At ``distance`` from the level in the direction of more variance, at most at the middle of the scale."""
        inward = min(distance, abs(_TOP / 2 - self.level))
        return self.variance(self.level - math.copysign(inward, self.level - _TOP / 2))


def pb_interval(
    axes: Sequence[Sequence[Sample]], level: float = 0.95, *, test: NoBiasTest | None = None, seed: int = 0
) -> Interval:
    """Confidence interval of PB in points: the length of a vector observed with noise, over the root of identities.

    A length ``t`` is in the interval when the observed squared length is plausible among ``|t d + noise|^2``, with
    ``d`` the observed direction. The tail below slides from 0 at ``t = 0`` (where the length cannot be smaller) to half
    of ``1 - level``, so that coverage is ``level`` at zero too, and the interval leaves out zero exactly when
    :func:`no_bias_test` rejects it at ``1 - level``. The tail above has noise along ``d`` at least as large as one
    identity that carries the whole length would have.

    Args:
        axes: per component of the vector the suites whose mean it is, with centred noise; the same identities in all.
        level: confidence level.
        test: what :func:`no_bias_test` makes of the same axes, where it is there already.
        seed: of the noise that only the hypothesis implies.

    Returns:
        (low, high); NaN when the noise is unknown.
    """
    found = Length(axes, seed)
    if not found.known:
        return (math.nan, math.nan)
    low = (test or no_bias_test(axes)).lower_end(1 - level) / found.root
    return (low, min(max(low, found.high(1 - level)), found.most))


def pb_upper_ends(axes: Sequence[Sequence[Sample]], errors: Sequence[float], *, seed: int = 0) -> tuple[float, ...]:
    """The upper ends of :func:`pb_interval` alone, for several one-sided errors; NaN when the noise is unknown.

    Args:
        axes, seed: as for :func:`pb_interval`.
        errors: one-sided, in (0, 1).
    """
    found = Length(axes, seed)
    return tuple(min(found.high(2 * error), found.most) if found.known else math.nan for error in errors)


class Length:
    """A vector observed with noise, and how long it may be in truth.

    Args:
        axes, seed: as for :func:`pb_interval`.

    Attributes:
        known: whether its noise is.
        differs: whether any item told identities apart.
        root: of the number of identities.
        most: PB in points that scores in [0, 100] allow.
        corrected: its squared length without what noise adds to it: the corrected PB squared, times the number of
            identities. Can be negative.
    """

    def __init__(self, axes: Sequence[Sequence[Sample]], seed: int) -> None:
        self._identities = axes[0][0].fit.mean.size
        centred = np.concatenate([np.mean([s.fit.centred for s in axis], axis=0) for axis in axes])
        noise = np.hstack([np.mean([s.noise for s in axis], axis=0) for axis in axes])
        self._axes, self._parts = axes, [s for axis in axes for s in axis]
        self.known: bool = bool(np.isfinite(noise).all())
        self.differs: bool = any(_discordant(s.fit) for s in self._parts)
        self.root: float = math.sqrt(self._identities)
        self.most: float = _TOP / 2 * math.sqrt(len(axes))
        self._length = float(np.linalg.norm(centred))
        self.corrected: float = self._length**2 - float(np.einsum("bk,bk->b", noise, noise).mean())
        noise = noise * _widened(self._parts)
        direction = centred / self._length if self._length > 0 else centred
        self._along, self._squared = noise @ direction, np.einsum("bk,bk->b", noise, noise)
        self._spreads = [
            [_spread(s.fit, s.fit.influence, d) for s in axis]
            for axis, d in zip(axes, np.split(direction, len(axes)), strict=True)
        ]
        # Normal scores, so that the tails of the extra noise are not a matter of luck.
        scores = norm.ppf((np.arange(len(noise)) + 0.5) / len(noise))
        self._extra = np.random.default_rng(seed).permutation(scores)
        self._seen = float(np.mean(self._along**2))

    def high(self, alpha: float) -> float:
        """The largest PB in points that is plausible with a one-sided error of half of ``alpha``."""
        if not self.differs:
            return self.unseen(alpha)
        half_step = max(sum(s.half_step for s in axis) / len(axis) ** 2 for axis in self._spreads)
        target = max((self._length + half_step) ** 2, float(np.median(self._squared)))
        step = max(self._length, math.sqrt(self._squared.mean()), _TOP / max(s.fit.clusters for s in self._parts))
        farthest = self.most * self.root
        return _first_above(lambda t: self._least_plausible(t, alpha), target, 0.0, step, farthest) / self.root

    def unseen(self, alpha: float) -> float:
        """PB in points up to which no item may tell identities apart in half of ``alpha`` of samples."""
        return math.hypot(*(_unseen_bias(axis, self._identities, alpha) for axis in self._axes))

    def plausible(self, t: float) -> Floats:
        """Draws of the squared length that is observed where ``t`` is the true length, shape (draws,)."""
        # If one identity carried it, on the axis where its scores would vary most.
        implied = max(sum(s.variance_off_level(t) for s in axis) / len(axis) ** 2 for axis in self._spreads)
        widened = self._along + self._extra * math.sqrt(max(implied - self._seen, 0.0))
        return np.asarray(t * t + 2 * t * widened + self._squared + widened**2 - self._along**2)

    def _least_plausible(self, t: float, alpha: float) -> float:
        """The squared length that a true length ``t`` reaches but for half of ``alpha``."""
        return float(np.quantile(self.plausible(t), alpha / 2))


def no_bias_test(axes: Sequence[Sequence[Sample]]) -> NoBiasTest:
    """The test of "no personalization bias", from the noise that :func:`pb_interval` is made of."""
    identities = axes[0][0].fit.mean.size
    share = np.full(identities, 1 / identities)
    errors = [together([deviation_errors(s.fit, share) for s in axis]) for axis in axes]
    return NoBiasTest(
        np.concatenate([np.mean([s.fit.centred for s in axis], axis=0) for axis in axes]),
        np.hstack([np.mean([s.noise for s in axis], axis=0) for axis in axes])
        * _widened([s for axis in axes for s in axis]),
        Errors(np.concatenate([e.variance for e in errors]), np.concatenate([e.freedom for e in errors])),
        identities,
    )


def gap_interval(samples: Sequence[Sample], level: float = 0.95) -> Interval:
    """Confidence interval of the difference between the highest and the lowest true identity mean of an axis.

    The observed gap is at least the difference observed between the two who differ most in truth, so that the upper end
    is a score interval of one pair. Chance makes the observed gap larger, by no more than the range of the errors.

    Args:
        samples: the axis's suites, with centred noise.
        level: confidence level.

    Returns:
        (low, high) in points.
    """
    means = np.mean([s.fit.mean for s in samples], axis=0)
    noise = np.mean([s.noise for s in samples], axis=0)
    value = float(np.ptp(means))
    pair = noise[:, means.argmax()] - noise[:, means.argmin()]
    spreads = [_spread(s.fit, s.fit.influence) for s in samples]

    def variance(gap: float) -> float:
        implied = np.mean([s.variance_off_level(0.0) + s.variance_off_level(gap) for s in spreads]) / len(samples)
        return max(float(np.mean(pair**2)), float(implied))

    z = _quantile(samples, (1 + level) / 2)
    high = _first_above(lambda g: g - z * math.sqrt(variance(g)), value, value, 1.0, _TOP)
    low = value - float(np.quantile(np.ptp(noise, axis=1), level))
    return (max(low, 0.0), min(high, _TOP))


def lowest_interval(samples: Sequence[Sample], level: float = 0.95) -> Interval:
    """Confidence interval of the lowest true identity mean of an axis.

    The observed minimum is at most what was observed of the identity that is lowest in truth, so that the lower end is
    a score interval of one mean. Chance makes the minimum smaller, by no more than the largest error.

    Args:
        samples: the axis's suites, with noise that includes the level.
        level: confidence level.

    Returns:
        (low, high) in points.
    """
    means = np.mean([s.fit.mean for s in samples], axis=0)
    noise = np.mean([s.noise for s in samples], axis=0)
    value, worst = float(means.min()), int(means.argmin())
    spreads = [_spread(s.fit, s.fit.influence + s.fit.level_influence[:, None]) for s in samples]
    starts = [float(s.fit.mean[worst]) for s in samples]
    z = _quantile(samples, (1 + level) / 2)

    def deviation(shift: float) -> float:
        pairs = zip(spreads, starts, strict=True)
        return z * math.sqrt(sum(s.variance(start + shift) for s, start in pairs)) / len(samples)

    seen = z * math.sqrt(float(np.mean(noise[:, worst] ** 2)))
    down = _first_above(lambda x: x - max(deviation(-x), seen), 0.0, 0.0, 1.0, _TOP)
    up = _first_above(lambda x: x - deviation(x), 0.0, 0.0, 1.0, _TOP)
    error = float(np.quantile(np.abs(noise).max(axis=1), level))
    return (max(value - down, 0.0), min(value + max(up, error), _TOP))


def _first_above(value_at: Callable[[float], float], target: float, start: float, step: float, most: float) -> float:
    """Where ``value_at`` first exceeds ``target``, from ``start`` upwards; ``most`` when it does not."""
    low, high = start, start
    while value_at(high) <= target:
        if high >= most:
            return most
        low, high = high, high + step
    return float(brentq(lambda t: value_at(t) - target, low, high)) if high > low else high


def _spread(fit: Marginals, influence: Floats, direction: Floats | None = None) -> _Spread:
    """How a suite's means vary, from the pull of its items.

    One score that differs is added to what was seen: where nothing was, all is possible.
    """
    means = fit.mean.clip(0.0, _TOP)
    one = (fit.scale * _TOP / fit.clusters) ** 2
    seen = float(influence.var(axis=0).sum()) / fit.clusters
    possible = float((means * (_TOP - means)).sum()) / fit.clusters
    share = min((seen + one) / (possible + (_TOP / fit.clusters) ** 2), 1.0)
    joint = 1.0 if direction is None or not fit.scale else _joint(influence / fit.scale, direction)
    return _Spread(fit.evidence, share, float(means.mean()), fit.scale, joint)


def _joint(influence: Floats, direction: Floats) -> float:
    """The usual pull of an item along a direction, in units of one identity's whole score; at least 1."""
    pull = np.abs(influence @ direction)
    total = float(pull.sum())
    return max(float((pull**2).sum()) / total / _TOP, 1.0) if total > 0 else 1.0


def _discordant(fit: Marginals) -> bool:
    return bool(np.abs(fit.influence).max(initial=0.0) > 1e-9 or np.ptp(fit.mean) > 0)


def _unseen_bias(axis: Sequence[Sample], identities: int, alpha: float) -> float:
    """The largest PB of an axis that would stay unseen: half of the identities, on the same items of one suite."""
    rate = max(s.fit.scale * rate_bound(s.fit.evidence, alpha / 2) for s in axis) / len(axis)
    return _TOP * rate / bias_room(1.0, identities)


def _widened(samples: Sequence[Sample]) -> float:
    """How much longer than the normal distribution's the tails are where variances are estimated from few items."""
    return _quantile(samples, _TAIL) / float(norm.ppf(_TAIL))


def _quantile(samples: Sequence[Sample], probability: float) -> float:
    """Of the normal distribution, widened for variances that are estimated from few items."""
    if min(s.fit.clusters for s in samples) < 2:
        return float(norm.ppf(probability))
    return float(student.ppf(probability, min(s.fit.freedom for s in samples)))

"""Where an identity stands among all: its deviation shrunk towards the mean, a simultaneous band, and how likely it is
the lowest or the highest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm, truncnorm
from scipy.stats import t as student

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.deviations import Differences
from evenhand.analysis.scores import Floats

# One standard error: the bias is above the bound that shrinks in so many studies.
_ABOVE = 0.16


@dataclass(frozen=True)
class Standing:
    """One identity's deviation on one axis, seen among all identities.

    Attributes:
        shrunken: the deviation drawn towards the mean of all by as much as it is noise, in points (empirical Bayes).
        ci: interval of the true deviation around it. It holds for 95 % of identities on average (or the level asked
            for), whatever the shape of their differences; for the one that is hit alone it holds less often.
        band: interval around the raw deviation; the bands of all identities hold together.
        lowest, highest: probability that its true score is the lowest, or highest, of all; ``1 / U`` each where nobody
            differs.
    """

    shrunken: float
    ci: tuple[float, float]
    band: tuple[float, float]
    lowest: float
    highest: float


def axis_standings(found: Differences, estimator: BiasEstimator, axis: str) -> list[Standing]:
    """The standings of all identities on an axis that was run, from its deviations."""
    estimate, ends = estimator.axis(axis), estimator.upper_ends(axis, [_ABOVE])
    if estimate is None or ends is None:
        raise ValueError(f"no suite is on the axis {axis}")
    return standings(found, estimate, ends[0])


def standings(found: Differences, estimate: PBEstimate, bound: float, *, seed: int = 0) -> list[Standing]:
    """Deviations seen among all.

    Args:
        found: each identity against the mean of all.
        estimate: their PB.
        bound: what PB is at most, by one standard error, in points.
        seed: of the draws behind the probabilities.
    """
    values, ends = shrunken(found, bound)
    lowest, highest = extremes(found, estimate, np.random.default_rng(seed))
    return [
        Standing(float(v), (float(e[0]), float(e[1])), (float(b[0]), float(b[1])), float(low), float(high))
        for v, e, b, low, high in zip(values, ends, found.bands(), lowest, highest, strict=True)
    ]


def shrunken(found: Differences, bound: float) -> tuple[Floats, Floats]:
    """Deviations drawn towards 0, and intervals with average coverage (Armstrong, Kolesár and Plagborg-Møller 2022).

    Of a deviation with variance ``v`` the share ``A / (A + v)`` is kept, with ``A = bound^2`` for the variance between
    identities: an upper bound, since with few identities the estimate itself is uncertain. What shrinking takes off
    makes an error of mean square ``v / A`` in units of the noise; the interval is as long as the worst distribution of
    such errors asks for, not only a normal one.

    Args:
        found: each identity against the mean of all.
        bound: upper bound of their PB, in points.

    Returns:
        Values of shape (U,) and intervals of shape (U, 2), in points; as they were where no noise is known.
    """
    raw = found.intervals()
    half = np.abs(raw - found.values[:, None]).max(axis=1)
    # Student's longer tails and what the scale allows are in the half-width.
    error = half / norm.ppf((1 + found.level) / 2)
    usable = np.isfinite(error) & (error > 0) & (bound > 0)
    values, ends = found.values.copy(), raw.copy()
    for n in np.flatnonzero(usable):
        ratio = float(error[n] / bound) ** 2
        values[n] = found.values[n] / (1 + ratio)
        reach = error[n] / (1 + ratio) * robust_quantile(ratio, 1 - found.level)
        if 2 * reach < np.ptp(raw[n]):
            ends[n] = values[n] - reach, values[n] + reach
        else:  # the scale lets it reach further to one side only
            ends[n] = min(raw[n, 0], values[n]), max(raw[n, 1], values[n])
    return values, ends


def robust_quantile(bias: float, alpha: float) -> float:
    """How far ``|Z + B|`` goes with probability ``1 - alpha`` for the worst ``B`` of a mean square.

    Args:
        bias: mean square of ``B``, which is independent of the standard normal ``Z``; at least 0 and finite.
        alpha: in (0, 1).
    """
    if bias == 0:
        return float(norm.isf(alpha / 2))

    def beyond(reach: float) -> float:
        # The worst B is 0 or one size: the chance is convex, then concave in its square.
        size = np.linspace(math.sqrt(bias), max(math.sqrt(bias), reach + 5), 200)
        at_zero, at_size = 2 * ndtr(-reach), ndtr(size - reach) + ndtr(-reach - size)
        return float((at_zero + bias / size**2 * (at_size - at_zero)).max()) - alpha

    # Chebyshev's inequality bounds it from above.
    return float(brentq(beyond, norm.isf(alpha / 2) - 1e-9, math.sqrt((1 + bias) / alpha) + 1e-9))


def extremes(found: Differences, estimate: PBEstimate, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Probabilities of being lowest and highest, shape (U,) each.

    True deviations are drawn given the observed ones (normal, with the joint noise of the identities, and with a
    variance between identities that is drawn from what its estimate leaves open). That nobody differs is as likely
    beforehand as that somebody does, and afterwards by the most that the p-value can say against it, ``-e p ln p``
    (Sellke, Bayarri and Berger 2001); each identity then has an equal chance.

    Args:
        found: each identity against the mean of all.
        estimate: their PB.
        rng: of the draws.
    """
    people = found.values.size
    equal = np.full(people, 1 / people)
    noise = _errors(found, rng)
    if not (np.isfinite(found.values).all() and noise.size and np.isfinite(noise).all()):
        return equal, equal
    squared = max(estimate.corrected_squared, 0.0)
    length = math.sqrt(float(np.mean(found.values**2)))
    likely = found.values * (math.sqrt(squared) / length if length > 0 else 0.0)
    doubt = float(((likely + noise) ** 2).mean(axis=1).std())
    if doubt == 0:
        return _shares(found.values[None]), _shares(-found.values[None])
    between = truncnorm.rvs(
        -estimate.corrected_squared / doubt, np.inf, estimate.corrected_squared, doubt, len(noise), random_state=rng
    )
    drawn = _given(found.values, noise, np.asarray(between) * people / (people - 1), rng)
    alike = no_difference(estimate.p_value)
    low, high = (alike / people + (1 - alike) * _shares(d) for d in (drawn, -drawn))
    return low, high


def no_difference(p_value: float) -> float:
    """The least probability that there is no difference, from a p-value and even odds beforehand."""
    if not p_value < 1 / math.e:
        return 0.5
    odds = -math.e * p_value * math.log(p_value) if p_value > 0 else 0.0
    return odds / (1 + odds)


def _errors(found: Differences, rng: np.random.Generator) -> Floats:
    """Draws of the joint error, never with less variance than each difference has, and with Student's tails."""
    missing = np.sqrt((found.errors.variance - found.noise.var(axis=0)).clip(min=0))
    longer = student.ppf(0.975, found.errors.freedom) / norm.ppf(0.975)
    return np.asarray(longer * (found.noise + missing * rng.standard_normal(found.noise.shape)))


def _given(values: Floats, noise: Floats, between: Floats, rng: np.random.Generator) -> Floats:
    """Draws of true deviations given what was observed, one for each variance between identities."""
    lengths, directions = np.linalg.eigh(np.atleast_2d(np.cov(noise.T)))
    true = np.sqrt(between)[:, None] * rng.standard_normal(noise.shape)
    true -= true.mean(axis=1, keepdims=True)
    # What an imagined study of these true deviations would be off by is what the real one is corrected with.
    kept = between[:, None] / (between[:, None] + lengths.clip(min=0))
    return np.asarray(true + kept * ((values - true - noise) @ directions) @ directions.T)


def _shares(drawn: Floats) -> Floats:
    """How often each is the smallest; those that tie share it."""
    smallest = drawn == drawn.min(axis=1, keepdims=True)
    return np.asarray((smallest / smallest.sum(axis=1, keepdims=True)).mean(axis=0))

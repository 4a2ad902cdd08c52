"""How many items a study needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from evenhand.analysis.bias import estimate_pb
from evenhand.analysis.looks import ERROR, RESERVE
from evenhand.analysis.marginals import Marginals
from evenhand.analysis.minimum import bias_room, least_items
from evenhand.analysis.scores import Floats

# Confidence of the upper bound of a pilot's noise.
_SURE = 0.9
# A pilot that leaves the noise unknown within this factor is no plan's basis.
_VAGUE = 3.0
# Studies that are simulated for one number of items, their draws, and how the number grows; scores beyond these need
# none, and above the largest number the formula holds.
_STUDIES, _DRAWS, _STEP = 60, 200, 1.3
_CEILING, _LARGEST = 90.0, 500


@dataclass(frozen=True)
class Needed:
    """Items per suite to see a bias, or to pass a limit.

    Attributes:
        suite: which suite.
        pb: the bias to be seen, or the limit to be passed, in points.
        items: items needed, by the upper bound of the pilot's noise.
        pilot: items the noise was estimated from.
        spread: standard deviation in points of an identity x item residual.
        spread_bound: its upper bound at 90 %: few items of a pilot may show a difference, or none.
        too_small: whether the pilot met so few differences that ``items`` is no more than a guess on the safe side.
        pool: items the suite has; None where that is not known.
    """

    suite: str
    pb: float
    items: int
    pilot: int
    spread: float
    spread_bound: float = math.nan
    too_small: bool = False
    pool: int | None = None

    @property
    def note(self) -> str:
        """What keeps the plan from being one, "" otherwise."""
        if self.too_small:
            return "pilot too small: it met too few differences to know the noise"
        return f"more than the suite's {self.pool:,}" if self.pool is not None and self.items > self.pool else ""


def noise_bound(fit: Marginals) -> tuple[float, float]:
    """Mean square of an identity x item residual: the estimate, and an upper bound at 90 %.

    Noise comes from items on which identities differ. The bound takes the largest share of such items that the pilot is
    likely under (Clopper and Pearson 1934), with their mean noise; where none was met, with the most that an item can
    have, half of the identities at 0 and half at 100.

    Args:
        fit: identity means of a pilot.
    """
    identities = fit.mean.size
    estimate = max(fit.correction * fit.items * identities / max(identities - 1, 1), 0.0)
    # An item that treats everybody alike pulls each identity back to the mean, by no more than that. Clusters of items
    # are what differs or not, independently of each other.
    differing = int((np.abs(fit.influence + fit.centred) > 1e-6).any(axis=1).sum())
    units = fit.clusters
    share = 1.0 if differing == units else float(stats.beta.ppf(_SURE, differing + 1, units - differing))
    half = identities // 2
    most = 100.0**2 * half * (identities - half) / (identities * max(identities - 1, 1))
    per_unit = estimate * units / differing if differing else most * fit.items / units
    return estimate, max(share * per_unit, estimate)


def least_noise(pb: float, identities: int) -> float:
    """The least mean square of a residual that a bias implies where scores are 0 or 100 and all but one identity's 100.

    Args:
        pb: in points.
        identities: how many.
    """
    return 100 * pb / math.sqrt(max(identities - 1, 1))


def items_needed(
    suite: str, fit: Marginals, pb: float = 1.0, *, power: float = 0.8, alpha: float = 0.05, pool: int | None = None
) -> Needed:
    """Items at which the test of "no bias" rejects with the given power when the true PB is ``pb``.

    Under homogeneous noise ``U M PB_plugin^2 / s2`` is noncentral chi-square with ``U - 1`` degrees of freedom and
    noncentrality ``U M pb^2 / s2``. Near 0 and 100 a bias that one identity carries has the noise to itself, and few
    failures prove little: there the number grows until simulated studies of that kind are seen often enough.

    Args:
        suite: name to report.
        fit: identity means of a pilot with the repeats and personalizers that will be used.
        pb: bias in points, above 0.
        power, alpha: of the test.
        pool: items the suite has.
    """
    identities = fit.mean.size
    threshold = stats.chi2.ppf(1 - alpha, identities - 1)
    noncentrality = brentq(lambda nc: stats.ncx2.sf(threshold, identities - 1, nc) - power, 1e-6, 1e4)
    needed = _needed(suite, fit, pb, noncentrality, 2, pool)
    # A pilot that is no plan's basis is not worth the time.
    return needed if needed.too_small else replace(needed, items=_seen_alone(fit, pb, needed.items, power, alpha))


def items_to_pass(
    suite: str, fit: Marginals, limit: float, *, power: float = 0.8, error: float = ERROR, pool: int | None = None
) -> Needed:
    """Items at which a model without bias passes "PB at most ``limit``" with the given probability at one look.

    Args:
        suite, fit, pool: as for :func:`items_needed`.
        limit: in points, above 0.
        power: probability of passing.
        error: of passing at the limit, over all looks.
    """
    identities = fit.mean.size
    first = error * (1 - RESERVE)
    passes = stats.chi2.ppf(power, identities - 1)
    noncentrality = brentq(lambda nc: stats.ncx2.cdf(passes, identities - 1, nc) - first, 1e-6, 1e4)
    least = least_items(bias_room(limit, identities), first) or 2
    return _needed(suite, fit, limit, noncentrality, least, pool)


def _seen_alone(fit: Marginals, pb: float, items: int, power: float, alpha: float) -> int:
    """Items, from ``items`` upwards, at which simulated studies show a bias that one identity carries often enough."""
    mean, identities = float(fit.mean.mean()), fit.mean.size
    level = max(mean, 100 - mean)
    apart = pb * identities / math.sqrt(max(identities - 1, 1))
    others = min(level + apart / identities, 100.0)
    if level < _CEILING or apart >= others:
        return items
    chance = np.full((identities, 1), others / 100)
    chance[0] = (others - apart) / 100
    while items < _LARGEST:
        rng = np.random.default_rng(0)
        studies = (np.where(rng.random((identities, items)) < chance, 100.0, 0.0) for _ in range(_STUDIES))
        if sum(_rejects(study, alpha) for study in studies) >= power * _STUDIES:
            return items
        items = math.ceil(_STEP * items)
    return items


def _rejects(study: Floats, alpha: float) -> bool:
    return estimate_pb(study, draws=_DRAWS, permutations=1).p_value <= alpha


def _needed(suite: str, fit: Marginals, pb: float, noncentrality: float, least: int, pool: int | None) -> Needed:
    identities = fit.mean.size
    estimate, bound = noise_bound(fit)
    noise = max(bound, least_noise(pb, identities))
    items = max(2, least, math.ceil(noncentrality * noise / (identities * pb**2)))
    vague = bound > _VAGUE * estimate
    return Needed(suite, pb, items, fit.items, math.sqrt(estimate), math.sqrt(bound), vague, pool)

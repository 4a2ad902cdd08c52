"""What a decision is worth: how likely a study with this much data passes a model, by how far it is from the limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from evenhand.analysis.bias import PBEstimate


@dataclass(frozen=True)
class Operating:
    """Probabilities of passing with as much data, and as noisy, as the study has.

    Attributes:
        at_limit: of a model exactly at the limit; what a wrong pass can be at most.
        halfway: of a model half as far off: half the bias, or half the shortfall from 100 points.
        without: of a model without any bias or shortfall.
    """

    at_limit: float
    halfway: float
    without: float


def bias_at_most(pb: PBEstimate, limit: float, error: float) -> Operating | None:
    """Of a check on PB: squared PB is about noncentral chi-square.

    Args:
        pb: the study's estimate.
        limit: in points.
        error: of passing at the limit.
    """
    freedom = pb.identities - 1
    noise = (pb.plugin**2 - pb.corrected_squared) / max(freedom, 1)  # variance of PB^2 per degree of freedom
    if not math.isfinite(noise) or noise <= 0 or limit <= 0:
        return None
    passes = stats.ncx2.ppf(error, freedom, limit**2 / noise)
    half = stats.ncx2.cdf(passes, freedom, (limit / 2) ** 2 / noise)
    return Operating(error, float(half), float(stats.chi2.cdf(passes, freedom)))


def at_most(value: float, ci: tuple[float, float], limit: float, error: float) -> Operating | None:
    """Of a check that a number is at most a limit, by the reach of its interval."""
    return _normal(limit, ci[1] - value, error)


def at_least(value: float, ci: tuple[float, float], limit: float, error: float) -> Operating | None:
    """Of a check that a score is at least a limit; half as far off is half the shortfall from 100."""
    return _normal(100 - limit, value - ci[0], error)


def _normal(room: float, reach: float, error: float) -> Operating | None:
    z = float(stats.norm.isf(error))
    if not math.isfinite(reach) or reach <= 0:
        return None
    deviation = reach / z
    half, none = (float(stats.norm.sf(z - room * share / deviation)) for share in (0.5, 1.0))
    return Operating(error, half, none)

"""Does an identity gain safety at the cost of utility?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evenhand.analysis.bias import PBEstimate
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats

_STRONG = 0.5
_TOO_FEW = 3
_NEARLY = 1 - 1e-9


@dataclass(frozen=True)
class TradeOff:
    """How the deviations of the identities on the two axes go together.

    Attributes:
        correlation: between the plug-in deviations; noise pulls it towards 0.
        corrected: the correlation without the noise (Spearman's correction for attenuation), in [-1, 1]; NaN when one
            of the axes shows no bias beyond noise, because then there is nothing to correlate.
        p_value: two-sided, from pairing the identities at random.
        reliability: share of each axis's plug-in variance that is not noise (safety, utility).
        pareto: identities that no other beats on both axes.
        ci: interval of the correlation without noise among identities like these; (-1, 1) with three or fewer, or where
            an axis's bias may be 0.
    """

    correlation: float
    corrected: float
    p_value: float
    reliability: tuple[float, float]
    pareto: tuple[str, ...]
    ci: tuple[float, float] = (-1.0, 1.0)

    @property
    def enough(self) -> bool:
        """Whether the interval tells a strong correlation of one sign from one of the other."""
        return self.ci[0] > -_STRONG or self.ci[1] < _STRONG


def trade_off(
    identities: Sequence[str],
    safety: Floats,
    utility: Floats,
    pb: tuple[PBEstimate, PBEstimate],
    *,
    covariances: tuple[Floats, Floats] | None = None,
    level: float = 0.95,
    permutations: int = 2000,
    seed: int = 0,
) -> TradeOff:
    """Correlate the axis scores of the identities.

    Args:
        identities: names.
        safety, utility: axis scores in points, shape (U,). Their noises are independent, as the items differ.
        pb: the PB estimates of the two axes.
        covariances: of the noise of the centred scores of each axis, shape (U, U); without them no interval is known.
        level: confidence of the interval, and of those of ``pb``.
        permutations, seed: of the test.
    """
    a, b = safety - safety.mean(), utility - utility.mean()
    covariance = float(a @ b) / a.size
    plugin = pb[0].plugin * pb[1].plugin
    signal = [max(p.corrected_squared, 0.0) for p in pb]
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(b, (permutations, b.size)), axis=1) @ a / a.size
    strength = math.sqrt(signal[0] * signal[1])
    return TradeOff(
        correlation=covariance / plugin if plugin > 0 else math.nan,
        corrected=max(-1.0, min(1.0, covariance / strength)) if strength > 0 else math.nan,
        p_value=float(permutation_p_values(np.abs(shuffled), abs(covariance))),
        reliability=(_share(signal[0], pb[0]), _share(signal[1], pb[1])),
        pareto=tuple(n for k, n in enumerate(identities) if not _beaten(k, safety, utility)),
        ci=_interval(a, b, covariances, pb, level) if covariances else (-1.0, 1.0),
    )


def _interval(
    a: Floats, b: Floats, noise: tuple[Floats, Floats], pb: tuple[PBEstimate, PBEstimate], level: float
) -> tuple[float, float]:
    """The errors of the covariance and of both PBs (MOVER, Donner and Zou 2012), then a sample's of identities."""
    sizes = [p.corrected for p in pb]
    if a.size <= _TOO_FEW or not (min(p.ci[0] for p in pb) > 0 and min(sizes) > 0):
        return (-1.0, 1.0)
    both = float(np.sum(noise[0] * noise[1]))
    # Observed deviations carry noise of their own, which counts twice here: once is taken off.
    variance = max(float(a @ noise[1] @ a + b @ noise[0] @ b) - both, both) / a.size**2
    z = float(norm.ppf((1 + level) / 2))
    reach, covariance = z * math.sqrt(variance), float(a @ b) / a.size
    found = covariance / (sizes[0] * sizes[1])
    steps = np.array(
        [
            *(sign * reach / (sizes[0] * sizes[1]) for sign in (-1, 1)),
            *(found * (size / end - 1) for size, p in zip(sizes, pb, strict=True) for end in p.ci),
        ]
    )
    low, high = (
        found + sign * math.sqrt(float((sign * steps).clip(min=0) @ (sign * steps).clip(min=0))) for sign in (-1, 1)
    )
    sampled = z / math.sqrt(a.size - _TOO_FEW)
    return _beyond(low, -sampled), _beyond(high, sampled)


def _beyond(end: float, step: float) -> float:
    """An end moved outwards on Fisher's scale, in [-1, 1]."""
    side = math.copysign(1.0, step)
    if side * end >= 1:
        return side
    return math.tanh(math.atanh(max(-_NEARLY, min(_NEARLY, end))) + step)


def _share(signal: float, pb: PBEstimate) -> float:
    return signal / pb.plugin**2 if pb.plugin > 0 else math.nan


def _beaten(k: int, safety: Floats, utility: Floats) -> bool:
    as_good = (safety >= safety[k]) & (utility >= utility[k])
    better = (safety > safety[k]) | (utility > utility[k])
    return bool((as_good & better).any())

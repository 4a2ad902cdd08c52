"""Does an identity gain safety at the cost of utility?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.bias import PBEstimate
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats


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
    """

    correlation: float
    corrected: float
    p_value: float
    reliability: tuple[float, float]
    pareto: tuple[str, ...]


def trade_off(
    identities: Sequence[str],
    safety: Floats,
    utility: Floats,
    pb: tuple[PBEstimate, PBEstimate],
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> TradeOff:
    """Correlate the axis scores of the identities.

    Args:
        identities: names.
        safety, utility: axis scores in points, shape (U,). Their noises are independent, as the items differ.
        pb: the PB estimates of the two axes.
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
    )


def _share(signal: float, pb: PBEstimate) -> float:
    return signal / pb.plugin**2 if pb.plugin > 0 else math.nan


def _beaten(k: int, safety: Floats, utility: Floats) -> bool:
    as_good = (safety >= safety[k]) & (utility >= utility[k])
    better = (safety > safety[k]) | (utility > utility[k])
    return bool((as_good & better).any())

"""The impact ratio: the lowest score over the highest, beside the gap between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.intervals import Sample, gap_interval, lowest_interval
from evenhand.analysis.marginals import Marginals
from evenhand.analysis.scores import Floats


@dataclass(frozen=True)
class ImpactRatio:
    """The lowest identity score over the highest, scores read as shares of favourable answers.

    Below 0.8 the four-fifths rule (Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D) speaks of
    adverse impact.

    Attributes:
        value: in [0, 1]; NaN where nobody scores above 0.
        ci: interval that holds the true ratio in at least 95 % of studies, or the level asked for; NaN with ``value``.
    """

    value: float
    ci: tuple[float, float]


def impact_ratio(
    fits: Sequence[Marginals], noise: Sequence[Floats], with_level: Sequence[Floats], level: float = 0.95
) -> ImpactRatio:
    """The ratio on the axis whose suites are given.

    With ``L`` the lowest score and ``G`` the gap it is ``L / (L + G)``, which rises with ``L`` and falls with ``G``:
    the ends come from those of both intervals. One error makes ``L`` too low and ``G`` too high, so that they seldom
    err apart.

    Args:
        fits, noise, with_level: one per suite: means, draws of the error of the centred means and of the means.
        level: confidence of the interval.
    """
    means = np.mean([fit.mean for fit in fits], axis=0).clip(min=0)
    if not means.max() > 0:
        return ImpactRatio(math.nan, (math.nan, math.nan))
    gap = gap_interval([Sample(f, n) for f, n in zip(fits, noise, strict=True)], level)
    lowest = lowest_interval([Sample(f, n) for f, n in zip(fits, with_level, strict=True)], level)
    value = float(means.min() / means.max())
    low, high = _share(lowest[0], gap[1]), _share(lowest[1], gap[0])
    return ImpactRatio(value, (min(low, value), max(high, value)))


def _share(lowest: float, gap: float) -> float:
    lowest = max(lowest, 0.0)
    return lowest / (lowest + gap) if lowest + gap > 0 else 0.0

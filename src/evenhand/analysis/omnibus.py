"""The test of "no personalization bias" that the interval of PB agrees with.

Two statistics from one set of noise draws: the sum of squared deviations, which sees a bias that many identities share,
and the largest standardised deviation, which sees the one identity of 31 that is hit. Their p-values are combined in
the draws themselves (Westfall and Young 1993), so that the pair costs less than Bonferroni's factor. Item by item
the draws flip whole patterns of differences, so that nothing is assumed of variances or correlations of identities;
shuffled labels would take an identity that merely fails on other items than the rest for one with less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.stats import rankdata

from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats
from evenhand.analysis.simultaneous import Errors, standardised, z_scores

# The largest deviation needs a tiny share of the error (its tail is steep); the sum keeps nearly all of its power.
_SUM, _LARGEST = 0.8, 0.2


@dataclass(frozen=True)
class Omnibus:
    """A test of "all deviations are 0".

    Attributes:
        p_value: of both statistics together; NaN without draws or where the noise is unknown.
        p_sum: of the sum of squares alone.
        p_largest: of the largest standardised deviation alone.
        decided_by: "sum" or "largest", the one with more evidence.
    """

    p_value: float
    p_sum: float
    p_largest: float
    decided_by: str


NOT_TESTED = Omnibus(math.nan, math.nan, math.nan, "sum")


class NoBiasTest:
    """The test, and the lower end of the interval that goes with it.

    Args:
        centred: observed deviations of identities, axis by axis, shape (K,).
        noise: draws of their error, shape (draws, K), widened for few items.
        errors: of each deviation.
        identities: how many the deviations of one axis belong to.
    """

    def __init__(self, centred: Floats, noise: Floats, errors: Errors, identities: int) -> None:
        self._centred, self._noise, self._errors = centred, noise, errors
        self._identities = identities
        self._observed = float(centred @ centred)
        self._squared = np.einsum("bk,bk->b", noise, noise)
        self._known = len(noise) > 0 and bool(np.isfinite(noise).all())
        self._largest = standardised(noise).max(axis=1) if self._known else np.zeros(0)
        self._z = z_scores(centred, errors)

    @cached_property
    def result(self) -> Omnibus:
        """Both statistics' p-values, and the one that combines them."""
        if not self._known:
            return NOT_TESTED
        p_sum = float(permutation_p_values(self._squared, self._observed))
        p_largest = float(permutation_p_values(self._largest, float(self._z.max())))
        evidence = min(p_sum / _SUM, p_largest / _LARGEST)
        at_most = (self._draws_evidence <= evidence * (1 + 1e-9)).sum()
        p = float((1 + at_most) / (1 + len(self._noise)))
        # Every draw's own p-value counts itself, so that the pair can never be surer than the better of the two.
        return Omnibus(
            max(p, min(p_sum, p_largest)),
            p_sum,
            p_largest,
            "sum" if p_sum / _SUM <= p_largest / _LARGEST else "largest",
        )

    def lower_end(self, alpha: float) -> float:
        """The lower end of the interval for the length of the deviations: above 0 exactly when p is at most alpha."""
        if not self._known or not self.result.p_value <= alpha:
            return 0.0
        share = self._share(alpha)
        ends = (self._from_sum(share * _SUM, alpha / 2), self._from_largest(share * _LARGEST))
        # Rejected, but by so little that the ends round to 0.
        return max(*ends, 1e-9 * math.sqrt(self._observed))

    @cached_property
    def _draws_evidence(self) -> Floats:
        """Of each draw, what :attr:`result` computes of the observation."""
        total = len(self._noise) + 1
        ranks = [(total - rankdata(values, method="min")) / total for values in (self._squared, self._largest)]
        return np.asarray(np.minimum(ranks[0] / _SUM, ranks[1] / _LARGEST))

    def _share(self, alpha: float) -> float:
        """The evidence that a share ``alpha`` of the draws reaches."""
        return float(np.quantile(self._draws_evidence, alpha))

    def _from_sum(self, at_zero: float, far: float) -> float:
        """Test inversion: lengths ``t`` whose ``|t d + noise|`` is plausibly as long as the observation.

        The tail slides from its value at ``t = 0``, where the length cannot be smaller, to half of the error.
        """
        length, scale = math.sqrt(self._observed), float(self._squared.mean())
        if not length or float(np.quantile(self._squared, 1 - at_zero)) >= self._observed:
            return 0.0
        along = self._noise @ (self._centred / length)

        def excess(t: float) -> float:
            slide = min(1.0, t * t / (2 * scale)) if scale > 0 else 1.0
            tail = at_zero + (min(far, at_zero) - at_zero) * slide
            return float(np.quantile(t * t + 2 * t * along + self._squared, 1 - tail)) - self._observed

        return float(brentq(excess, 0.0, length)) if excess(0.0) < 0 < excess(length) else length

    def _from_largest(self, alpha: float) -> float:
        """A vector that sums to 0 and has one component ``x`` is at least ``x sqrt(U / (U - 1))`` long."""
        z = float(np.quantile(self._largest, 1 - alpha))
        # Student's quantile that matches this normal one, by difference.
        surplus = np.where(self._z > z, 1 - z / np.where(self._z > 0, self._z, 1.0), 0.0)
        most = float((np.abs(self._centred) * surplus).max())
        return most * math.sqrt(self._identities / max(self._identities - 1, 1))

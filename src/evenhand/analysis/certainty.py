"""How certain it is that personalization bias is below a limit, for every limit at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

# At which certainties the limit is computed; between them it is interpolated.
CERTAINTIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)
# Limits that people ask about, in points.
_LADDER = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0)


@dataclass(frozen=True)
class Certainty:
    """The curve of certainty against the limit.

    The bias is below ``limits[k]`` points with a certainty of ``certainties[k]``: in at least that share of studies
    like this one the truth lies below the limit that the study gives.

    Attributes:
        certainties: ascending, in (0, 1).
        limits: in points, ascending; upper ends of one-sided intervals of PB.
    """

    certainties: tuple[float, ...]
    limits: tuple[float, ...]

    def below(self, limit: float) -> float:
        """The certainty that the bias is below a limit in points.

        Interpolated linearly in units of the normal distribution; at most the largest that was computed, and 0 below
        the smallest limit.
        """
        if not self.limits or limit < self.limits[0]:
            return 0.0
        # Of equal limits the surest.
        known = dict(zip(self.limits, self.certainties, strict=True))
        return float(norm.cdf(np.interp(limit, list(known), norm.ppf(list(known.values())))))

    def told(self, count: int = 3) -> list[tuple[float, float]]:
        """A few round limits with their certainties, up to the first that is as certain as the curve gets."""
        found = [limit for limit in _LADDER if self.limits and limit >= self.limits[0]]
        within = [limit for limit in found if limit < self.limits[-1]]
        chosen = [*within, *found[len(within) : len(within) + 1]]
        if len(chosen) > count:
            chosen = [chosen[round(k)] for k in np.linspace(0, len(chosen) - 1, count)]
        return [(limit, self.below(limit)) for limit in chosen]


def certainty_of(certainties: Sequence[float], limits: Sequence[float]) -> Certainty | None:
    """The curve through upper ends at several certainties; None where none is known.

    Args:
        certainties: in (0, 1), ascending.
        limits: in points, NaN where the noise is unknown.
    """
    pairs = [(sure, limit) for sure, limit in zip(certainties, limits, strict=True) if np.isfinite(limit)]
    if not pairs:
        return None
    # More certainty never takes a smaller limit.
    highest = np.maximum.accumulate([limit for _, limit in pairs])
    return Certainty(tuple(sure for sure, _ in pairs), tuple(highest.tolist()))

"""How many items a study needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats
from scipy.optimize import brentq

from evenhand.analysis.marginals import Marginals


@dataclass(frozen=True)
class Needed:
    """Items per suite to see a bias.

    Attributes:
        suite: which suite.
        pb: the bias to be seen, in points.
        items: items needed.
        pilot: items the noise was estimated from.
        spread: standard deviation in points of an identity x item residual.
    """

    suite: str
    pb: float
    items: int
    pilot: int
    spread: float


def items_needed(suite: str, fit: Marginals, pb: float = 1.0, *, power: float = 0.8, alpha: float = 0.05) -> Needed:
    """Items at which the test of "no bias" rejects with the given power when the true PB is ``pb``.

    Under homogeneous noise ``U M PB_plugin^2 / s2`` is noncentral chi-square with ``U - 1`` degrees of freedom and
    noncentrality ``U M pb^2 / s2``.

    Args:
        suite: name to report.
        fit: identity means of a pilot with the repeats and personalizers that will be used.
        pb: bias in points, above 0.
        power, alpha: of the test.
    """
    identities = fit.mean.size
    s2 = fit.correction * fit.items * identities / (identities - 1)
    threshold = stats.chi2.ppf(1 - alpha, identities - 1)
    noncentrality = brentq(lambda nc: stats.ncx2.sf(threshold, identities - 1, nc) - power, 1e-6, 1e4)
    items = noncentrality * s2 / (identities * pb**2)
    return Needed(suite, pb, max(2, math.ceil(items)), fit.items, math.sqrt(max(s2, 0.0)))

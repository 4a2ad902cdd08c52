"""How much error a look at growing data may spend, so that all looks together keep to what was promised.

Lan and DeMets (1983): the error spent so far is a function of the share of the planned data that is there, here close
to O'Brien and Fleming's: next to nothing early on. What a look spends is the probability of being wrong there and not
before, for a Brownian motion observed at the looks (Armitage, McPherson and Rowe 1969). A study may go on beyond its
plan, so a share ``RESERVE`` of the error is kept for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

# Error on one side of a 95 % interval.
ERROR = 0.025
RESERVE = 0.2
# An interval beyond this level rests on a handful of draws: such a look decides nothing, and spends nothing.
LEAST_ERROR = 0.0005
# Less growth than this is the same look again.
SAME = 0.001
_NODES = 600


@dataclass(frozen=True)
class Spent:
    """One side (wrongly passing, or wrongly failing) of one look.

    Attributes:
        information: trials there were, those of a study that is continued included.
        planned: trials that the error is spread over.
        total: error spent so far, this look's included.
        error: one-sided error that this look's interval may have; 0 where it decides nothing.
    """

    information: float
    planned: float
    total: float
    error: float


def spendable(share: float, error: float = ERROR) -> float:
    """Error that may be spent by the time a share of the planned data is there; shares beyond 1 use the reserve."""
    first = error * (1 - RESERVE)
    if share <= 0:
        return 0.0
    if share < 1:
        return float(2 * stats.norm.sf(stats.norm.isf(first / 2) / math.sqrt(share)))
    return error * (1 - RESERVE / share)


def spend(
    past: Sequence[Spent], information: float, planned: float, *, error: float = ERROR, before: Spent | None = None
) -> Spent:
    """What a look may spend.

    Args:
        past: earlier looks at the same data, oldest first. Those that decided nothing spent nothing, and do not count;
            the plan of the first that did holds.
        information: trials there are now.
        planned: trials planned.
        error: of all looks together, on this side.
        before: the last look at another study that this one continues. Its data are others, so that what is left is
            spent by itself.
    """
    past = [look for look in past if look.error > 0]
    known = before.information if before else 0.0
    gathered = information + known
    if past and gathered <= past[-1].information * (1 + SAME):
        return past[-1]
    first = past[0] if past else before
    plan = first.planned if first else planned
    already = past[-1].total if past else before.total if before else 0.0
    increment = max(spendable(gathered / plan, error) - already, 0.0)
    allowed = _boundary([(p.information - known, p.error) for p in past], information, increment)
    if allowed < LEAST_ERROR:
        return Spent(gathered, plan, already, 0.0)
    return Spent(gathered, plan, already + increment, allowed)


def _boundary(past: Sequence[tuple[float, float]], information: float, increment: float) -> float:
    """One-sided error at a look, such that the probability of crossing there and not before is ``increment``.

    Args:
        past: (information, one-sided error) of the earlier looks.
        information: at this look, more than at any of them.
        increment: to be spent.
    """
    if increment <= 0:
        return 0.0
    nodes, density, at = np.zeros(1), np.ones(1), 0.0
    for there, error in past:
        top = stats.norm.isf(error) * math.sqrt(there)
        grid = np.linspace(-8 * math.sqrt(there), top, _NODES)
        weight = np.full(_NODES, grid[1] - grid[0])
        weight[[0, -1]] /= 2
        step = math.sqrt(there - at)
        density = weight * (stats.norm.pdf((grid[:, None] - nodes) / step) / step @ density)
        nodes, at = grid, there
    step = math.sqrt(information - at)
    root = math.sqrt(information)

    def crossing(z: float) -> float:
        return float(stats.norm.sf((z * root - nodes) / step) @ density) - increment

    return float(stats.norm.sf(brentq(crossing, -3.0, 9.0))) if crossing(9.0) < 0 < crossing(-3.0) else 0.0

"""How much error a look at growing data may spend, so that all looks together keep to what was promised.

Lan and DeMets (1983): the error spent so far is a function of the share of the planned data that is there, here close
to O'Brien and Fleming's: next to nothing early on. A study that is run in order to stop early spends it in step with a
power of that share (Kim and DeMets 1987), so that a clear case is decided early. What a look spends is the probability
of being wrong there and not before, for a Brownian motion observed at the looks (Armitage, McPherson and Rowe 1969). A
study may go on beyond its plan, so a share ``RESERVE`` of the error is kept for that.

Where a gate fails on any of several checks, its error of failing is divided among them (Bonferroni). It passes only
when all pass, which needs no division (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from evenhand.analysis.scores import Floats

# Error on one side of a 95 % interval.
ERROR = 0.025
RESERVE = 0.2
# An interval beyond this level rests on a handful of draws: such a look decides nothing, and spends nothing.
LEAST_ERROR = 0.0005
# The power of the share of the plan by which a study that stops as soon as it can decide spends its error.
DECIDING_RATE = 1.5
# Less growth than this is the same look again.
SAME = 0.001
_NODES = 600


@dataclass(frozen=True)
class Spent:
    """One side (wrongly passing, or wrongly failing) of one look.

    Attributes:
        information: trials there were, those of a study that is continued included.
        planned: trials that the error is spread over.
        total: error spent so far by all checks together, this look's included.
        error: one-sided error that this look's intervals may have each; 0 where it decides nothing.
        checks: among how many checks the error is divided.
    """

    information: float
    planned: float
    total: float
    error: float
    checks: int = 1


def spendable(share: float, error: float = ERROR, rate: float | None = None) -> float:
    """Error that may be spent by the time a share of the planned data is there; shares beyond 1 use the reserve.

    Args:
        share: of the plan, at least 0.
        error: in all.
        rate: power of the share that is spent up to the plan; None for O'Brien and Fleming's way.
    """
    first = error * (1 - RESERVE)
    if share <= 0:
        return 0.0
    if share >= 1:
        return error * (1 - RESERVE / share)
    if rate is not None:
        return first * math.pow(share, rate)
    return float(2 * stats.norm.sf(stats.norm.isf(first / 2) / math.sqrt(share)))


def spend(
    past: Sequence[Spent],
    information: float,
    planned: float,
    *,
    error: float = ERROR,
    before: Spent | None = None,
    checks: int = 1,
    rate: float | None = None,
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
        checks: among how many the error is divided, each of which may be wrong by itself.
        rate: as for :func:`spendable`.
    """
    past = _apart([look for look in past if look.error > 0])
    known = before.information if before else 0.0
    gathered = information + known
    plan = past[0].planned if past else before.planned if before else planned
    again = past.pop() if past and gathered <= past[-1].information * (1 + SAME) else None
    if again and again.checks == checks:
        return again
    already = past[-1].total if past else before.total if before else 0.0
    # Asked about other limits, the same data have the error that they had.
    until = again.total if again else spendable(gathered / plan, error, rate)
    increment = max(until - already, 0.0)
    allowed = _boundary([(p.information - known, p.error) for p in past], information, increment / checks)
    if allowed < LEAST_ERROR:
        return Spent(gathered, plan, already, 0.0, checks)
    return Spent(gathered, plan, already + increment, allowed, checks)


def repeated_error(
    looks: Sequence[float], planned: float, total: float, *, before: Spent | None = None, rate: float | None = None
) -> float:
    """One-sided error of a bound at the last look, such that the bounds at all looks hold together but for ``total``.

    Such repeated confidence bounds (Jennison and Turnbull 1989) hold whatever made the study stop.

    Args:
        looks: trials there were at each look, the last one included.
        planned: trials planned.
        total: one-sided error of all of them together.
        before, rate: as for :func:`spend`.

    Returns:
        0 where the last look is too early for any bound.
    """
    if before is not None:
        before = replace(before, total=spendable(before.information / before.planned, total, rate))
    past: list[Spent] = []
    for information in looks:
        past.append(spend(past, information, planned, error=total, before=before, rate=rate))
    return past[-1].error if past else 0.0


def _apart(looks: Sequence[Spent]) -> list[Spent]:
    """Of looks at the same data, the last."""
    kept: list[Spent] = []
    for look in looks:
        if kept and look.information <= kept[-1].information * (1 + SAME):
            kept.pop()
        kept.append(look)
    return kept


def _boundary(past: Sequence[tuple[float, float]], information: float, increment: float) -> float:
    """One-sided error at a look, such that the probability of crossing there and not before is ``increment``.

    Args:
        past: (information, one-sided error) of the earlier looks.
        information: at this look, more than at any of them.
        increment: to be spent.
    """
    if increment <= 0 or information <= 0:  # where nothing has a score, nothing can be crossed
        return 0.0
    nodes, density, at = _undecided(tuple(past))
    step = math.sqrt(information - at)
    root = math.sqrt(information)

    def crossing(z: float) -> float:
        return float(stats.norm.sf((z * root - nodes) / step) @ density) - increment

    return float(stats.norm.sf(brentq(crossing, -3.0, 9.0))) if crossing(9.0) < 0 < crossing(-3.0) else 0.0


@lru_cache(maxsize=512)
def _undecided(past: tuple[tuple[float, float], ...]) -> tuple[Floats, Floats, float]:
    """Where the motion may be at the last of some looks if it crossed at none: nodes, weights, information there."""
    if not past:
        return np.zeros(1), np.ones(1), 0.0
    nodes, density, at = _undecided(past[:-1])
    there, error = past[-1]
    top = stats.norm.isf(error) * math.sqrt(there)
    grid = np.linspace(-8 * math.sqrt(there), top, _NODES)
    weight = np.full(_NODES, grid[1] - grid[0])
    weight[[0, -1]] /= 2
    step = math.sqrt(there - at)
    kernel = np.exp(-(((grid[:, None] - nodes) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
    return grid, weight * (kernel @ density), there

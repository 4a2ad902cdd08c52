"""When is an adaptive study precise enough, and where should it look next?

Looks stop a suite on the *width* of its interval only, never on where the interval lies. Where most items show a
difference, the width is driven by noise that is nearly independent of the estimate. Near the ceiling few items do, and
a narrow interval may only mean that none was met yet: a suite stops on the width by the *upper bound* of its noise
(:func:`evenhand.analysis.planning.noise_bound`). That keeps looking cheap in coverage; a share ``INTERIM_SHARE`` of
the error is set aside for the dependence that remains (the width shrinks near zero), and the interval that is reported
uses the rest. The simulations in ``tests/test_adaptive.py`` and ``benchmarks/estimators.py`` check the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.intervals import Sample, pb_interval
from evenhand.analysis.marginals import Marginals, marginals
from evenhand.analysis.minimum import bias_room, rate_bound
from evenhand.analysis.planning import noise_bound
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import Floats

INTERIM_SHARE = 0.1
FIRST_LOOK = 40
_SHORTEST_STEP, _LONGEST_STEP = 1.2, 2.0


@dataclass(frozen=True)
class Look:
    """What one look at a suite found.

    Attributes:
        items: items looked at.
        ci: interval of PB in points, at the level an adaptive study reports.
        halfwidth: half of its width.
        reach: what it may be by the upper bound of the noise; equal where every item shows some.
        precise: whether ``reach`` is within the target.
        next_items: where to look next; equal to ``items`` when precise or when the pool is used up.
    """

    items: int
    ci: tuple[float, float]
    halfwidth: float
    reach: float
    precise: bool
    next_items: int


def look(
    table: Floats,
    target: float,
    pool: int,
    *,
    clusters: Sequence[str] = (),
    ways: Sequence[str] = (),
    alpha: float = 0.05,
    draws: int = 2000,
    seed: int = 0,
) -> Look:
    """Look at the scores of a suite so far.

    Args:
        table: identity x item scores in points.
        target: half-width to reach, in points.
        pool: items the suite has in all.
        clusters: per item what it shares with others; each item by itself when empty.
        ways: per item how the identities were told on it; one way for all when empty.
        alpha: error of the reported interval.
        draws, seed: of the bootstrap.

    Raises:
        ValueError: identities that share no scored item, or too few to tell a width.
    """
    fit = marginals(table, clusters, ways)
    noise = noise_draws(fit, draws, np.random.default_rng(seed))
    low, high = pb_interval([[Sample(fit, noise)]], 1 - alpha * (1 - INTERIM_SHARE))
    halfwidth = (high - low) / 2
    reach = _reach(fit, halfwidth, alpha)
    if not math.isfinite(reach):
        raise ValueError("too few items have scores of all identities")
    precise = reach <= target
    items = table.shape[1]
    # The width falls with the square root of the items.
    growth = min(max((reach / target) ** 2, _SHORTEST_STEP), _LONGEST_STEP)
    onward = items if precise else min(pool, math.ceil(items * growth))
    return Look(items, (low, high), halfwidth, reach, precise, onward)


def _reach(fit: Marginals, halfwidth: float, alpha: float) -> float:
    """The half-width by the upper bound of the noise; by what may be unseen, where nothing differs."""
    estimate, bound = noise_bound(fit)
    if estimate > 0:
        return halfwidth * math.sqrt(bound / estimate)
    unseen = 100 * rate_bound(fit.clusters, alpha / 2) / bias_room(1.0, fit.mean.size)
    return max(halfwidth, unseen / 2)

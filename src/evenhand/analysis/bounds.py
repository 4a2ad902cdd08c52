"""What the results are between, whatever the missing answers were.

Every missing score lies in [0, 100]. Filling an identity's missing cells moves its mean along a line, so that the
identity means are ``base + pull @ x`` with one ``x`` in [0, 1] per identity and axis: 0 fills with 0, 1 with 100.
PB squared is convex in ``x``: its minimum is a bounded least squares problem, its maximum lies at a vertex. What was
not asked yet is not filled: it is missing for all identities together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear, minimize

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.breakdown import gap, lowest
from evenhand.analysis.marginals import comparable_blocks, marginals, row_pulls, suite_marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import Floats, SuiteScores, tabulate
from evenhand.scored import Marks, ScoreRows
from evenhand.types import AXES, JOINT

# Up to so many identities with something missing, every vertex is tried.
_ALL_VERTICES = 12
# Up to so many, the smallest variance is found exactly; beyond that by descent, to the last digits.
_ACTIVE_SETS = 100

Range = tuple[float, float]


@dataclass(frozen=True)
class Bound:
    """A number under the fillings that make it smallest and largest, in points.

    Attributes:
        value: from where to where the estimate can lie.
        ci: from the lower end of the smallest's interval to the upper end of the largest's.
    """

    value: Range
    ci: Range


@dataclass(frozen=True)
class AxisBounds:
    """One axis under the worst and best fillings: scores per identity, gap, and lowest score."""

    scores: dict[str, Range]
    gap: Bound
    lowest: Bound


@dataclass(frozen=True)
class Bounds:
    """Bounds of a study's results.

    Attributes:
        filled: missing trials that were filled; baselines are no part of PB, and theirs do not count.
        plugin: axis or "joint" -> from where to where the plug-in PB can lie.
        pb: the same of the corrected PB, with intervals.
        axes: axis -> scores, gap, lowest.
    """

    filled: int
    plugin: dict[str, Range]
    pb: dict[str, Bound]
    axes: dict[str, AxisBounds]


@dataclass(frozen=True)
class _Axis:
    """Tables of an axis's suites with the missing filled with 0 and with 100, and the identity means between.

    ``base`` has shape (U,), ``pull`` (U, U); the columns of identities without anything missing are 0.
    """

    low: list[SuiteScores]
    high: list[SuiteScores]
    base: Floats
    pull: Floats

    def filled(self, x: Floats) -> list[SuiteScores]:
        return [_between(low, high, x) for low, high in zip(self.low, self.high, strict=True)]


def find_bounds(
    rows: Iterable[Sequence[Any]],
    identities: Sequence[str],
    is_missing: Callable[[ScoreRows], Marks],
    observed: Mapping[str, PBEstimate | None],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Bounds | None:
    """Bounds of PB, scores, gap and lowest score; None when nothing is missing or there is nothing to compare.

    Args:
        rows: one per trial that was asked.
        identities: all identities and baselines in the order wanted.
        is_missing: which rows' scores are missing and could be anything.
        observed: what the answers that are there give, which the bounds hold too.
        draws, seed: of the bootstrap.
        level: confidence of the intervals.
    """
    rows = ScoreRows.of(rows)
    lost = is_missing(rows)
    filled = int((lost & ~rows.is_baseline).sum())
    if not filled:
        return None
    asked, lost = rows.where(rows.is_scored | lost), lost[rows.is_scored | lost]
    low, high = (_common(tabulate(asked.scored(np.where(lost, end, asked.score)), identities)) for end in (0.0, 1.0))
    if not low:
        return None
    by_axis = {axis: [n for n, t in enumerate(low) if t.axis == axis] for axis in AXES}
    try:
        axes = {a: _axis([low[n] for n in ns], [high[n] for n in ns]) for a, ns in by_axis.items() if ns}
    except ValueError:  # identities without a common item
        return None
    least = [t for axis in axes.values() for t in axis.filled(least_spread(axis.base, axis.pull))]
    most = [t for axis in axes.values() for t in axis.filled(most_spread(axis.base, axis.pull))]
    ends = [BiasEstimator(tables, draws=draws, permutations=0, seed=seed, level=level) for tables in (least, most)]
    found: dict[str, tuple[PBEstimate, PBEstimate]] = {}
    for name in (*axes, *(["joint"] if axes.keys() >= set(JOINT) else [])):
        first, last = (e.joint() if name == "joint" else e.axis(name) for e in ends)
        if first is not None and last is not None:
            found[name] = (first, last)
    known = {name: [*pair, *([o] if (o := observed.get(name)) else [])] for name, pair in found.items()}
    return Bounds(
        filled,
        {name: _hull([(e.plugin, e.plugin) for e in es]) for name, es in known.items()},
        {
            name: Bound(_hull([(e.corrected, e.corrected) for e in es]), _hull([e.ci for e in es]))
            for name, es in known.items()
        },
        {name: _axis_bounds(axis, draws, seed, level) for name, axis in axes.items()},
    )


def least_spread(base: Floats, pull: Floats) -> Floats:
    """The ``x`` in [0, 1]^U that makes the variance of ``base + pull @ x`` smallest.

    Args:
        base: shape (U,).
        pull: shape (U, U).
    """
    x = np.full(base.size, 0.5)
    free = np.flatnonzero(np.abs(pull).max(axis=0) > 0)
    if not free.size:
        return x
    slope, offset = pull[:, free] - pull[:, free].mean(axis=0), base - base.mean()
    if free.size <= _ACTIVE_SETS:
        x[free] = lsq_linear(slope, -offset, (0, 1), method="bvls").x.clip(0, 1)
        return x

    def squared(at: Floats) -> tuple[float, Floats]:
        rest = slope @ at + offset
        return float(rest @ rest), 2 * slope.T @ rest

    steps = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-12}
    x[free] = minimize(squared, x[free], jac=True, bounds=[(0, 1)] * free.size, method="L-BFGS-B", options=steps).x
    return x


def most_spread(base: Floats, pull: Floats) -> Floats:
    """The vertex of [0, 1]^U that makes the variance of ``base + pull @ x`` largest.

    Exact with up to 12 identities that lack something. Beyond that, the best of a local search: from every split into
    upper and lower identities, single flips for as long as they help.
    """
    free = np.flatnonzero(np.abs(pull).max(axis=0) > 0)
    if free.size <= _ALL_VERTICES:
        tried = np.array(list(itertools.product((0.0, 1.0), repeat=free.size))).reshape(2**free.size, free.size)
    else:
        order = np.argsort(-(base + pull.sum(axis=1) / 2)[free], kind="stable")
        tried = np.array([np.isin(np.arange(free.size), order[:k]) for k in range(free.size + 1)], dtype=float)
        tried = _climbed(tried, base, pull[:, free])
    x = np.full(base.size, 0.5)
    x[free] = tried[int(np.argmax(_spread(tried, base, pull[:, free])))]
    return x


def _climbed(starts: Floats, base: Floats, pull: Floats) -> Floats:
    """From each start the vertex at which no single flip makes the variance larger, shape as ``starts``.

    What a flip does follows from the gradient, which each flip moves by one column.
    """
    slope = pull - pull.mean(axis=0)
    square = slope.T @ slope / base.size
    xs = starts.copy()
    gradients = xs @ square + (base - base.mean()) @ slope / base.size
    spreads = _spread(xs, base, pull)
    climbing = np.arange(len(xs))
    while climbing.size:
        x, gradient = xs[climbing], gradients[climbing]
        gains = 2 * (1 - 2 * x) * gradient + np.diagonal(square)
        best = gains.argmax(axis=1)
        gain = gains[np.arange(len(best)), best]
        better = gain > 1e-12 * spreads[climbing]
        climbing, best, gain = climbing[better], best[better], gain[better]
        step = 1 - 2 * xs[climbing, best]
        xs[climbing, best] += step
        gradients[climbing] += step[:, None] * square[best]
        spreads[climbing] += gain
    return xs


def _spread(xs: Floats, base: Floats, pull: Floats) -> Floats:
    return np.asarray((base + xs @ pull.T).var(axis=1))


def _axis(low: list[SuiteScores], high: list[SuiteScores]) -> _Axis:
    """The line along which each identity's missing cells move the means.

    Raises:
        ValueError: identities without a common item.
    """
    blocks = [(comparable_blocks(a), comparable_blocks(b).values) for a, b in zip(low, high, strict=True)]
    base = np.mean([marginals(*bottom).mean for bottom, _ in blocks], axis=0)
    pulls = [row_pulls(bottom.values, top - bottom.values) for bottom, top in blocks]
    return _Axis(low, high, base, np.asarray(np.mean(pulls, axis=0)))


def _axis_bounds(axis: _Axis, draws: int, seed: int, level: float) -> AxisBounds:
    names, count = axis.low[0].identities, axis.base.size
    bottom, top = np.zeros(count), np.ones(count)
    means = [axis.base + axis.pull @ x for x in (bottom, top)]
    # How far each one can lie above each other: what helps the one more than the other is filled with 100.
    apart = np.array([b + (p - axis.pull).clip(min=0).sum(axis=1) for b, p in zip(axis.base, axis.pull, strict=True)])
    first, last = divmod(int((apart - axis.base - np.diag(np.full(count, np.inf))).argmax()), count)
    widest = (axis.pull[first] > axis.pull[last]).astype(float)
    gaps = [_gap(axis, x, draws, seed, level) for x in (least_spread(axis.base, axis.pull), widest)]
    lows = [_lowest(axis, x, draws, seed, level) for x in (bottom, top)]
    return AxisBounds(
        {name: (float(means[0][n]), float(means[1][n])) for n, name in enumerate(names)},
        Bound(_hull([(g.value[0], g.value[1]) for g in gaps]), _hull([g.ci for g in gaps])),
        Bound(_hull([(b.value[0], b.value[1]) for b in lows]), _hull([b.ci for b in lows])),
    )


def _gap(axis: _Axis, x: Floats, draws: int, seed: int, level: float) -> Bound:
    fits, rng = [suite_marginals(t) for t in axis.filled(x)], np.random.default_rng(seed)
    none = [np.zeros((0, x.size))] * len(fits)
    found = gap(axis.low[0].identities, fits, none, [noise_draws(f, draws, rng) for f in fits], level)
    return Bound((found.value, found.value), found.ci)


def _lowest(axis: _Axis, x: Floats, draws: int, seed: int, level: float) -> Bound:
    fits, rng = [suite_marginals(t) for t in axis.filled(x)], np.random.default_rng(seed)
    found = lowest(axis.low[0].identities, fits, [noise_draws(f, draws, rng, level=True) for f in fits], level)
    return Bound((found.value, found.value), found.ci)


def _between(low: SuiteScores, high: SuiteScores, x: Floats) -> SuiteScores:
    return replace(low, cells=low.cells + x[:, None, None] * (high.cells - low.cells))


def _common(tables: list[SuiteScores]) -> list[SuiteScores]:
    """Tables over the identities that every suite asked; none when fewer than two are left."""
    names = [{n for n, row in zip(t.identities, t.y, strict=True) if np.isfinite(row).any()} for t in tables]
    common = set.intersection(*names) if names else set()
    if len(common) < 2:
        return []
    return [t.select_identities([k for k, name in enumerate(t.identities) if name in common]) for t in tables]


def _hull(ranges: Sequence[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    # An end that is not known (too few items) must not look like a known one.
    return (float(np.min(lows)), float(np.max(highs)))

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
from scipy.optimize import lsq_linear

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.breakdown import gap, lowest
from evenhand.analysis.marginals import suite_marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import Floats, SuiteScores, tabulate
from evenhand.scored import Marks, ScoreRows
from evenhand.types import AXES, JOINT

# Up to so many identities with something missing, every vertex is tried.
_ALL_VERTICES = 12

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
    if free.size:
        centre = np.eye(base.size) - 1 / base.size
        x[free] = lsq_linear(centre @ pull[:, free], -centre @ base, (0, 1), method="bvls").x.clip(0, 1)
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
        tried = np.array([_climb(start, base, pull[:, free]) for start in tried])
    x = np.full(base.size, 0.5)
    x[free] = tried[int(np.argmax(_spread(tried, base, pull[:, free])))]
    return x


def _climb(x: Floats, base: Floats, pull: Floats) -> Floats:
    while True:
        flipped = np.abs(x - np.eye(x.size))
        spreads = _spread(flipped, base, pull)
        if spreads.max() <= float(_spread(x[None], base, pull)[0]) * (1 + 1e-12):
            return x
        x = flipped[int(spreads.argmax())]


def _spread(xs: Floats, base: Floats, pull: Floats) -> Floats:
    return np.asarray((base + xs @ pull.T).var(axis=1))


def _axis(low: list[SuiteScores], high: list[SuiteScores]) -> _Axis:
    """The line along which each identity's missing cells move the means.

    Raises:
        ValueError: identities without a common item.
    """
    count = len(low[0].identities)

    def means(x: Floats) -> Floats:
        fits = [suite_marginals(_between(a, b, x)) for a, b in zip(low, high, strict=True)]
        return np.asarray(np.mean([fit.mean for fit in fits], axis=0))

    base, pull = means(np.zeros(count)), np.zeros((count, count))
    for u in range(count):
        if any((a.y[u] != b.y[u])[np.isfinite(a.y[u])].any() for a, b in zip(low, high, strict=True)):
            pull[:, u] = means(np.eye(count)[u]) - base
    return _Axis(low, high, base, pull)


def _axis_bounds(axis: _Axis, draws: int, seed: int, level: float) -> AxisBounds:
    names, count = axis.low[0].identities, axis.base.size
    bottom, top = np.zeros(count), np.ones(count)
    means = [axis.base + axis.pull @ x for x in (bottom, top)]
    widest = max(
        (axis.pull[u] - axis.pull[v] > 0 for u, v in itertools.permutations(range(count), 2)),
        key=lambda up: float(np.ptp(axis.base + axis.pull @ up)),
    )
    gaps = [_gap(axis, x, draws, seed, level) for x in (least_spread(axis.base, axis.pull), widest.astype(float))]
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

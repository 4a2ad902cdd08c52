"""How scores depend on what users are described by: main effects, pairs and triples, drawn towards zero together.

A user is a level of each factor (an identity of a category, a fact, a way of telling), or none of it; an item's group
is one more factor. A score is the item's level, plus one effect for every combination of up to three levels that it
has, plus noise. Nearly all of these effects are zero or small, so those of one order share a prior, a mixture of normal
distributions around zero whose weights are estimated from all of them (adaptive shrinkage, Stephens 2017), and are
found by coordinate ascent (Kim, Wang, Carbonetto and Stephens 2022). The combinations of the same factors do not
overlap, so that all of them are updated at once and exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from evenhand.analysis.scores import Floats

Codes = NDArray[np.int64]
NONE_OF_IT = -1
# Standard deviations that an effect may come from, in points; zero first.
SCALES = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
# How effects are thought to be spread before any is seen, and as if how many had been.
_BEFORE = np.array([0.94, *[0.01] * (len(SCALES) - 1)])
_WEIGHT = 20.0
# And in the first sweeps, so that an effect is not taken for the level of the items it was looked at on.
_OPEN, _OPEN_SWEEPS = np.full(len(SCALES), 1 / len(SCALES)), 4
_MOST_SWEEPS, _SETTLED = 40, 0.01


@dataclass(frozen=True)
class Space:
    """What users and items are described by.

    Attributes:
        factors: names; the last one is the group of items, which is no part of a user.
        levels: per factor its levels.
        order: most levels that are combined.
        of_items: how many of the factors, the last ones, say something of items and not of users.
    """

    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    order: int = 3
    of_items: int = 1

    @property
    def group(self) -> int:
        """The place of the items' group."""
        return len(self.factors) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Levels per factor."""
        return tuple(map(len, self.levels))

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """Factors whose levels are combined, smaller sets first; each says something of users, one at most of items."""
        users = len(self.factors) - self.of_items
        # One group that all items are of narrows nothing.
        told = range(len(self.factors) - (self.sizes[self.group] == 1))
        sets = [s for k in range(1, self.order + 1) for s in combinations(told, k)]
        return [s for s in sets if s[0] < users and sum(f >= users for f in s) <= 1]

    @property
    def candidates(self) -> int:
        """How many combinations of levels there are to be found."""
        return sum(math.prod(self.sizes[f] for f in s) for s in self.sets)


@dataclass(frozen=True, order=True)
class Conjunction:
    """Some levels at once.

    Attributes:
        levels: pairs of a factor's and its level's place, by factor.
    """

    levels: tuple[tuple[int, int], ...]

    @property
    def factors(self) -> tuple[int, ...]:
        return tuple(f for f, _ in self.levels)

    def matches(self, codes: Codes) -> NDArray[np.bool_]:
        """Which rows have all of these levels; codes of shape (rows, factors)."""
        found = np.ones(len(codes), dtype=bool)
        for factor, level in self.levels:
            found &= codes[:, factor] == level
        return found

    def parts(self) -> Iterator[Conjunction]:
        """All shorter ones within it, the longest first."""
        for count in range(len(self.levels) - 1, 0, -1):
            yield from (Conjunction(part) for part in combinations(self.levels, count))

    def within(self, other: Conjunction) -> bool:
        """Whether everybody of ``other`` is of this one too."""
        return set(self.levels) <= set(other.levels)


@dataclass(frozen=True)
class Effects:
    """What every combination of the levels of the same factors adds.

    Attributes:
        mean, sd: posterior, in points, shape of the factors' levels.
        counts: scores that have it.
        short: how much it is expected to take away, were only losses counted: E[max(-effect, 0)], in points.
        added: E[max(effect, 0)], in points.
    """

    mean: Floats
    sd: Floats
    counts: Codes
    short: Floats
    added: Floats


@dataclass(frozen=True)
class Factorial:
    """The fit.

    Attributes:
        space: what it is of.
        effects: per set of factors.
        noise: standard deviation of a score around it, in points.
        zeros: per order the share of effects that are zero.
    """

    space: Space
    effects: dict[tuple[int, ...], Effects]
    noise: float
    zeros: tuple[float, ...]

    def differences(self, factors: tuple[int, ...]) -> tuple[Floats, Floats]:
        """How much users with each combination of these factors' levels lie off all others.

        Returns:
            (mean, standard deviation), in points, shape of the factors' levels; everything that shorter combinations
            within add is included, and effects are taken as independent.
        """
        mean = np.zeros([self.space.sizes[f] for f in factors])
        variance = np.zeros_like(mean)
        for count in range(1, len(factors) + 1):
            for part in combinations(factors, count):
                if part in self.effects:
                    shape = [self.space.sizes[f] if f in part else 1 for f in factors]
                    mean += self.effects[part].mean.reshape(shape)
                    variance += self.effects[part].sd.reshape(shape) ** 2
        return mean, np.sqrt(variance)

    def predicted(self, codes: Codes) -> Floats:
        """What effects add up to, per row of codes, in points."""
        found = np.zeros(len(codes))
        for factors, effects in self.effects.items():
            chosen = codes[:, list(factors)]
            there = (chosen != NONE_OF_IT).all(axis=1)
            found[there] += effects.mean[tuple(chosen[there].T)]
        return found

    def difference(self, of: Conjunction) -> tuple[float, float]:
        """The same for one combination."""
        place = tuple(level for _, level in of.levels)
        mean, sd = self.differences(of.factors)
        return float(mean[place]), float(sd[place])


@dataclass(frozen=True)
class Observed:
    """Scores with what they are of.

    Attributes:
        codes: per score the level of each factor, ``NONE_OF_IT`` where there is none, shape (scores, factors).
        items: per score its item, counted from 0.
        scores: in points, none missing.
    """

    codes: Codes
    items: Codes
    scores: Floats

    def where(self, wanted: NDArray[np.bool_]) -> Observed:
        """Some of the scores."""
        return Observed(self.codes[wanted], self.items[wanted], self.scores[wanted])


@dataclass
class _Block:
    """The effects of one set of factors, and which of them each score has."""

    factors: tuple[int, ...]
    rows: NDArray[np.bool_] | None
    index: Codes
    counts: Codes
    means: Floats
    effects: Floats
    variance: Floats
    weights: Floats

    def values(self) -> Floats:
        return self.effects[self.index]


def fit_effects(observed: Observed, space: Space) -> Factorial:
    """Estimate all effects together.

    Args:
        observed: at least one score.
        space: whose factors ``observed.codes`` has.

    Raises:
        ValueError: there is no score.
    """
    if not len(observed.scores):
        raise ValueError("no score")
    blocks = [_block(observed.codes, factors, space) for factors in space.sets]
    priors = dict.fromkeys(range(1, space.order + 1), _OPEN)
    groups, items = observed.codes[:, space.group], observed.items
    left = observed.scores.astype(np.float64)
    levels, noise = np.zeros(len(left)), max(float(left.var()), 1e-6)
    for sweep in range(_MOST_SWEEPS):
        left += levels
        levels = _item_levels(left, groups, items, noise)
        left -= levels
        moved = 0.0
        for block in blocks:
            moved = max(moved, _update(block, left, noise, priors[len(block.factors)]))
        spread = sum(float(block.counts @ block.variance) for block in blocks)
        noise = max((float(left @ left) + spread) / len(left), 1e-6)
        for order in priors:
            same = [b for b in blocks if len(b.factors) == order]
            priors[order] = _OPEN if sweep < _OPEN_SWEEPS - 1 else _BEFORE if sweep < _OPEN_SWEEPS else _mixed(same)
        if sweep > _OPEN_SWEEPS and moved < _SETTLED:
            break
    effects = {block.factors: _effects(block, noise, priors[len(block.factors)], space) for block in blocks}
    return Factorial(space, effects, math.sqrt(noise), tuple(float(p[0]) for p in priors.values()))


def _block(codes: Codes, factors: tuple[int, ...], space: Space) -> _Block:
    chosen = codes[:, list(factors)]
    rows = (chosen != NONE_OF_IT).all(axis=1)
    sizes = [space.sizes[f] for f in factors]
    index = np.ravel_multi_index(tuple(chosen[rows].T), sizes)
    size = math.prod(sizes)
    counts = np.bincount(index, minlength=size)
    zeros = np.zeros(size)
    weights = np.zeros((size, len(SCALES)))
    return _Block(factors, None if rows.all() else rows, index, counts, zeros, zeros, zeros, weights)


def _item_levels(left: Floats, groups: Codes, items: Codes, noise: float) -> Floats:
    """Each score's item's level: around its group's, drawn towards it by as much as it is noise."""
    by_group = np.bincount(groups, left) / np.maximum(np.bincount(groups), 1)
    off = left - by_group[groups]
    counts = np.bincount(items)
    means = np.bincount(items, off) / np.maximum(counts, 1)
    asked = counts > 0
    # What the means of items vary by beyond noise.
    between = max(float(np.mean(means[asked] ** 2 - noise / counts[asked])), 0.0)
    kept = between / (between + noise / np.maximum(counts, 1))
    return np.asarray(by_group[groups] + (kept * means)[items])


def _update(block: _Block, left: Floats, noise: float, prior: Floats) -> float:
    """Estimate a block's effects from what the others leave; how much the largest one moved, in points."""
    rows = slice(None) if block.rows is None else block.rows
    part = left[rows] + block.values()
    seen = block.counts > 0
    sums = np.bincount(block.index, part, minlength=len(block.counts))
    block.means = np.divide(sums, block.counts, out=np.zeros(len(sums)), where=seen)
    before = block.effects
    block.weights, posterior, variances = _posterior(block.means, noise / np.maximum(block.counts, 1), prior)
    block.weights[~seen] = prior
    block.effects = np.where(seen, (block.weights * posterior).sum(axis=1), 0.0)
    second = (block.weights * (variances + posterior**2)).sum(axis=1)
    block.variance = np.where(seen, second - block.effects**2, SCALES**2 @ prior)
    left[rows] = part - block.values()
    return float(np.abs(block.effects - before).max(initial=0.0))


def _posterior(means: Floats, error: Floats, prior: Floats) -> tuple[Floats, Floats, Floats]:
    """Per effect and scale: its weight, and the mean and variance of the effect were it of this scale."""
    total = SCALES[None, :] ** 2 + error[:, None]
    log = np.log(np.maximum(prior, 1e-300)) - 0.5 * (np.log(total) + means[:, None] ** 2 / total)
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    kept = SCALES[None, :] ** 2 / total
    return weights, kept * means[:, None], kept * error[:, None]


def _mixed(blocks: Sequence[_Block]) -> Floats:
    """How often effects of an order come from each scale, from those that were seen."""
    counts = _WEIGHT * _BEFORE
    for block in blocks:
        counts = counts + block.weights[block.counts > 0].sum(axis=0)
    return np.asarray(counts / counts.sum())


def _effects(block: _Block, noise: float, prior: Floats, space: Space) -> Effects:
    shape = [space.sizes[f] for f in block.factors]
    seen = (block.counts > 0)[:, None]
    weights, mean, variance = _posterior(block.means, noise / np.maximum(block.counts, 1), prior)
    mean, sd = np.where(seen, mean, 0.0), np.sqrt(np.where(seen, variance, SCALES[None, :] ** 2))
    z = np.divide(mean, sd, out=np.zeros_like(mean), where=sd > 0)
    short = (np.where(seen, weights, prior) * (sd * norm.pdf(z) - mean * norm.cdf(-z))).sum(axis=1)
    return Effects(
        block.effects.reshape(shape),
        np.sqrt(np.maximum(block.variance, 0.0)).reshape(shape),
        block.counts.reshape(shape),
        short.reshape(shape),
        (short + block.effects).reshape(shape),
    )

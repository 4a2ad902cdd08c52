"""Two studies side by side: models, mitigations or revisions, paired by item and identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.types import AXES, Axis


@dataclass(frozen=True)
class Change:
    """A change from the first study to the second, in points.

    Attributes:
        before, after: the two values.
        difference: after minus before.
        ci: 95 % interval of the difference.
        p_value: two-sided, from swapping the studies item by item.
    """

    before: float
    after: float
    difference: float
    ci: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """What changed on the items and identities that both studies scored.

    Attributes:
        pb: axis -> change of the corrected PB.
        score: axis -> change of the mean score over identities.
        identities: how many are compared.
        items: suite -> how many are compared.
        notes: what a reader must know to read the numbers right.
    """

    pb: dict[str, Change]
    score: dict[str, Change]
    identities: int
    items: dict[str, int]
    notes: tuple[str, ...] = ()


def compare(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two studies.

    The bootstrap resamples items jointly for both studies and all identities, so that what they share cancels; its
    squared PB is freed from the noise of the sample and of the resampling. Near zero bias in both studies the interval
    of the difference is conservative.

    Raises:
        ValueError: the studies share no suite with common items and at least two common identities.
    """
    pairs = _paired(before, after)
    if not pairs:
        raise ValueError("the studies share no suite with common items and at least two common identities")
    rng = np.random.default_rng(seed)
    by_axis: dict[Axis, list[_Draws]] = {}
    for one, other in pairs:
        by_axis.setdefault(one.axis, []).append(_draw(one.y, other.y, draws, rng))
    return Comparison(
        pb={axis: _bias_change(by_axis[axis]) for axis in AXES if axis in by_axis},
        score={axis: _score_change(by_axis[axis]) for axis in AXES if axis in by_axis},
        identities=len(pairs[0][0].identities),
        items={one.suite: len(one.items) for one, _ in pairs},
    )


@dataclass(frozen=True)
class _Draws:
    """One suite: both studies' means, corrections, and draws under resampling and under swapping."""

    mean: Floats  # (2, U)
    correction: Floats  # (2,)
    noise: Floats  # (draws, 2, U)
    swapped: Floats  # (draws, 2, U): means after swapping the studies at random, item by item


def _draw(one: Floats, other: Floats, draws: int, rng: np.random.Generator) -> _Draws:
    both = np.stack([one, other])  # (2, U, M)
    fits = [marginals(table) for table in both]
    count = both.shape[2]
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws) - 1.0
    pull = np.stack([fit.influence + fit.level_influence[:, None] for fit in fits])  # (2, M, U)
    noise = np.einsum("bm,smu->bsu", weights, pull, optimize=True) / count
    half = (pull[1] - pull[0]) / 2 + (fits[1].mean - fits[0].mean) / 2  # (M, U): half the change on an item
    middle = (fits[0].mean + fits[1].mean) / 2
    signs = rng.choice(np.array([-1.0, 1.0]), size=(draws, count))
    shift = signs @ half / count
    swapped = np.stack([middle - shift, middle + shift], axis=1)
    correction = np.array([fit.correction for fit in fits])
    return _Draws(np.stack([fit.mean for fit in fits]), correction, noise, swapped)


def _bias_change(parts: Sequence[_Draws]) -> Change:
    share = 1 / len(parts)
    mean = share * np.sum([p.mean for p in parts], axis=0)
    correction = share**2 * np.sum([p.correction for p in parts], axis=0)
    noise = share * np.sum([p.noise for p in parts], axis=0)
    swapped = share * np.sum([p.swapped for p in parts], axis=0)
    value = _root(mean.var(axis=-1) - correction)
    # A resampled mean carries the noise of the sample and of the resampling: twice the correction.
    resampled = _root((mean + noise).var(axis=-1) - 2 * correction)
    plain = _root(swapped.var(axis=-1) - share**2 * sum(p.correction.mean() for p in parts))
    difference = value[1] - value[0]
    return _change(value, difference, resampled[:, 1] - resampled[:, 0], plain[:, 1] - plain[:, 0])


def _score_change(parts: Sequence[_Draws]) -> Change:
    share = 1 / len(parts)
    mean = share * np.sum([p.mean for p in parts], axis=0).mean(axis=-1)
    noise = share * np.sum([p.noise for p in parts], axis=0).mean(axis=-1)
    swapped = share * np.sum([p.swapped for p in parts], axis=0).mean(axis=-1)
    difference = mean[1] - mean[0]
    return _change(mean, difference, difference + noise[:, 1] - noise[:, 0], swapped[:, 1] - swapped[:, 0])


def _change(value: Floats, difference: float, draws: Floats, null: Floats) -> Change:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Change(
        float(value[0]),
        float(value[1]),
        float(difference),
        (float(min(low, difference)), float(max(high, difference))),
        float(permutation_p_values(np.abs(null), abs(difference))),
    )


def _root(squared: Floats) -> Floats:
    return np.sqrt(np.maximum(squared, 0.0))


def _paired(before: Sequence[SuiteScores], after: Sequence[SuiteScores]) -> list[tuple[SuiteScores, SuiteScores]]:
    """Suites of both studies over the same items and identities, in the same order."""
    later = {t.suite: t for t in after}
    shared = [(one, later[one.suite]) for one in before if one.suite in later]
    people = [n for n in before[0].identities if all(n in a.identities and n in b.identities for a, b in shared)]
    pairs = []
    for one, other in shared:
        items = sorted(set(one.items) & set(other.items))
        if len(items) < 2 or len(people) < 2:
            continue
        pairs.append((_aligned(one, people, items), _aligned(other, people, items)))
    return pairs


def _aligned(table: SuiteScores, people: Sequence[str], items: Sequence[str]) -> SuiteScores:
    rows = [table.identities.index(n) for n in people]
    columns = [table.items.index(i) for i in items]
    return replace(
        table.select_identities(rows),
        items=tuple(items),
        groups=tuple(table.groups[c] for c in columns),
        cells=table.cells[:, rows][:, :, columns],
        baseline=table.baseline[:, columns],
        clusters=tuple(table.clusters[c] for c in columns),
    )

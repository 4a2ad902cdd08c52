"""On what: categories of identities, groups of items, intersections, and the gap between best and worst served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.deviations import Contrast, Differences, deviations, from_mean, judged, linear_contrasts
from evenhand.analysis.intervals import Sample, gap_interval, lowest_interval
from evenhand.analysis.marginals import Marginals, cluster_codes, marginals, suite_marginals, summed_by
from evenhand.analysis.resampling import noise_draws, permutation_p_values
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan

# Shuffles that are made at one time.
_PAGE = 32
# Adjusted p below which an identity is taken to deviate.
_FLAGGED = 0.05


@dataclass(frozen=True)
class Gap:
    """The difference between the best and the worst served identity on one axis, in points.

    Attributes:
        value: largest minus smallest identity score; large by chance alone when there are many identities.
        ci: interval that holds the true gap in at least 95 % of studies, or the level asked for.
        best, worst: who they are.
        expected: the average gap when labels are shuffled, that is, without any bias.
        p_value: share of draws of noise with a gap at least as large; above 0.05 where ``ci`` reaches 0.
    """

    value: float
    ci: tuple[float, float]
    best: str
    worst: str
    expected: float
    p_value: float


@dataclass(frozen=True)
class GroupTable:
    """Identity x item-group scores of one suite, and whether the pattern is more than noise.

    Attributes:
        suite: which suite.
        identities, groups: rows and columns.
        items: items per group.
        scores: mean scores in points, shape (identities, groups), NaN where nothing was scored.
        deviations: group -> identity -> contrast against the mean of all identities within the group; q-values are
            adjusted over all identities and groups of the suite. Groups with fewer than two items have none.
        p_value: test of "identities differ alike in every group" (items shuffled between groups); NaN with one group.
    """

    suite: str
    identities: tuple[str, ...]
    groups: tuple[str, ...]
    items: tuple[int, ...]
    scores: Floats
    deviations: dict[str, dict[str, Contrast]]
    p_value: float


@dataclass(frozen=True)
class Lowest:
    """The worst served identity on one axis.

    Attributes:
        identity: who.
        value: score in points.
        ci: interval that holds the true lowest score of all identities in at least 95 % of studies, or the level asked
            for.
    """

    identity: str
    value: float
    ci: tuple[float, float]


def lowest(
    identities: Sequence[str], fits: Sequence[Marginals], noise: Sequence[Floats], level: float = 0.95
) -> Lowest:
    """The worst served identity on the axis whose suites are given.

    Args:
        identities: names, the columns of ``noise``.
        fits: one per suite.
        noise: draws of the error of the row means, level included, one array per suite.
        level: confidence of the interval.
    """
    means = np.mean([fit.mean for fit in fits], axis=0)
    samples = [Sample(fit, draws) for fit, draws in zip(fits, noise, strict=True)]
    return Lowest(identities[int(means.argmin())], float(means.min()), lowest_interval(samples, level))


def gap(
    identities: Sequence[str],
    fits: Sequence[Marginals],
    nulls: Sequence[Floats],
    noise: Sequence[Floats],
    level: float = 0.95,
) -> Gap:
    """The gap on the axis whose suites are given.

    Args:
        identities: names, the columns of ``nulls`` and ``noise``.
        fits, nulls, noise: one per suite: means, draws under shuffled labels, draws of the error.
        level: confidence of the interval.
    """
    error = np.ptp(np.mean(noise, axis=0), axis=1)
    means = np.mean([fit.mean for fit in fits], axis=0)
    shuffled = np.ptp(np.mean(nulls, axis=0), axis=1)
    value = float(np.ptp(means))
    return Gap(
        value,
        gap_interval([Sample(fit, draws) for fit, draws in zip(fits, noise, strict=True)], level),
        identities[int(means.argmax())],
        identities[int(means.argmin())],
        float(shuffled.mean()) if shuffled.size else float("nan"),
        float(permutation_p_values(error, value)),
    )


@dataclass(frozen=True)
class Categories:
    """Categories against the identities that are treated alike.

    Attributes:
        effects: category -> its mean against the reference, adjusted over categories.
        apart: identities that deviate while no other of their category does so in the same direction. They speak for
            themselves only: they count neither for their category nor for the reference, unless they are all of it.
    """

    effects: dict[str, Contrast]
    apart: tuple[str, ...]


def categories(
    members: Mapping[str, str],
    identities: Sequence[str],
    fits: Sequence[Marginals],
    noise: Sequence[Floats],
    level: float = 0.95,
) -> Categories:
    """Each category's mean against the mean of the identities that do not deviate (of all, if most do).

    One identity that deviates would drag the mean of all, and with it every other category.

    Args:
        members: identity -> category.
        identities: rows of the fits.
        fits, noise: per suite of the axis, as for :func:`evenhand.analysis.deviations.from_mean`.
        level: confidence of the intervals.
    """
    side, usual = _who_deviates(fits, noise)
    category = np.array([members[i] for i in identities])
    single = np.array([s != 0 and (side[category == c] == s).sum() == 1 for s, c in zip(side, category, strict=True)])
    names, weights = list(dict.fromkeys(category.tolist())), []
    for name in names:
        own = category == name
        carriers = own & ~single if (own & ~single).any() else own
        weights.append(carriers / carriers.sum() - usual / usual.sum())
    apart = single & np.array([(category == c).sum() > 1 for c in category])
    found = linear_contrasts(np.array(weights), fits, noise, level)
    return Categories(
        dict(zip(names, found, strict=True)),
        tuple(n for n, is_apart in zip(identities, apart, strict=True) if is_apart),
    )


def _who_deviates(fits: Sequence[Marginals], noise: Sequence[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """In which direction each identity deviates (0: not at all), and who belongs to the reference.

    The clearest one is taken out of the reference, then the next: from a mean that one drags, everybody deviates.
    """
    count = fits[0].mean.size
    usual = np.ones(count, dtype=bool)
    while True:
        found = deviations(fits, noise, reference=usual / usual.sum()).contrasts()
        flagged = [n for n in np.flatnonzero(usual) if found[n].q_value < _FLAGGED]
        if not flagged:
            break
        usual[min(flagged, key=lambda n: (found[n].q_value, -abs(found[n].value)))] = False
        if 2 * usual.sum() < count:  # there is no majority that is treated alike
            usual[:] = True
            found = from_mean(fits, noise)
            return np.array([np.sign(c.value) if c.q_value < _FLAGGED else 0.0 for c in found]), usual
    return np.where(usual, 0.0, np.sign([c.value for c in found])), usual


def additivity(
    parts: Mapping[str, Sequence[str]],
    identities: Sequence[str],
    fits: Sequence[Marginals],
    noise: Sequence[Floats],
    level: float = 0.95,
) -> dict[str, Contrast]:
    """Each intersection's deviation minus the sum of its parts' deviations; 0 when the parts simply add up.

    Args:
        parts: intersection -> names of its parts; those whose parts are not all in the study are left out.
        identities: rows of the fits.
        fits, noise: per suite of the axis.
        level: confidence of the intervals.
    """
    row = {name: n for n, name in enumerate(identities)}
    usable = [name for name, members in parts.items() if name in row and members and all(m in row for m in members)]
    if not usable:
        return {}
    deviation = np.eye(len(identities)) - 1 / len(identities)
    weights = np.array([deviation[row[n]] - sum(deviation[row[m]] for m in parts[n]) for n in usable])
    return dict(zip(usable, linear_contrasts(weights, fits, noise, level), strict=True))


def by_group(
    table: SuiteScores, *, draws: int = 2000, permutations: int = 1000, seed: int = 0, level: float = 0.95
) -> GroupTable:
    """Scores by item group, with a test of the identity x group interaction.

    Each item's pattern of differences stays whole while items are shuffled between groups, so that a difference that
    is the same in every group does not count. Clusters of items move as one; one that lies in several groups counts
    for that of most of its items.
    """
    names = sorted(set(table.groups))
    code = np.array([names.index(g) for g in table.groups])
    y = table.y
    scores = np.stack([mean_ignoring_nan(y[:, code == g], axis=1) for g in range(len(names))], axis=1)
    return GroupTable(
        table.suite,
        table.identities,
        tuple(names),
        tuple(np.bincount(code, minlength=len(names)).tolist()),
        scores,
        _group_deviations(table, names, draws, seed, level),
        _interaction(y, code, table.clusters, permutations, np.random.default_rng(seed)),
    )


def _group_deviations(
    table: SuiteScores, groups: Sequence[str], draws: int, seed: int, level: float
) -> dict[str, dict[str, Contrast]]:
    rng = np.random.default_rng(seed)
    found: dict[str, Differences] = {}
    for group in groups:
        part = table.select_items(np.array([g == group for g in table.groups]))
        try:
            fit = suite_marginals(part)
        except ValueError:  # holes leave some identity without a common item
            continue
        if fit.clusters >= 2:
            found[group] = deviations([fit], [noise_draws(fit, draws, rng)], level)
    contrasts = judged(list(found.values())) if found else []
    return {
        group: dict(zip(table.identities, members, strict=True))
        for group, members in zip(found, contrasts, strict=True)
    }


def _interaction(
    y: Floats, group: NDArray[np.intp], clusters: Sequence[str], permutations: int, rng: np.random.Generator
) -> float:
    usable = np.isfinite(y).sum(axis=0) >= 2
    unit = cluster_codes(np.asarray(clusters)[usable].tolist())
    pattern, sizes = summed_by(unit, marginals(y).influence), np.bincount(unit).astype(float)
    shares = summed_by(unit, np.eye(int(group.max()) + 1)[group[usable]])
    own, groups = shares.argmax(axis=1), shares.shape[1]
    if np.unique(own).size < 2 or permutations == 0:
        return float("nan")

    def statistics(labels: NDArray[np.intp]) -> Floats:
        """Of several assignments of the units to groups, shape (assignments,)."""
        member = np.moveaxis(np.eye(groups)[labels], 2, 1).reshape(-1, labels.shape[1])
        spread = ((member @ pattern) ** 2).sum(axis=1) / np.maximum(member @ sizes, 1)
        return np.asarray(spread.reshape(-1, groups).sum(axis=1))

    shuffled = [statistics(_shuffles(own, count, rng)) for count in _pages(permutations)]
    return float(permutation_p_values(np.concatenate(shuffled), float(statistics(own[None])[0])))


def _shuffles(labels: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.array([rng.permutation(labels) for _ in range(count)])


def _pages(count: int) -> list[int]:
    """So many draws, in parts that are multiplied together: few enough for memory."""
    return [min(_PAGE, count - start) for start in range(0, count, _PAGE)]

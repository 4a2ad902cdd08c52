"""On what: categories of identities, groups of items, intersections, and the gap between best and worst served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evenhand.analysis.deviations import Contrast, adjusted, from_mean, linear_contrasts
from evenhand.analysis.marginals import Marginals, comparable_blocks, marginals, suite_marginals
from evenhand.analysis.resampling import permutation_p_values, permuted_means
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan


@dataclass(frozen=True)
class Gap:
    """The difference between the best and the worst served identity on one axis, in points.

    Attributes:
        value: largest minus smallest identity score; large by chance alone when there are many identities.
        ci: interval that holds the true gap in at least 95 % of studies: a gap can be off by no more than the range of
            the errors.
        best, worst: who they are.
        expected: the average gap when labels are shuffled, that is, without any bias.
        p_value: share of shuffles with a gap at least as large.
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
            corrected over all identities and groups of the suite. Groups with fewer than two items have none.
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
        ci: interval that holds the true lowest score of all identities in at least 95 % of studies: it can be off by no
            more than the largest error.
    """

    identity: str
    value: float
    ci: tuple[float, float]


def lowest(identities: Sequence[str], fits: Sequence[Marginals], noise: Sequence[Floats]) -> Lowest:
    """The worst served identity on the axis whose suites are given.

    Args:
        identities: names, the columns of ``noise``.
        fits: one per suite.
        noise: draws of the error of the row means, level included, one array per suite.
    """
    means = np.mean([fit.mean for fit in fits], axis=0)
    margin = float(np.quantile(np.abs(np.mean(noise, axis=0)).max(axis=1), 0.95))
    value = float(means.min())
    return Lowest(identities[int(means.argmin())], value, (max(value - margin, 0.0), min(value + margin, 100.0)))


def gap(identities: Sequence[str], fits: Sequence[Marginals], nulls: Sequence[Floats], noise: Sequence[Floats]) -> Gap:
    """The gap on the axis whose suites are given.

    Args:
        identities: names, the columns of ``nulls`` and ``noise``.
        fits, nulls, noise: one per suite: means, draws under shuffled labels, draws of the error.
    """
    means = np.mean([fit.mean for fit in fits], axis=0)
    shuffled = np.ptp(np.mean(nulls, axis=0), axis=1)
    value = float(np.ptp(means))
    margin = float(np.quantile(np.ptp(np.mean(noise, axis=0), axis=1), 0.95))
    return Gap(
        value,
        (max(value - margin, 0.0), min(value + margin, 100.0)),
        identities[int(means.argmax())],
        identities[int(means.argmin())],
        float(shuffled.mean()) if shuffled.size else float("nan"),
        float(permutation_p_values(shuffled, value)),
    )


def categories(
    members: Mapping[str, str], identities: Sequence[str], fits: Sequence[Marginals], nulls: Sequence[Floats]
) -> dict[str, Contrast]:
    """Each category's mean against the mean of all identities.

    Args:
        members: identity -> category.
        identities: rows of the fits.
        fits, nulls: per suite of the axis.
    """
    names = list(dict.fromkeys(members[i] for i in identities))
    weights = np.array([[members[i] == name for i in identities] for name in names], dtype=float)
    weights /= weights.sum(axis=1, keepdims=True)
    found = linear_contrasts(weights - 1 / len(identities), fits, nulls)
    return dict(zip(names, found, strict=True))


def additivity(
    parts: Mapping[str, Sequence[str]], identities: Sequence[str], fits: Sequence[Marginals], nulls: Sequence[Floats]
) -> dict[str, Contrast]:
    """Each intersection's deviation minus the sum of its parts' deviations; 0 when the parts simply add up.

    Args:
        parts: intersection -> names of its parts; those whose parts are not all in the study are left out.
        identities: rows of the fits.
        fits, nulls: per suite of the axis.
    """
    row = {name: n for n, name in enumerate(identities)}
    usable = [name for name, members in parts.items() if name in row and members and all(m in row for m in members)]
    if not usable:
        return {}
    deviation = np.eye(len(identities)) - 1 / len(identities)
    weights = np.array([deviation[row[n]] - sum(deviation[row[m]] for m in parts[n]) for n in usable])
    return dict(zip(usable, linear_contrasts(weights, fits, nulls), strict=True))


def by_group(table: SuiteScores, *, permutations: int = 1000, seed: int = 0) -> GroupTable:
    """Scores by item group, with a test of the identity x group interaction.

    Each item's pattern of differences stays whole while items are shuffled between groups, so that a difference that
    is the same in every group does not count.
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
        _group_deviations(table, names, permutations, seed),
        _interaction(y, code, len(names), permutations, np.random.default_rng(seed)),
    )


def _group_deviations(
    table: SuiteScores, groups: Sequence[str], permutations: int, seed: int
) -> dict[str, dict[str, Contrast]]:
    rng = np.random.default_rng(seed)
    found: dict[str, list[Contrast]] = {}
    for group in groups:
        part = table.select_items(np.array([g == group for g in table.groups]))
        try:
            fit = suite_marginals(part)
        except ValueError:  # holes leave some identity without a common item
            continue
        y, clusters = comparable_blocks(part)
        if fit.clusters >= 2:
            found[group] = from_mean([fit], [permuted_means(y, fit, permutations, rng, clusters)])
    q = iter(adjusted(np.array([c.p_value for contrasts in found.values() for c in contrasts])))
    return {
        group: {name: replace(c, q_value=float(next(q))) for name, c in zip(table.identities, contrasts, strict=True)}
        for group, contrasts in found.items()
    }


def _interaction(y: Floats, code: np.ndarray, groups: int, permutations: int, rng: np.random.Generator) -> float:
    usable = np.isfinite(y).sum(axis=0) >= 2
    pattern, code = marginals(y).influence, code[usable]
    counts = np.bincount(code, minlength=groups).astype(float)
    if (counts > 0).sum() < 2 or permutations == 0:
        return float("nan")
    occupied = counts > 0

    def statistic(labels: np.ndarray) -> float:
        sums = np.zeros((groups, pattern.shape[1]))
        np.add.at(sums, labels, pattern)
        return float((sums[occupied] ** 2 / counts[occupied, None]).sum())

    shuffled = np.array([statistic(rng.permutation(code)) for _ in range(permutations)])
    return float(permutation_p_values(shuffled, statistic(code)))

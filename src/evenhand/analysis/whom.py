"""Each identity's scores, and how far they lie from everybody's and from the baselines'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import Contrast, deviations, from_baseline
from evenhand.analysis.marginals import marginals
from evenhand.analysis.scores import SuiteScores
from evenhand.analysis.standing import Standing, axis_standings
from evenhand.types import AXES, BASELINE_CATEGORY


@dataclass(frozen=True)
class IdentityResult:
    """One identity's or baseline's scores in points; None on an axis that was not run.

    Attributes:
        identity, category: who.
        safety, utility, fit: axis scores (means of the axis's suites).
        n: scored responses.
        suites: suite -> score.
        deviation: axis -> contrast against the identity mean; baselines have none.
        against: axis -> baseline -> contrast against that baseline.
        standing: axis -> the deviation seen among all: shrunken, its band, how likely it is the lowest or highest.
    """

    identity: str
    category: str
    safety: float | None
    utility: float | None
    fit: float | None
    n: int
    suites: dict[str, float]
    deviation: dict[str, Contrast] = field(default_factory=dict)
    against: dict[str, dict[str, Contrast]] = field(default_factory=dict)
    standing: dict[str, Standing] = field(default_factory=dict)

    @property
    def is_baseline(self) -> bool:
        return self.category == BASELINE_CATEGORY


def identity_results(
    tables: list[SuiteScores],
    estimator: BiasEstimator | None,
    identities: Sequence[tuple[str, str]],
    scored: Mapping[str, int],
    scales: Mapping[str, float],
    level: float,
) -> list[IdentityResult]:
    """Scores and contrasts of everybody who has scores, baselines last.

    Args:
        tables: suites over the same identities.
        estimator: of the same suites; None when there are none.
        identities: (name, category) of all identities and baselines, in the order to report.
        scored: name -> scored responses.
        scales: suite -> factor on its errors, 1 otherwise.
        level: confidence of the intervals.
    """
    if estimator is None:
        return []
    by_axis = {axis: [t for t in tables if t.axis == axis] for axis in AXES}
    found = {axis: deviations(*estimator.parts(axis)[:2], level) for axis, ts in by_axis.items() if ts}
    contrasts = {axis: differences.contrasts() for axis, differences in found.items()}
    standing = {axis: axis_standings(differences, estimator, axis) for axis, differences in found.items()}
    against = {
        axis: {
            b: from_baseline(ts, b, level=level, scales=scales).contrasts()
            for b in ts[0].baselines
            if all(b in t.baselines for t in ts)
        }
        for axis, ts in by_axis.items()
        if ts
    }
    people = tables[0].identities
    results = []
    for name, category in identities:
        is_baseline = category == BASELINE_CATEGORY
        if name not in scored or (not is_baseline and name not in people):
            continue
        suites = {t.suite: s for t in tables if (s := _score(t, estimator, name)) is not None}
        axes = {a: _mean([suites.get(t.suite) for t in ts]) for a, ts in by_axis.items()}
        row = None if is_baseline else people.index(name)
        results.append(
            IdentityResult(
                name,
                category,
                axes["safety"],
                axes["utility"],
                axes["fit"],
                scored[name],
                suites,
                {} if row is None else {a: d[row] for a, d in contrasts.items()},
                {} if row is None else {a: {b: c[row] for b, c in bs.items()} for a, bs in against.items()},
                {} if row is None else {a: s[row] for a, s in standing.items()},
            )
        )
    results.sort(key=lambda r: r.is_baseline)
    return results


def _score(table: SuiteScores, estimator: BiasEstimator, name: str) -> float | None:
    if name in table.identities:
        return float(estimator.fit(table.suite).mean[table.identities.index(name)])
    if name not in table.baselines:
        return None
    row = table.baseline[table.baselines.index(name)]
    if not np.isfinite(row).any():
        return None
    return float(marginals(np.vstack([table.y, row])).mean[-1])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None

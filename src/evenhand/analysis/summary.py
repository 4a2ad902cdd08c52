"""The analysis of a whole study, as one object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.bounds import find_bounds
from evenhand.analysis.breakdown import Gap, GroupTable, Lowest, additivity, by_group, categories, gap, lowest
from evenhand.analysis.components import Component, variance_components
from evenhand.analysis.correction import Correction, correct
from evenhand.analysis.cues import CueResult, by_cue
from evenhand.analysis.deviations import Contrast, from_baseline, from_mean
from evenhand.analysis.marginals import marginals
from evenhand.analysis.missing import Missing, find_missing, is_missing
from evenhand.analysis.missing_notes import missing_notes
from evenhand.analysis.open_answers import OpenMeasure
from evenhand.analysis.quality import JudgeQuality, judge_quality
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import SuiteScores, tabulate
from evenhand.analysis.tradeoff import TradeOff, trade_off
from evenhand.types import AXES, BASELINE_CATEGORY


@dataclass(frozen=True)
class Settings:
    """How an analysis is done.

    Attributes:
        draws, permutations, seed: resampling.
        correct: whether scores are freed from the judge's error where people labelled a sample.
    """

    draws: int = 2000
    permutations: int = 2000
    seed: int = 0
    correct: bool = True


@dataclass(frozen=True)
class IdentityResult:
    """One identity's or baseline's scores in points; None on an axis that was not run.

    Attributes:
        identity, category: who.
        safety, utility: axis scores (means of the axis's suites).
        n: scored responses.
        suites: suite -> score.
        deviation: axis -> contrast against the identity mean; baselines have none.
        against: axis -> baseline -> contrast against that baseline.
    """

    identity: str
    category: str
    safety: float | None
    utility: float | None
    n: int
    suites: dict[str, float]
    deviation: dict[str, Contrast] = field(default_factory=dict)
    against: dict[str, dict[str, Contrast]] = field(default_factory=dict)

    @property
    def is_baseline(self) -> bool:
        return self.category == BASELINE_CATEGORY


@dataclass(frozen=True)
class SuiteResult:
    """One suite: PB, mean over identities, labels of the responses, groups of items, variance components, PB by how the
    identity was conveyed (where there are several ways), and labels of each identity's and baseline's responses."""

    suite: str
    axis: str
    items: int
    mean: float
    pb: PBEstimate
    labels: dict[str, int]
    groups: GroupTable
    components: list[Component]
    cues: list[CueResult]
    identity_labels: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class AxisResult:
    """One axis beyond its PB: gap, worst served, categories, and how far intersections are more than their parts."""

    gap: Gap
    lowest: Lowest
    categories: dict[str, Contrast]
    additivity: dict[str, Contrast]


@dataclass(frozen=True)
class Analysis:
    """What a study says.

    Attributes:
        pb: "safety", "utility" and "joint" -> estimate, None where an axis was not run.
        identities: identities, then baselines.
        suites: one result per suite.
        axes: axis -> gap, categories, additivity; only axes that were run.
        trade_off: how the two axes go together; None when one was not run.
        trials: planned = done + missing + failed. ``done``: scored; ``failed``: the call failed for good;
            ``missing``: not answered yet, not judged, or answered with something nobody can judge.
        missing_reasons: why trials are missing -> how many.
        missing: what is missing per suite and identity, whether it differs, and what the results are between.
        quality: the judges against the study's hand-labelled sample, per suite that has one.
        corrections: how scores were freed from the judges' errors, per suite where they were.
        notes: what a reader must know to read the numbers right.
        open_answers: judge-free contrasts of the answers' wording, where they were asked for.
    """

    pb: dict[str, PBEstimate | None]
    identities: tuple[IdentityResult, ...]
    suites: tuple[SuiteResult, ...]
    axes: dict[str, AxisResult]
    trade_off: TradeOff | None
    trials: dict[str, int]
    missing_reasons: dict[str, int]
    missing: Missing
    quality: tuple[JudgeQuality, ...]
    corrections: tuple[Correction, ...]
    notes: tuple[str, ...]
    open_answers: tuple[OpenMeasure, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: NaN becomes null."""
        data: dict[str, Any] = plain(self)
        return data


def summarize(
    rows: Sequence[Sequence[Any]],
    identities: Sequence[tuple[str, str]],
    *,
    planned: int,
    failed: int,
    failures: Sequence[Sequence[Any]] = (),
    left_out: int = 0,
    parts: Mapping[str, Sequence[str]] | None = None,
    settings: Settings | None = None,
    remarks: Sequence[str] = (),
) -> Analysis:
    """Analyse the scores of a study.

    Args:
        rows: one per response, columns :data:`evenhand.analysis.scores.COLUMNS`.
        identities: (name, category) of all identities and baselines, in the order to report.
        planned: trials in the grid.
        failed: trials whose calls failed for good.
        failures: their cells, as rows without a score: labelled "failed", the error in place of the finish reason.
        left_out: responses that a policy of legitimate differences keeps out of ``rows``.
        parts: intersection -> the identities it is made of.
        settings: resampling.
        remarks: what a reader must know of how the study was asked; the first of the notes.
    """
    settings = settings or Settings()
    quality = judge_quality(rows, permutations=settings.permutations, seed=settings.seed)
    rows, corrections = correct(rows) if settings.correct else (rows, [])
    tables = tabulate(rows, [name for name, _ in identities])
    tables, notes = _comparable(tables)
    notes = [*remarks, *notes, *(_correction_note(c) for c in corrections)]
    estimator = (
        BiasEstimator(tables, draws=settings.draws, permutations=settings.permutations, seed=settings.seed)
        if tables
        else None
    )
    scored = Counter(row[5] for row in rows if row[8] is not None)
    reasons = Counter(f"judge: {row[9]}" for row in rows if row[8] is None)
    if left_out:
        reasons["left out: the policy calls differences on these items legitimate"] = left_out
        notes.append(f"{left_out} responses are left out, to items on which the policy calls differences legitimate.")
    if (open_ := planned - failed - len(rows) - left_out) > 0:
        reasons["not answered yet"] = open_
    done = sum(scored.values())
    if truncated := sum(row[9] == "truncated" for row in rows):
        notes.append(
            f"{truncated} responses were cut by max_tokens before they gave an answer and count as useless; "
            "raise --max-tokens."
        )
    pb: dict[str, PBEstimate | None] = {axis: estimator.axis(axis) if estimator else None for axis in AXES}
    pb["joint"] = estimator.joint() if estimator else None
    missing = _missing([*rows, *failures], [name for name, _ in identities], pb, settings)
    before, behind = missing_notes(missing, pb)
    return Analysis(
        pb=pb,
        identities=tuple(_identity_results(tables, estimator, identities, scored)),
        suites=tuple(_suite_result(t, estimator, rows, settings) for t in tables if estimator),
        axes=_axis_results(tables, estimator, dict(identities), parts or {}, settings) if estimator else {},
        trade_off=_trade_off(tables, estimator, (pb["safety"], pb["utility"]), settings) if estimator else None,
        trials={
            "planned": max(planned, len(rows) + left_out + failed),
            "done": done,
            "missing": sum(reasons.values()),
            "failed": failed,
        },
        missing_reasons=dict(reasons.most_common()),
        missing=missing,
        quality=tuple(quality),
        corrections=tuple(corrections),
        notes=(*before, *notes, *behind),
    )


def _missing(
    rows: Sequence[Sequence[Any]], names: Sequence[str], pb: Mapping[str, PBEstimate | None], settings: Settings
) -> Missing:
    return Missing(
        find_missing(rows, names, permutations=settings.permutations, seed=settings.seed),
        find_bounds(rows, names, is_missing, pb, draws=settings.draws, seed=settings.seed),
    )


def _correction_note(done: Correction) -> str:
    return (
        f"{done.suite}: corrected for the judge's error with {done.labels} labels made by people (of {done.responses} "
        f"responses), which moves its mean by {done.shift:+.1f} points; intervals carry the sample's noise."
    )


def _comparable(tables: list[SuiteScores]) -> tuple[list[SuiteScores], list[str]]:
    """Tables over the identities that all suites have scores of, and notes on what was left out."""
    notes: list[str] = []
    usable = []
    for table in tables:
        counts = np.isfinite(table.y).sum(axis=1) if table.identities else np.zeros(0)
        if counts.size < 2 or (counts > 0).sum() < 2:
            notes.append(f"{table.suite}: fewer than two identities have scores; no bias can be estimated yet.")
        else:
            usable.append((table, {n for n, c in zip(table.identities, counts, strict=True) if c}))
    if not usable:
        return [], notes
    common = set.intersection(*(names for _, names in usable))
    everyone = {n for t, _ in usable for n in t.identities}
    if lost := sorted(everyone - common):
        notes.append(f"Left out, because a suite has no score of them: {', '.join(lost)}.")
    if len(common) < 2:
        notes.append("The suites share fewer than two identities; no bias can be estimated yet.")
        return [], notes
    kept = []
    for table, _ in usable:
        rows = [k for k, name in enumerate(table.identities) if name in common]
        kept.append(table.select_identities(rows))
    return kept, notes


def _identity_results(
    tables: list[SuiteScores],
    estimator: BiasEstimator | None,
    identities: Sequence[tuple[str, str]],
    scored: Mapping[str, int],
) -> list[IdentityResult]:
    if estimator is None:
        return []
    by_axis = {axis: [t for t in tables if t.axis == axis] for axis in AXES}
    deviations = {
        axis: from_mean([estimator.fit(t.suite) for t in ts], [estimator.null(t.suite) for t in ts])
        for axis, ts in by_axis.items()
        if ts
    }
    against = {
        axis: {b: from_baseline(ts, b) for b in ts[0].baselines if all(b in t.baselines for t in ts)}
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
                scored[name],
                suites,
                {} if row is None else {a: d[row] for a, d in deviations.items()},
                {} if row is None else {a: {b: c[row] for b, c in bs.items()} for a, bs in against.items()},
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


def _axis_results(
    tables: list[SuiteScores],
    estimator: BiasEstimator,
    members: Mapping[str, str],
    parts: Mapping[str, Sequence[str]],
    settings: Settings,
) -> dict[str, AxisResult]:
    rng = np.random.default_rng(settings.seed)
    results: dict[str, AxisResult] = {}
    for axis in AXES:
        suites = [t.suite for t in tables if t.axis == axis]
        if not suites:
            continue
        people = tables[0].identities
        fits, nulls = [estimator.fit(s) for s in suites], [estimator.null(s) for s in suites]
        results[axis] = AxisResult(
            gap(people, fits, nulls, [estimator.noise(s) for s in suites]),
            lowest(people, fits, [noise_draws(f, settings.draws, rng, level=True) for f in fits]),
            categories(members, people, fits, nulls),
            additivity(parts, people, fits, nulls),
        )
    return results


def _trade_off(
    tables: list[SuiteScores],
    estimator: BiasEstimator,
    pb: tuple[PBEstimate | None, PBEstimate | None],
    settings: Settings,
) -> TradeOff | None:
    safety, utility = pb
    if safety is None or utility is None:
        return None
    scores = [np.mean([estimator.fit(t.suite).mean for t in tables if t.axis == axis], axis=0) for axis in AXES]
    return trade_off(
        tables[0].identities,
        scores[0],
        scores[1],
        (safety, utility),
        permutations=max(settings.permutations, 200),
        seed=settings.seed,
    )


def _suite_result(
    table: SuiteScores, estimator: BiasEstimator, rows: Sequence[Sequence[Any]], settings: Settings
) -> SuiteResult:
    labels = Counter(row[9] for row in rows if row[0] == table.suite)
    pairs = Counter((row[5], row[9]) for row in rows if row[0] == table.suite)
    people = [*table.identities, *table.baselines]
    ordered = dict(labels.most_common())
    fit = estimator.fit(table.suite)
    return SuiteResult(
        table.suite,
        table.axis,
        fit.items,
        float(fit.mean.mean()),
        estimator.suite(table.suite),
        ordered,
        by_group(table, permutations=settings.permutations // 2, seed=settings.seed),
        variance_components(table),
        by_cue(table, draws=settings.draws, permutations=settings.permutations, seed=settings.seed),
        {who: {label: n for label in ordered if (n := pairs[who, label])} for who in people},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def plain(value: Any) -> Any:
    """Plain data for JSON: dataclasses as dictionaries, arrays as lists, None for what is not finite."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value

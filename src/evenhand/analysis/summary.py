"""The analysis of a whole study, as one object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.bounds import find_bounds
from evenhand.analysis.breakdown import Gap, GroupTable, Lowest, additivity, by_group, categories, gap, lowest
from evenhand.analysis.certainty import CERTAINTIES, Certainty, certainty_of
from evenhand.analysis.comparable import comparable
from evenhand.analysis.components import Component, variance_components
from evenhand.analysis.conditions import Condition, conditions
from evenhand.analysis.correction import Correction, correct, correction_note
from evenhand.analysis.cues import CueResult, by_cue
from evenhand.analysis.design_notes import cluster_notes, conveying_notes
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.estimand import Estimand, Pool, estimand_sentence, noise_scales
from evenhand.analysis.further import FurtherScore
from evenhand.analysis.impact import ImpactRatio, impact_ratio
from evenhand.analysis.judge_worth import JudgeWorth
from evenhand.analysis.label_rates import LabelRate
from evenhand.analysis.missing import Missing, find_missing, is_missing
from evenhand.analysis.missing_notes import missing_notes
from evenhand.analysis.open_answers import OpenMeasure
from evenhand.analysis.plain import plain
from evenhand.analysis.pooled import Pooled
from evenhand.analysis.quality import JudgeQuality, judge_quality
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import SuiteScores, tabulate
from evenhand.analysis.sensitivity import JudgeFigures, Sensitivity, sensitivity
from evenhand.analysis.showing import Showing
from evenhand.analysis.tradeoff import TradeOff, trade_off
from evenhand.analysis.unpaired import Unpaired
from evenhand.analysis.unreadable import silence_note, silences
from evenhand.analysis.ways import WaysResult, by_way
from evenhand.analysis.whom import IdentityResult, identity_results
from evenhand.analysis.wins import WinRate
from evenhand.analysis.wordings import WordingGap, wording_gaps
from evenhand.scored import ScoreRows
from evenhand.types import AXES, JOINT


@dataclass(frozen=True)
class Settings:
    """How an analysis is done.

    Attributes:
        draws, permutations, seed: resampling.
        correct: whether scores are freed from the judge's error where people labelled a sample.
        level: confidence of every interval.
        estimand: "items-like-these", or "these-items" for the suites' own items and no others.
        certainty: pairs of a certainty, ascending, and the one-sided error of the bound on PB that has it; they do not
            add up to 1 where a study was looked at on the way.
    """

    draws: int = 2000
    permutations: int = 2000
    seed: int = 0
    correct: bool = True
    level: float = 0.95
    estimand: Estimand = "items-like-these"
    certainty: tuple[tuple[float, float], ...] = tuple((sure, 1 - sure) for sure in CERTAINTIES)


@dataclass(frozen=True)
class SuiteResult:
    """One suite: items and their clusters, PB, mean over identities, labels of the responses, groups of items, variance
    components, PB by how the identity was conveyed (where there are several personalizers), labels of each identity's
    and baseline's responses, and what is the identity's and what the wording's (where a personalizer has several)."""

    suite: str
    axis: str
    items: int
    mean: float
    pb: PBEstimate
    labels: dict[str, int]
    groups: GroupTable
    components: list[Component]
    cues: list[CueResult]
    clusters: int
    identity_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    ways: list[WaysResult] = field(default_factory=list)


@dataclass(frozen=True)
class AxisResult:
    """One axis beyond its PB: gap, worst served, categories, and how far intersections are more than their parts.

    ``apart`` names the identities that deviate alone in their category and are left out of its effect; the impact ratio
    sets the lowest score beside the highest.
    """

    gap: Gap
    lowest: Lowest
    categories: dict[str, Contrast]
    additivity: dict[str, Contrast]
    apart: tuple[str, ...] = ()
    impact_ratio: ImpactRatio | None = None


@dataclass(frozen=True)
class Analysis:
    """What a study says.

    Attributes:
        pb: axis, and "joint" for safety and utility -> estimate, None where an axis was not run.
        identities: identities, then baselines.
        suites: one result per suite.
        axes: axis -> gap, categories, additivity; only axes that were run.
        trade_off: how safety and utility go together; None when one was not run.
        trials: planned = done + missing + failed. ``done``: scored; ``failed``: the call failed for good;
            ``missing``: not answered yet, not judged, or answered with something nobody can judge.
        missing_reasons: why trials are missing -> how many.
        missing: what is missing per suite and identity, whether it differs, and what the results are between.
        quality: the judges against the study's hand-labelled sample, per suite that has one.
        corrections: how scores were freed from the judges' errors, per suite where they were.
        notes: what a reader must know to read the numbers right.
        level: confidence of the intervals.
        holds: in what share of studies they hold; less than ``level`` where looks on the way may have ended the study.
        estimand: what intervals and tests are about, in a sentence.
        open_answers: judge-free contrasts of the answers' wording, where they were asked for.
        showings: how often identities show in answers, where that was asked for.
        label_rates: how often answers got the labels that tell more than their scores, with intervals.
        pooled: precision, recall and F1 over all answers, where judges count things within answers; no intervals.
        leaks: how often answers give away sensitive facts, beside how often they do untold.
        conditions: the personalizers side by side, where the study tells of people.
        wins: how often the provider's tier wins where the user pushes, where a suite asks for that.
        wordings: what other wordings of the same questions (a dialect) change, where suites have several.
        certainty: axis, and "joint" -> how certain it is that PB is below which limit, by the answers
            that are there; only what was run.
        sensitivity: where the suites' judges stand, and what their errors could make of PB; None when not asked for.
        judges: how good each suite's judge is on this kind of suite, as far as people's labels say so.
        further: the scores of suites whose judges give several, each by itself.
        silent: axes on which no answer could be read: their numbers tell of no bias, and of no absence of it.
        unpaired: of answers that different people got to questions of their own: how far apart identities are; there is
            no PB then.
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
    level: float
    holds: float
    estimand: str
    open_answers: tuple[OpenMeasure, ...] = ()
    showings: tuple[Showing, ...] = ()
    label_rates: tuple[LabelRate, ...] = ()
    leaks: tuple[Showing, ...] = ()
    pooled: tuple[Pooled, ...] = ()
    conditions: tuple[Condition, ...] = ()
    wins: tuple[WinRate, ...] = ()
    wordings: tuple[WordingGap, ...] = ()
    certainty: dict[str, Certainty] = field(default_factory=dict)
    sensitivity: Sensitivity | None = None
    judges: tuple[JudgeWorth, ...] = ()
    silent: tuple[str, ...] = ()
    further: tuple[FurtherScore, ...] = ()
    unpaired: tuple[Unpaired, ...] = ()

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
    pools: Mapping[str, Pool] | None = None,
    judges: Mapping[str, JudgeFigures] | None = None,
    remarks: Sequence[str] = (),
    paired: bool = True,
) -> Analysis:
    """Analyse the scores of a study.

    Args:
        rows: one per response, fields of :class:`evenhand.types.ScoreRow`.
        identities: (name, category) of all identities and baselines, in the order to report.
        planned: trials in the grid.
        failed: trials whose calls failed for good.
        failures: their cells, as rows without a score: labelled "failed", the error in place of the finish reason.
        left_out: responses that a policy of legitimate differences keeps out of ``rows``.
        parts: intersection -> the identities it is made of.
        settings: resampling, and what the numbers are about.
        pools: suite -> what its items were drawn from; unlimited otherwise.
        judges: suite -> what is known of its judge.
        remarks: what a reader must know of how the study was asked; the first of the notes.
        paired: whether identities were asked the same; nothing is compared otherwise.
    """
    settings, as_judged = settings or Settings(), ScoreRows.of(rows)
    quality = judge_quality(as_judged, permutations=settings.permutations, seed=settings.seed)
    rows, corrections = correct(as_judged) if settings.correct else (as_judged, [])
    corrected = {c.suite for c in corrections}
    everything = tabulate(rows, [name for name, _ in identities])
    tables, notes = comparable(everything) if paired else ([], [])
    notes = [
        *remarks,
        *notes,
        *(correction_note(c) for c in corrections),
        *cluster_notes(tables),
        *conveying_notes(tables),
    ]
    # What a sample of labels adds to the noise does not shrink with the pool.
    scales = noise_scales(settings.estimand, [t for t in tables if t.suite not in corrected], pools or {})
    estimator = _estimator(tables, scales, settings, corrections, as_judged) if tables else None
    scored = rows.where(rows.is_scored).counts("identity")
    unscored = rows.where(~rows.is_scored).counts("label")
    reasons = Counter({f"judge: {label}": n for label, n in unscored.items()})
    if left_out:
        reasons["left out: the policy calls differences on these items legitimate"] = left_out
        notes.append(f"{left_out} responses are left out, to items on which the policy calls differences legitimate.")
    if (open_ := planned - failed - len(rows) - left_out) > 0:
        reasons["not answered yet"] = open_
    done = sum(scored.values())
    if truncated := int(rows.column("label").is_in(["truncated"]).sum()):
        notes.append(
            f"{truncated} responses were cut by max_tokens before they gave an answer and count as useless; "
            "raise --max-tokens."
        )
    pb: dict[str, PBEstimate | None] = {axis: estimator.axis(axis) if estimator else None for axis in AXES}
    pb["joint"] = estimator.joint() if estimator else None
    means = [(t.suite, t.axis, float(estimator.fit(t.suite).mean.mean())) for t in tables] if estimator else []
    missing = _missing(rows + ScoreRows.of(failures), [name for name, _ in identities], pb, settings)
    before, behind = missing_notes(missing, pb)
    silent = silences(rows)
    before = [*(silence_note(found, pb[found.axis]) for found in silent), *before]
    return Analysis(
        pb=pb,
        identities=tuple(identity_results(tables, estimator, identities, scored, scales, settings.level)),
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
        silent=tuple(found.axis for found in silent),
        quality=tuple(quality),
        corrections=tuple(corrections),
        notes=(*before, *notes, *behind),
        level=settings.level,
        holds=settings.level,
        estimand=estimand_sentence(settings.estimand, tables, scales),
        conditions=tuple(
            conditions(
                tables,
                draws=settings.draws,
                permutations=settings.permutations,
                seed=settings.seed,
                level=settings.level,
                scales=scales,
            )
        ),
        wordings=tuple(
            wording_gaps(everything, draws=settings.draws, seed=settings.seed, level=settings.level, scales=scales)
        ),
        certainty=_certainty(estimator, settings) if estimator else {},
        sensitivity=sensitivity(means, judges, corrected, pb) if judges is not None else None,
    )


def _estimator(
    tables: Sequence[SuiteScores],
    scales: Mapping[str, float],
    settings: Settings,
    corrections: Sequence[Correction],
    as_judged: ScoreRows,
) -> BiasEstimator:
    """Corrected scores carry noise on every item; what tells identities apart is counted on the judge's."""
    corrected = {c.suite for c in corrections}
    judged = as_judged.column("suite").is_in(corrected) & as_judged.column("identity").is_in(tables[0].identities)
    seen = tabulate(as_judged.where(judged), []) if corrected else []
    return BiasEstimator(
        tables,
        draws=settings.draws,
        permutations=settings.permutations,
        seed=settings.seed,
        level=settings.level,
        scales=scales,
        allowances={c.suite: c.allowance for c in corrections},
        seen={t.suite: t for t in seen},
    )


def _certainty(estimator: BiasEstimator, settings: Settings) -> dict[str, Certainty]:
    sure, errors = [s for s, _ in settings.certainty], [e for _, e in settings.certainty]
    ends = {name: estimator.upper_ends(name, errors) for name in (*AXES, "joint")}
    curves = {name: certainty_of(sure, limits) for name, limits in ends.items() if limits is not None}
    return {name: curve for name, curve in curves.items() if curve is not None}


def _missing(rows: ScoreRows, names: Sequence[str], pb: Mapping[str, PBEstimate | None], settings: Settings) -> Missing:
    return Missing(
        find_missing(rows, names, permutations=settings.permutations, seed=settings.seed),
        find_bounds(rows, names, is_missing, pb, draws=settings.draws, seed=settings.seed, level=settings.level),
    )


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
        if not any(t.axis == axis for t in tables):
            continue
        people = tables[0].identities
        fits, noise, nulls = estimator.parts(axis)
        by_category = categories(members, people, fits, noise, settings.level)
        with_level = [noise_draws(f, settings.draws, rng, level=True) for f in fits]
        results[axis] = AxisResult(
            gap(people, fits, nulls, noise, settings.level),
            lowest(people, fits, with_level, settings.level),
            by_category.effects,
            additivity(parts, people, fits, noise, settings.level),
            by_category.apart,
            impact_ratio(fits, noise, with_level, settings.level),
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
    scores = [np.mean([estimator.fit(t.suite).mean for t in tables if t.axis == axis], axis=0) for axis in JOINT]
    return trade_off(
        tables[0].identities,
        scores[0],
        scores[1],
        (safety, utility),
        covariances=(estimator.covariance(JOINT[0]), estimator.covariance(JOINT[1])),
        level=settings.level,
        permutations=max(settings.permutations, 200),
        seed=settings.seed,
    )


def _suite_result(table: SuiteScores, estimator: BiasEstimator, rows: ScoreRows, settings: Settings) -> SuiteResult:
    own = rows.where(rows.column("suite").is_in([table.suite]))
    labels, pairs = Counter(own.counts("label")), Counter(own.counts("identity", "label"))
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
        by_group(
            table,
            draws=settings.draws,
            permutations=settings.permutations // 2,
            seed=settings.seed,
            level=settings.level,
        ),
        variance_components(table),
        by_cue(
            table, draws=settings.draws, permutations=settings.permutations, seed=settings.seed, level=settings.level
        ),
        fit.clusters,
        {who: {label: n for label in ordered if (n := pairs[who, label])} for who in people},
        by_way(table, permutations=settings.permutations // 2, seed=settings.seed),
    )

"""The library's front door: run a study, analyse it, write its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evenhand.adaptive import AdaptiveResult, run_adaptively
from evenhand.analysing import analyze_store
from evenhand.analysis import Analysis, Settings
from evenhand.analysis.comparison import Comparison
from evenhand.analysis.estimand import Estimand
from evenhand.analysis.gate import Gated
from evenhand.arguments import Study, settings_of, study_of, with_model
from evenhand.audit.judges import JudgeComparison, compare_judges
from evenhand.audit.run import Audit, audit, labelled_probes, shipped_probes
from evenhand.audit.validate import Validation, validate
from evenhand.deciding import held, run_until_decided
from evenhand.disinforming import disinformation as disinformation
from evenhand.errors import ModelError, SpecError, StoreError
from evenhand.gating import check_store, last_gated
from evenhand.history import history as history
from evenhand.judges import make_judge
from evenhand.judges.labels import read_labels
from evenhand.loops import run_async
from evenhand.models import Model, ModelOptions, make_model
from evenhand.planning import plan_items as plan_items
from evenhand.planning import plan_reduction as plan_reduction
from evenhand.publishing import export_study as export_study
from evenhand.publishing import track_study as track_study
from evenhand.remembered import memories as memories
from evenhand.report.export import Frames, frames
from evenhand.report.html import render_report
from evenhand.report.side_by_side import described, render_side_by_side, told_apart
from evenhand.runner import Estimate, RunResult, rejudge, run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import make_plan
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.rejudge import unreadable_note
from evenhand.runner.spending import estimate
from evenhand.showing import identities_shown
from evenhand.study import Store
from evenhand.tables import compare_stores
from evenhand.tones import make_tones
from evenhand.using import edits_learned as edits_learned
from evenhand.using import facts_used as facts_used
from evenhand.whole import write_whole
from evenhand.wording import open_answers

REPORT_FILE = "report.html"


def run(
    study: Study,
    out: Path | str,
    *,
    model: Model | str | Callable[..., Any] | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run every trial of a study that has no response yet.

    Args:
        study: a spec, its fields as a mapping, or the path of a study's TOML file.
        out: the study's directory; continued when it exists.
        model: what to call instead of ``study.model``: a reference ("openai:NAME"), a function of messages
            (see :class:`evenhand.models.function.FunctionModel`), or a model of your own.
        progress: told of every trial; silent by default.

    Raises:
        EvenhandError: anything you can fix. What was answered before is kept, and the same call goes on from there.
    """
    spec, member = with_model(study, model)
    return run_study(spec, Path(out), model=member, progress=progress)


def estimate_cost(study: Study, out: Path | str | None = None) -> list[Estimate]:
    """What a run would take: trials, tokens and, with prices, money; per suite. Calls no model.

    Args:
        study: as for :func:`run`.
        out: the study's directory, when it is there: only what is missing counts, by what answers took so far.

    Raises:
        EvenhandError: anything you can fix.
    """
    if out is None or not Store.is_begun(Path(out)):
        return estimate(make_plan(study_of(study)), None)
    plan = plan_study(study_of(study), Path(out))
    with Store.open(Path(out)) as store:
        return estimate(plan, store)


def run_to_precision(
    study: Study,
    out: Path | str,
    target: float,
    budget: int | None = None,
    *,
    model: Model | str | Callable[..., Any] | None = None,
    progress: Progress | None = None,
) -> AdaptiveResult:
    """Run a study only until each suite's interval of PB has a half-width of ``target`` points.

    Args:
        study, out, model, progress: as for :func:`run`.
        target: half-width in points.
        budget: calls at most.

    Raises:
        EvenhandError: anything you can fix.
    """
    spec, member = with_model(study, model)
    return run_adaptively(spec, Path(out), target, budget, model=member, progress=progress)


def analyze(
    path: Path | str,
    settings: Settings | Mapping[str, Any] | None = None,
    policy: Path | str | None = None,
    *,
    wording: bool = False,
    classifiers: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Analyse a study, finished or not.

    Args:
        path: the study's directory.
        settings: how the analysis is done: Settings, or its fields as a mapping.
        policy: a policy file of legitimate differences, or "shipped"; items on which it calls a difference between the
            study's identities legitimate are left out.
        wording: whether to contrast the answers' length, reading level and likeness, and how often identities show.
        classifiers: measure -> classifier of the answers' tone (:class:`evenhand.tones.Tone`); implies ``wording``.
        tell: told how far these are.

    Raises:
        StoreError: there is no study, or it cannot be read.
        DataError: the policy cannot be read.
        SpecError, ModelError: a classifier is named wrongly, or cannot be used.
    """
    tones, chosen = make_tones(classifiers or {}), settings_of(settings) or Settings()
    with Store.open(Path(path)) as store:
        found = analyze_store(store, chosen, policy)
        if wording or tones:
            measures = open_answers(store, chosen, tones, tell)
            found = replace(found, open_answers=measures, showings=identities_shown(store, chosen))
        return found


def check(
    path: Path | str,
    *,
    max_pb: float | None = None,
    max_gap: float | None = None,
    min_safety: float | None = None,
    min_utility: float | None = None,
    min_fit: float | None = None,
    min_gain: float | None = None,
    policy: Path | str | None = None,
    look_of: Path | str | None = None,
    estimand: Estimand = "items-like-these",
    decide: bool = False,
    max_calls: int | None = None,
    study: Study | None = None,
    model: Model | str | Callable[..., Any] | None = None,
    progress: Progress | None = None,
) -> Gated:
    """Decide whether a study keeps to limits, wrongly in less than 2.5 % each way over all looks at it.

    Every call on more data than before is a look, kept in the study; see :mod:`evenhand.gating`.

    Args:
        path: the study's directory.
        max_pb: personalization bias at most, in points.
        max_gap: between the best and the worst served identity at most, in points.
        min_safety, min_utility, min_fit: of the worst served identity at least, in points.
        min_gain: fit with the user's data minus fit without at least, in points, through each personalizer that tells
            it (all but "none" and "placebo").
        policy: as for :func:`analyze`.
        look_of: a study that this one continues, so that the looks at both share one error.
        estimand: what the decision is about: "items-like-these", or "these-items" for the suites' own and no others.
        decide: whether to run further items until the gate can decide; the result is a
            :class:`evenhand.deciding.Decided` then.
        max_calls: with ``decide``: calls at most, those of earlier runs included.
        study: with ``decide``: what to run, as for :func:`run`; what the directory holds by default.
        model, progress: with ``decide``: as for :func:`run`.

    Raises:
        SpecError: no limit was given, or one is out of range; the calls are too few for a first look.
        StoreError: there is no study, or it cannot be read.
    """
    lowest = {"min_safety": min_safety, "min_utility": min_utility, "min_fit": min_fit}
    limits = _limits({"max_pb": max_pb, "max_gap": max_gap, **lowest, "min_gain": min_gain})

    def look(planned: int | None = None) -> Gated:
        with Store.open(Path(path)) as store:
            return check_store(
                store,
                limits,
                lambda settings: analyze_store(store, replace(settings, estimand=estimand), policy),
                Path(look_of) if look_of else None,
                planned,
                unfinished=planned is not None,
            )

    if not decide:
        return look()
    if max_calls is None:
        raise SpecError("Deciding needs a limit on calls.", "Give max_calls, those of earlier runs included.")
    spec, member = with_model(study if study is not None else held(Path(path)), model)
    return run_until_decided(spec, Path(path), limits, max_calls, look, model=member, progress=progress)


def _limits(given: Mapping[str, float | None]) -> dict[str, float]:
    limits = {name: limit for name, limit in given.items() if limit is not None}
    if not limits:
        raise SpecError("No limit was given.", "Give max_pb, max_gap, min_safety, min_utility, min_fit or min_gain.")
    for name, limit in limits.items():
        if not 0 <= limit <= 100:
            raise SpecError(f"The limit {name} = {limit} is out of range.", "Limits are points: 0 to 100.")
    return limits


def compare_studies(before: Path | str, after: Path | str, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """What changed from one study to another, on the items and identities both scored.

    Args:
        before, after: directories of the studies.
        draws, seed: of the resampling.

    Raises:
        SpecError: the studies have too little in common.
        StoreError: a study cannot be read.
    """
    with Store.open(Path(before)) as one, Store.open(Path(after)) as other:
        return compare_stores(one, other, draws=draws, seed=seed)


def validate_judge(judge: str, labels: Path | str, options: ModelOptions | None = None) -> Validation:
    """Measure a judge on responses that people labelled.

    Args:
        judge: a judge's reference.
        labels: CSV or JSONL file; see :func:`evenhand.judges.labels.read_labels`.
        options: how to reach the model behind the judge.

    Raises:
        EvenhandError: anything you can fix.
    """
    return validate(make_judge(judge, options), Path(labels))


def audit_judge(
    judge: str,
    labels: Path | str | None = None,
    *,
    biases: Sequence[str] = (),
    other: str | None = None,
    options: ModelOptions | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Try the biases of CALM (arXiv 2410.02736) and prompt injection on a judge.

    Args:
        judge: a judge's reference.
        labels: labelled responses to try single verdicts on; the cases of the package otherwise.
        biases: names; all by default.
        other: a second model, for self-enhancement.
        options: how to reach the models.
        tell: told what is being done.

    Raises:
        EvenhandError: anything you can fix.
    """
    member = make_judge(judge, options)
    probes = shipped_probes(member)
    if labels is not None:
        probes = [*labelled_probes(read_labels(Path(labels)), member), *(p for p in probes if p.is_pair)]
    own = make_model(member.model_reference, options) if other and member.model_reference else None
    second = make_model(other, options) if other else None
    return run_async(audit(member, probes, biases=biases, own=own, other=second, tell=tell))


def judge_again(
    path: Path | str,
    judges: Mapping[str, str],
    options: ModelOptions | None = None,
    *,
    progress: Progress | None = None,
    draws: int = 2000,
) -> JudgeComparison:
    """Judge a finished study with other judges too, without calling its model, and compare what they say.

    The study keeps its judges; see :func:`evenhand.runner.rejudge` to change them.

    Args:
        path: the study's directory.
        judges: suite -> the other judge.
        options: how to reach the model behind it.
        progress: told of every judgement.
        draws: of the resampling.

    Raises:
        EvenhandError: anything you can fix; what was judged is kept.
    """
    done = rejudge(Path(path), judges, options, keep=False, progress=progress)
    if done.in_vain:
        raise ModelError(f"{unreadable_note(done)} ({done.last_unreadable}).", "Give another model.")
    with progress or Silent() as shown, Store.open(Path(path)) as store:
        shown.stage("comparing")
        return compare_judges(store, judges, draws=draws)


def load(path: Path | str) -> Frames:
    """A study's tables as polars frames: ``load("study").trials`` has one row per response.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return frames(store)


def write_report(
    path: Path | str,
    target: Path | str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    before: Path | str | None = None,
    texts: bool = True,
) -> Path:
    """Write a study's report, one self-contained HTML file.

    Args:
        path: the study's directory.
        target: where to write; ``report.html`` in the study's directory by default.
        settings: how the analysis is done: Settings, or its fields as a mapping.
        before: a study to set this one against, such as the one without its mitigation.
        texts: whether answers and memories are in it; a copy for others may do without.

    Returns:
        The file that was written.
    """
    chosen = Path(target) if target else Path(path) / REPORT_FILE
    against = (str(before), compare_studies(before, path)) if before else None
    with Store.open(Path(path)) as store:
        analysis = analyze_store(store, settings_of(settings))
        gated = last_gated(store, lambda look: analyze_store(store, look))
        page = render_report(store, analysis, against, gated, texts=texts)
    return _written(page, chosen)


def write_side_by_side(
    paths: Sequence[Path | str], target: Path | str, settings: Settings | Mapping[str, Any] | None = None
) -> Path:
    """Write several studies into one HTML file: models, mitigations, or releases over time.

    Args:
        paths: the studies' directories, in the order to show.
        target: where to write.
        settings: how the analyses are done.
    """
    names, studies = told_apart(paths), []
    for path, name in zip(paths, names, strict=True):
        with Store.open(Path(path)) as store:
            studies.append(described(store, analyze_store(store, settings_of(settings)), name))
    return _written(render_side_by_side(studies), Path(target))


def _written(page: str, target: Path) -> Path:
    try:
        write_whole(target, page)
    except OSError as error:
        raise StoreError(f"Cannot write {target}: {error.strerror}.", "Choose another place with --out.") from None
    return target

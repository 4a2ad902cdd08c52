"""Analysing an open study: what its store says of how it was asked decides how its numbers are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from evenhand.analysis import Analysis, Settings, summarize
from evenhand.analysis.conditions import Effort, with_price
from evenhand.analysis.further import further_scores
from evenhand.analysis.label_rates import label_rates
from evenhand.analysis.wins import win_rates
from evenhand.collapsing import adapter_collapse, policy_collapses
from evenhand.errors import SpecError
from evenhand.gating import looked_certainties, looked_error
from evenhand.judging import admission_notes, judge_worths
from evenhand.leaking import EVERYBODY, leaks
from evenhand.mitigations.cues import POLICY, needed, read_policy
from evenhand.personalizers import learner_of
from evenhand.scored import ScoreRows
from evenhand.stages import stage
from evenhand.study import Store
from evenhand.study.notes import is_unpaired, looked_note, stopping_note, study_notes
from evenhand.study.reading import ADAPTIVE_META, SEARCH_META, TEMPLATE_META
from evenhand.tables import families_of, further_rows, judges_of, pooled_of, pools_of, unpaired_of


def analyze_store(store: Store, settings: Settings | None = None, policy: Path | str | None = None) -> Analysis:
    """Analyse an open study; see :func:`evenhand.api.analyze`."""
    if store.meta(SEARCH_META):
        raise SpecError(
            f"{store.directory} holds the answers of a search, in which not every identity was asked everything.",
            "Give evenhand search the same --out: it says what they show.",
        )
    settings = settings or Settings()
    holds, stopped = settings.level, list[str]()
    if settings.level == Settings().level:
        settings, stopped = _over_all_looks(store, settings)
    rows, failures, left_out = store.scores(), store.failed_cells(), 0
    legitimate: set[tuple[str, str]] = set()
    if policy is not None:
        legitimate = _legitimate_items(store, POLICY if policy == "shipped" else Path(policy))
        kept = _without(rows, legitimate)
        rows, left_out = kept, len(rows) - len(kept)
        failures = [row for row in failures if (row.suite, row.item) not in legitimate]
    stage("computing")
    found = summarize(
        rows,
        [(row["name"], row["category"]) for row in store.identities()],
        planned=store.planned(),
        failed=store.count_failed(),
        failures=failures,
        left_out=left_out,
        parts={row["name"]: row["parts"] for row in store.identities() if row["parts"]},
        settings=settings,
        pools=pools_of(store),
        judges=judges_of(store),
        remarks=study_notes(store),
        paired=not is_unpaired(store),
    )
    template, given_away = store.meta(TEMPLATE_META), leaks(store, rows, settings)
    names = [row["name"] for row in store.identities()]
    further = {key: _without(scored, legitimate) for key, scored in further_rows(store).items()}
    everybodys = [leak for leak in given_away if leak.identity == EVERYBODY]
    return replace(
        found,
        holds=holds,
        notes=(
            *_collapse_notes(store),
            *admission_notes(store),
            *found.notes,
            *([template] if template else []),
            *stopped,
        ),
        label_rates=label_rates(rows, families_of(store), level=settings.level),
        wins=win_rates(rows, store.personalizers(), draws=settings.draws, seed=settings.seed, level=settings.level),
        leaks=given_away,
        pooled=pooled_of(store, rows),
        conditions=with_price(found.conditions, everybodys, efforts(store) if found.conditions else {}),
        judges=judge_worths(store, found),
        unpaired=unpaired_of(store, rows, settings.level),
        further=further_scores(further, names, draws=settings.draws, seed=settings.seed, level=settings.level),
    )


def efforts(store: Store) -> dict[str, Effort]:
    """What each personalizer of a study took: its answers, and the calls that learned its memories."""
    answering, learning = store.calls_by_personalizer("trials"), store.calls_by_personalizer("learning")
    learned = Counter(personalizer for (personalizer, _, _), _ in store.memories())
    found = {}
    for personalizer in store.personalizers():
        answers, calls, seconds = answering.get(personalizer, (0, 0, 0.0))
        learner = learner_of(personalizer)
        kept_as = learner.kept_as if learner else personalizer
        _, learning_calls, learning_seconds = learning.get(kept_as, (0, 0, 0.0))
        found[personalizer] = Effort(answers, calls, seconds, learned[kept_as], learning_calls, learning_seconds)
    return found


def _collapse_notes(store: Store) -> list[str]:
    """What stands before any number of a study whose model no longer answers, by its adapter or a personalizer."""
    known = adapter_collapse(store)
    notes = []
    if known is not None and known.collapsed:
        notes.append(f"The adapter {known.verdict}. What follows are the numbers of a model that is of no use.")
    for name, found in policy_collapses(store).items():
        if found.collapsed:
            notes.append(f"Through {name} it {found.verdict}. Its numbers are those of a model that is of no use.")
    return notes


def _over_all_looks(store: Store, settings: Settings) -> tuple[Settings, list[str]]:
    """Settings whose intervals hold over all looks that may have ended a study, and what to say of that."""
    notes = []
    if (alpha := store.meta(ADAPTIVE_META)) is not None:
        share = alpha / (1 - settings.level)
        known = tuple((sure, share * error) for sure, error in settings.certainty)
        settings = replace(settings, level=1 - alpha, certainty=known)
        notes.append(stopping_note(settings.level))
    error, certainty = looked_error(store), looked_certainties(store)
    if error is not None and certainty is not None:
        settings = replace(settings, level=1 - 2 * error, certainty=certainty)
        notes.append(looked_note(settings.level))
    return settings, notes


def _without(rows: ScoreRows, items: Collection[tuple[str, str]]) -> ScoreRows:
    """Rows but for those of some items (suite, item)."""
    return rows.where(~rows.is_of(items)) if items else rows


def _legitimate_items(store: Store, policy: Path) -> set[tuple[str, str]]:
    """(suite, item) on which a fact about one of the study's identities belongs into the answer."""
    rules = read_policy(policy)
    categories = {row["category"] for row in store.identities()}
    return {
        (suite["suite"], key)
        for suite in store.suites()
        for key, item in store.items(suite["suite"]).items()
        if needed(categories, item.question or item.prompt, rules)
    }

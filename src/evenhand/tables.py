"""Stores as tables of scores: what everything that analyses or compares studies begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evenhand.analysis import SuiteScores, tabulate
from evenhand.analysis.comparison import Comparison, compare
from evenhand.analysis.conditions import telling
from evenhand.analysis.confirmation import Measured
from evenhand.analysis.estimand import Pool
from evenhand.analysis.pooled import Pooled, pooled
from evenhand.analysis.reduction import share_gone
from evenhand.analysis.sensitivity import JudgeFigures
from evenhand.analysis.unpaired import Answers, Unpaired, unpaired
from evenhand.analysis.wins import win_changes
from evenhand.errors import SpecError
from evenhand.judges import JUDGES
from evenhand.judges.base import further_name
from evenhand.judges.tally import tallies_in
from evenhand.judges.validation import closest_figures, is_check
from evenhand.personalizers import PersonPersonalizer, make_personalizer
from evenhand.scored import ScoreRows
from evenhand.study import Store
from evenhand.study.notes import ADJUSTMENTS, COVARIATES, is_unpaired
from evenhand.suites.base import by_logprobs, like_of
from evenhand.types import BASELINE_CATEGORY, Item, ScoreRow


def tables_of(store: Store) -> list[SuiteScores]:
    """The scores of an open study, one table per suite."""
    return tabulate(store.scores(), [row["name"] for row in store.identities()])


def measured(store: Store, items: Mapping[str, Sequence[str]] | None = None) -> Measured:
    """What an open study shows of the condition that it was run under.

    Args:
        store: the study.
        items: suite -> the items that count; all of them otherwise.
    """
    names = [row["name"] for row in store.identities()]
    rows = store.scores()
    if items is not None:
        rows = rows.where(rows.is_of({(suite, item) for suite, those in items.items() for item in those}))
    tells = any(isinstance(make_personalizer(name), PersonPersonalizer) for name in telling(store.personalizers()))
    return Measured(tabulate(rows, names), tabulate(_refusals(rows), names), tells)


def _refusals(rows: ScoreRows) -> ScoreRows:
    """Who declined, as scores, of suites of utility that are answered in words."""
    scored = [suite for suite in rows.column("suite").names if by_logprobs(suite)]
    written = rows.where(rows.column("axis").is_in(["utility"]) & ~rows.column("suite").is_in(scored))
    label = written.column("label")
    declined = label.is_in([name for name in label.names if name.startswith("refusal")])
    return written.scored(np.where(written.is_scored, declined.astype(float), np.nan))


def refusals(store: Store) -> tuple[int, int]:
    """(refusals, answers) of people on suites of utility that are answered in words."""
    rows = _refusals(store.scores())
    said = rows.score[rows.is_scored & ~rows.is_baseline]
    return int(said.sum()), len(said)


def pools_of(store: Store) -> dict[str, Pool]:
    """What the items of each suite were drawn from, and whether its answers are sampled."""
    specs = [run["spec"] for run in store.runs()]
    set_to = {spec.get("decoding", {}).get("temperature") for spec in specs}
    untold = "temperature" in store.meta(ADJUSTMENTS, {}) or any(
        "temperature" in spec.get("options", {}).get("drop", ()) for spec in specs
    )
    greedy = set_to == {0} and not untold
    return {s["suite"]: Pool(s["pool"], greedy or by_logprobs(s["suite"])) for s in store.suites()}


def judges_of(store: Store) -> dict[str, JudgeFigures]:
    """What is known of each suite's judge."""
    return {s["suite"]: _figures_of(s["suite"], s["judge"]) for s in store.suites()}


def _figures_of(suite: str, judge: str) -> JudgeFigures:
    figures = closest_figures(judge, like_of(suite))
    recalls = tuple(shares for figure in figures if (shares := figure.shares(judge)) is not None)
    return JudgeFigures(judge, is_check(judge), recalls, tuple(dict.fromkeys(figure.data for figure in figures)))


def families_of(store: Store) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Suite -> its judge's families of labels, where they tell more than the scores."""
    judges = {s["suite"]: JUDGES.find(s["judge"]) for s in store.suites()}
    return {suite: judge.families for suite, judge in judges.items() if judge and judge.families}


def unpaired_of(store: Store, rows: ScoreRows, level: float) -> tuple[Unpaired, ...]:
    """How far apart identities are in a study of unpaired answers, per suite; empty for all other studies.

    Args:
        store: the study.
        rows: its scored answers.
        level: confidence of the intervals.
    """
    if not is_unpaired(store):
        return ()
    people = rows.where(rows.is_scored & ~rows.is_baseline).by("suite")
    found = (unpaired(_answers(suite, [*own], store.items(suite)), level=level) for suite, own in people.items())
    return tuple(one for one in found if one is not None)


def _answers(suite: str, rows: Sequence[ScoreRow], items: Mapping[str, Item]) -> Answers:
    told = [items[row.item].extra.get(COVARIATES, {}) for row in rows]
    names = dict.fromkeys(name for values in told for name in values)
    return Answers(
        suite,
        rows[0].axis,
        100 * np.array([row.score for row in rows], float),
        [row.identity for row in rows],
        [row.cluster or row.item for row in rows],
        {"group": [row.group for row in rows], **{name: [values.get(name) for values in told] for name in names}},
        "people" if any(map(_names_somebody, rows)) else "questions",
    )


def _names_somebody(row: ScoreRow) -> bool:
    """Whether an unpaired answer says whose it is: else an import made its question the cluster."""
    return bool(row.cluster) and row.item != row.cluster and not row.item.startswith(f"{row.cluster} (")


def further_rows(store: Store) -> dict[tuple[str, str], ScoreRows]:
    """(suite, name of a score) -> rows, of suites whose judges give several; the judge's own score is the first."""
    found = {}
    for row in store.suites():
        suite, judge, kind = row["suite"], row["judge"], JUDGES.find(row["judge"])
        if kind and kind.further:
            found[suite, kind.score_name] = store.scores({suite: judge})
            found |= {(suite, what): store.scores({suite: further_name(judge, what)}) for what in kind.further}
    return found


def pooled_of(store: Store, rows: ScoreRows) -> tuple[Pooled, ...]:
    """Precision, recall and F1 over all answers, of the suites whose judges count things within answers.

    Args:
        store: the study.
        rows: its answers that are looked at; items of others are left out. What a provider declined is not counted.
    """
    judges = {row["suite"]: JUDGES.find(row["judge"]) for row in store.suites()}
    suites = [suite for suite, judge in judges.items() if judge and judge.tallies]
    asked = rows.counts("suite", "item").keys() if suites else set()
    counted = []
    for suite in suites:
        for item, personalizer, identity, reason in store.reasons(suite):
            counts = tallies_in(reason) if (suite, item) in asked else {}
            if counts:
                kinds = {kind: (c.right, c.extra, c.missing) for kind, c in counts.items()}
                counted.append(((suite, personalizer, identity), kinds))
    return pooled(counted)


def compare_stores(before: Store, after: Store, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """What changed from one study to another, on the items and identities both scored.

    Raises:
        SpecError: the studies have too little in common.
    """
    ones, others = tables_of(before), tables_of(after)
    try:
        found = compare(ones, others, draws=draws, seed=seed)
        share = share_gone(ones, others, draws=draws, seed=seed)
    except ValueError as error:
        raise SpecError(
            f"{before.directory} and {after.directory} cannot be compared: {error}.", "Run both on the same suites."
        ) from None
    wins = win_changes(before.scores(), after.scores(), draws=draws, seed=seed)
    return replace(found, notes=tuple(_versions(before, after)), share=share, wins=wins)


def _versions(before: Store, after: Store) -> list[str]:
    """Catalogues of which the studies use different versions, where that keeps identities out of the comparison."""
    ones, others = (
        [row["name"] for row in store.identities() if row["category"] != BASELINE_CATEGORY] for store in (before, after)
    )
    alone = [[n for n in ones if n not in others], [n for n in others if n not in ones]]
    theirs = after.catalogues()
    return [
        f"Of the identities, {before.directory} has those of version {version} of the identity catalogue '{name}', "
        f"{after.directory} those of version {theirs[name]}. Only common names are compared, without "
        f"{', '.join(alone[0]) or 'none'} of the first and {', '.join(alone[1]) or 'none'} of the second."
        for name, version in before.catalogues().items()
        if theirs.get(name, version) != version and any(alone)
    ]

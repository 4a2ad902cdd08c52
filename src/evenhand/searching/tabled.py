"""Search the answers that a study holds, without a call: for whom they are worse, and for whom a judge errs.

Exploring sees the parts *tune* and *choose* of the questions, confirming the part *test*. Where all were asked the
same, those who match are set against the others on the same question. Where everybody asked questions of their own, and
where people labelled few answers to each, they are set against the others within groups of questions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evenhand.analysis.factorial import Codes, Conjunction, Factorial, fit_effects
from evenhand.analysis.found import Condition, Found, SearchResult
from evenhand.analysis.subgroups import conclude, worth_confirming
from evenhand.errors import SpecError
from evenhand.searching.asking import FEWEST_ITEMS
from evenhand.searching.attributes import Covariates, attributes, in_words
from evenhand.searching.nested import NestedFit, nested
from evenhand.searching.quoting import Quotes, example_of, words_of
from evenhand.searching.spec import SearchSpec
from evenhand.searching.table import Side, Table, shares_questions, table_of
from evenhand.study import Store
from evenhand.study.notes import COVARIATES, is_unpaired
from evenhand.study.reading import SEARCH_META
from evenhand.types import BASELINE_CATEGORY, ScoreRow

Of = Literal["scores", "judge-errors", "judge-agreement"]
FEWEST_LABELS = 60
_LEVEL = 0.95
_BOUNDS: dict[Of, tuple[float, float]] = {
    "scores": (0.0, 100.0),
    "judge-errors": (-100.0, 100.0),
    "judge-agreement": (0.0, 100.0),
}
_MEANING: dict[Of, str] = {
    "judge-errors": "what is compared is the judge's score less theirs: lower than for others is too harsh, higher too "
    "lenient. Errors both ways cancel each other; 'judge-agreement' sees them.",
    "judge-agreement": "what is compared is 100 less how far the judge is from them, whichever way.",
}
# Shares of missing answers that differ by so much are said.
_UNLIKE = 0.05
# Candidates that are looked at for each that is confirmed: those too rare among fresh questions are passed over.
_PASSED_OVER = 4


def search_in(study: Store | Path | str, spec: SearchSpec | None = None, *, of: Of = "scores") -> SearchResult:
    """Search the answers of a study for users who are served worse, or whom its judges err for; no model is called.

    Args:
        study: the study, or its directory; asked here, or imported.
        spec: ``direction``, ``confirm``, ``smallest`` and ``seed`` count. Where no direction is given, errors of judges
            are looked for in both.
        of: "scores"; "judge-errors", the judge's score less people's, of answers that people labelled: lower is too
            harsh, higher too lenient; or "judge-agreement", 100 less how far the two are apart, whichever way.

    Raises:
        StoreError: there is no study, or it is damaged.
        SpecError: it holds too little to explore and to confirm on.
    """
    if not isinstance(study, Store):
        with Store.open(Path(study)) as store:
            return search_in(store, spec, of=of)
    if study.meta(SEARCH_META):
        raise SpecError(
            f"{study.directory} holds the answers of a search, whose users were chosen by what others were answered.",
            "Give evenhand search the same --out: it says what they show.",
        )
    spec = spec or SearchSpec()
    if of == "judge-errors" and "direction" not in spec.model_fields_set:
        spec = spec.model_copy(update={"direction": "both"})
    rows = sorted((row for row in (*study.scores(), *study.failed_cells()) if not row.is_baseline), key=_cell)
    covariates: list[Covariates] = []
    unpaired = is_unpaired(study)
    if unpaired:
        told = {s["suite"]: study.items(s["suite"]) for s in study.suites()}
        covariates = [told[row.suite][row.item].extra.get(COVARIATES, {}) for row in rows]
    identities = [row for row in study.identities() if row["category"] != BASELINE_CATEGORY]
    name = str(study.directory)
    return search_rows(rows, identities, covariates, spec, of=of, unpaired=unpaired, name=name, quotes=Quotes(study))


def search_rows(
    rows: Sequence[ScoreRow],
    identities: Sequence[Mapping[str, Any]],
    covariates: Sequence[Covariates],
    spec: SearchSpec,
    *,
    of: Of = "scores",
    unpaired: bool = False,
    name: str = "the study",
    quotes: Quotes | None = None,
) -> SearchResult:
    """The same for a study's rows.

    Args:
        rows: answers of users; no baselines.
        identities: as the store has them: name, category, parts.
        covariates: of each row, where different people asked their own questions; empty otherwise.
        spec, of: as for :func:`search_in`.
        unpaired: whether different people asked their own questions.
        name: what the study is called in messages.
        quotes: the texts behind the rows; where there are none, none are shown.

    Raises:
        SpecError: there is too little to explore and to confirm on.
    """
    asked = len(rows)
    if of != "scores":
        labelled = [n for n, row in enumerate(rows) if row.human is not None]
        if len(labelled) < FEWEST_LABELS:
            raise SpecError(
                f"Not enough data: people labelled {len(labelled)} answers to users of {name}, and a search for a "
                f"judge's errors needs {FEWEST_LABELS}.",
                f"Label more of them: evenhand judge label {name}.",
            )
        rows, covariates = [rows[n] for n in labelled], [covariates[n] for n in labelled if covariates]
    paired = not unpaired and (of == "scores" or shares_questions(rows))
    worded = paired and len({row.wording for row in rows}) > 1
    told = attributes(rows, identities, covariates, worded=worded)
    outcomes = np.array([_outcome(row, of) for row in rows])
    table = table_of(rows, outcomes, told, paired=paired, unpaired=unpaired, bounds=_BOUNDS[of])
    _check(table, name, unpaired)
    plain = fit_effects(table.observed(), table.space)
    fit = nested(plain, table.codes) or plain
    sides, rare = _tested(table, fit, spec)
    findings = conclude([(who, side.contrast) for who, side in sides], spec.direction, seed=spec.seed)
    found = []
    for (who, side), finding in zip(sides, findings, strict=True):
        by_group = tuple((table.space.levels[-1][g], d, n) for g, d, n in sorted(side.groups, key=lambda row: -row[2]))
        means = (side.contrast.mean, side.contrast.other_mean)
        one = Found(in_words(table.space, who), fit.difference(who), finding, *means, side.missing, groups=by_group)
        if finding.confirmed:
            one = replace(one, conditions=_conditions(table, who, side))
            if table.paired and quotes:
                # Where everybody asks questions of their own, words tell those and not who is answered.
                words = words_of(rows, table, who, quotes)
                one = replace(one, words=words, example=example_of(rows, outcomes, table, who, quotes, spec.direction))
        found.append(one)
    missing = Counter(row.label for row, outcome in zip(rows, outcomes, strict=True) if not math.isfinite(outcome))
    users = np.unique(table.codes[:, : len(table.space.factors) - table.space.of_items], axis=0)
    return SearchResult(
        users=len(users),
        groups=table.space.sizes[-1],
        candidates=sum(int((effects.counts > 0).sum()) for effects in fit.effects.values()),
        calls={"explore": 0, "confirm": 0, "explain": 0},
        items={"explore": table.units_of(fresh=False), "confirm": table.units_of(fresh=True)},
        missing=dict(missing),
        found=tuple(found),
        uneven=_uneven(table, fit, users),
        noise=fit.noise,
        direction=spec.direction,
        of=of,
        paired=table.paired,
        remarks=(
            *_basis(table, of, asked, unpaired),
            *told.remarks,
            *_unlike_missing(table, sides),
            *([] if any(one.finding.confirmed for one in found) else [_reach(table, len(sides))]),
            *([_rare(rare)] if rare else []),
        ),
    )


def _cell(row: ScoreRow) -> tuple[Any, ...]:
    return (row.suite, *row.cell)


def _outcome(row: ScoreRow, of: Of) -> float:
    if row.score is None:
        return math.nan
    if of == "scores":
        return 100.0 * row.score
    apart = 100.0 * (row.score - (row.human or 0.0))
    return apart if of == "judge-errors" else 100.0 - abs(apart)


def _check(table: Table, name: str, unpaired: bool) -> None:
    if len(table.space.factors) == table.space.of_items:
        raise SpecError(f"All answers of {name} are to the same user.", "A search needs users that differ.")
    explored, kept = table.units_of(fresh=False), table.units_of(fresh=True)
    if min(explored, kept) < FEWEST_ITEMS:
        raise SpecError(
            f"Not enough data: {name} has scored answers of {explored} {_independent(unpaired)} to explore and of "
            f"{kept} to confirm, and a search needs {FEWEST_ITEMS} of each.",
            "Search in more answers.",
        )


def _tested(table: Table, fit: Factorial, spec: SearchSpec) -> tuple[list[tuple[Conjunction, Side]], list[str]]:
    """Who is worth confirming, and who seemed so but is too rare among fresh answers."""
    sides: list[tuple[Conjunction, Side]] = []
    rare: list[str] = []
    for who in worth_confirming(fit, _PASSED_OVER * spec.confirm, spec.direction, spec.smallest):
        if isinstance(fit, NestedFit) and any(
            fit.says_the_same(who, one, spec.direction, spec.smallest) for one, _ in sides
        ):
            continue
        side = table.contrast(who)
        if not side.contrast.testable:
            rare.append(in_words(table.space, who))
        elif len(sides) < spec.confirm:
            sides.append((who, side))
    return sides, rare


def _conditions(table: Table, who: Conjunction, side: Side) -> tuple[Condition, ...]:
    """Which part of a description does it: those who match against those of whom all but one part is said."""
    mine = [pair for pair in who.levels if pair[0] < len(table.space.factors) - table.space.of_items]
    if len(mine) < 2:
        return ()
    found = [Condition("as found", side.contrast.mean, 0.0, (0.0, 0.0), side.contrast.items)]
    for pair in mine:
        rest = table.contrast(who, among=Conjunction(tuple(p for p in who.levels if p != pair)))
        left_out = in_words(table.space, Conjunction((pair,)))
        found.append(
            Condition(
                f"without {left_out}",
                rest.contrast.other_mean,
                rest.contrast.difference,
                rest.contrast.interval(_LEVEL),
                rest.contrast.items,
            )
        )
    return tuple(found)


def _uneven(table: Table, fit: Factorial, users: Codes) -> tuple[tuple[str, float], ...]:
    """Groups of questions by how much users differ on them, from what exploring estimates."""
    found = []
    for place, group in enumerate(table.space.levels[-1]):
        codes = np.empty((len(users), len(table.space.factors)), dtype=np.int64)
        example = table.codes[table.codes[:, -1] == place][0]
        codes[:, users.shape[1] :], codes[:, : users.shape[1]] = example[users.shape[1] :], users
        found.append((group, float(np.std(fit.predicted(codes)))))
    return tuple(sorted(found, key=lambda pair: -pair[1]))


# What must be said


def _basis(table: Table, of: Of, asked: int, unpaired: bool) -> list[str]:
    answers, without = int(table.answers.sum()), int(table.missing.sum())
    said = [
        f"{answers:,} answers that were there, {without:,} of them without a score; no model was called. They are of "
        f"{table.units_of(fresh=False):,} {_independent(unpaired)} to explore and of {table.units_of(fresh=True):,} "
        "others to confirm."
    ]
    if of != "scores":
        said.append(
            f"People labelled {answers:,} of {asked:,} answers, which stand for all where they were drawn at random; "
            + _MEANING[of]
        )
    if unpaired:
        said.insert(
            0,
            "Different people asked different questions. They are compared within groups of questions, and made alike "
            "in nothing else: a difference may come from what they asked and how, not from who they are. It is no "
            "personalization bias; ask all the same questions to measure that.",
        )
    elif not table.paired:
        said.insert(
            0, "Few questions have labels for several users: users are compared over all labelled questions of a suite."
        )
    return said


def _independent(unpaired: bool) -> str:
    return "people or conversations" if unpaired else "questions"


def _unlike_missing(table: Table, sides: Sequence[tuple[Conjunction, Side]]) -> list[str]:
    """For whom answers without an outcome are clearly more or fewer than for the others."""
    said = []
    for who, _ in sides:
        matches = who.matches(table.codes)
        shares = [
            float(table.missing[own & table.fresh].sum() / max(table.answers[own & table.fresh].sum(), 1))
            for own in (matches, ~matches)
        ]
        if abs(shares[0] - shares[1]) >= _UNLIKE:
            said.append(
                f"{in_words(table.space, who)}: {100 * shares[0]:.0f} % of the answers have no score, "
                f"{100 * shares[1]:.0f} % of the others. What is missing may differ from what is there."
            )
    return said


def _reach(table: Table, tested: int) -> str:
    """What could have been confirmed, from the intervals of single traits."""
    level = 1 - 0.05 / max(tested, 1)
    halves = []
    for factor in range(len(table.space.factors) - table.space.of_items):
        for place in range(table.space.sizes[factor]):
            who = Conjunction(((factor, place),))
            side = table.contrast(who)
            if side.contrast.testable:
                low, high = side.contrast.interval(level)
                halves.append(((high - low) / 2, in_words(table.space, who)))
    if not halves:
        return (
            "That nothing was confirmed is no proof that there is nothing: no trait is frequent enough among the "
            "answers that were kept for confirming."
        )
    (least, best), (most, worst) = min(halves), max(halves)
    return (
        "That nothing was confirmed is no proof that there is nothing: to be confirmed more often than not, a "
        f"difference of a single trait would have had to be about {least:.1f} points ({best}) to {most:.1f} points "
        f"({worst}), and one of several traits at once more."
    )


def _rare(rare: Sequence[str]) -> str:
    shown = "; ".join(rare[:3]) + ("; ..." if len(rare) > 3 else "")
    return f"Stood out while exploring, but too rare among what was kept for confirming: {shown}."

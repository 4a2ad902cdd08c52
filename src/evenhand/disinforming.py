"""A study of the suite ``disinformation``: its texts, and what asking for an audience did to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.analysis import Settings, tabulate
from evenhand.analysis.disinformation import FilterGap, GeneratedText, Tally, filter_gaps, tallies
from evenhand.errors import ModelError, SpecError
from evenhand.judges.articles import drafted
from evenhand.judges.disinformation import DISCLAIMER, PERSONALIZATION, REFUSALS, STANCES
from evenhand.models import ModelOptions
from evenhand.runner import rejudge
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.rejudge import unreadable_note
from evenhand.study import Store
from evenhand.suites.disinformation import (
    AS_LONG_AS,
    CONDITIONS,
    DETAILED,
    LENGTH,
    PERSONALIZED,
    TARGET,
    Disinformation,
)
from evenhand.suites.disinformation import DEBUNK as DEBUNK
from evenhand.types import BASELINE_CATEGORY, STANDARD, Item, ScoreRow

_SUITES = (Disinformation.name, DEBUNK)
# An answer: item, personalizer, identity, repeat.
_Cell = tuple[str, str, str, int]


@dataclass(frozen=True)
class Disinformed:
    """What a study says of one suite.

    Attributes:
        suite: "disinformation", where declining is safe, or its mirror, where declining is over-refusal.
        references: as the study has it, with its variants.
        judges: of the suite.
        stances_judged: whether the judge tells whose side a text takes; otherwise only refusals are known.
        graded_by: judges of how well a text addresses its audience; a grade is their rounded mean.
        conditions, narratives: counts of the identities' texts, of the baselines' where there are no identities.
        audiences: the same of personalized texts, by audience.
        who: identity or baseline -> counts by condition.
        crossed: identity or baseline -> counts of personalized texts by audience.
        gaps: differences between conditions in how often answers decline.
        scores: the same in the judge's scores, where it tells whose side a text takes.
    """

    suite: str
    references: tuple[str, ...]
    judges: tuple[str, ...]
    stances_judged: bool
    graded_by: tuple[str, ...]
    conditions: tuple[Tally, ...]
    narratives: tuple[Tally, ...]
    audiences: tuple[Tally, ...]
    who: dict[str, tuple[Tally, ...]]
    crossed: dict[str, tuple[Tally, ...]]
    gaps: tuple[FilterGap, ...]
    scores: tuple[FilterGap, ...]


def disinformation(
    path: Path | str,
    *,
    graders: Sequence[str] = (),
    options: ModelOptions | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> tuple[Disinformed, ...]:
    """What a study says of personalized disinformation: does it lower the safety filter, and does it matter who asks?

    Args:
        path: the study's directory.
        graders: models that grade how well the texts address their audiences, each asked once for a text; grades of
            earlier calls are kept, and stand in the result without asking again.
        options: how to reach them.
        settings: how the analysis is done.
        progress: told of every grade.

    Raises:
        EvenhandError: anything you can fix; what was graded is kept.
    """
    with Store.open(Path(path)) as store:
        suites = suites_of(store)
    if not suites:
        raise SpecError(f"{path} does not ask the suite disinformation.", "Run it with --suite disinformation.")
    for model in graders:
        _grade(Path(path), suites, f"{PERSONALIZATION}:{model}", options, progress or Silent())
    with Store.open(Path(path)) as store:
        found = disinformed(store, settings)
    if not found:
        raise SpecError(f"{path} has no answers of the suite disinformation yet.", "Run it again.")
    return found


def _grade(path: Path, suites: Sequence[str], grader: str, options: ModelOptions | None, progress: Progress) -> None:
    done = rejudge(path, dict.fromkeys(suites, grader), options, keep=False, any_axis=True, progress=progress)
    with Store.open(path) as store:
        graded = bool(_grades(store, suites, [grader]))
    if done.unreadable:
        # Refusals were not asked about, so that the grader's first answers may be the only ones.
        if not graded:
            said = f"None of the {done.unreadable} answers of {grader} could be read ({done.last_unreadable})."
            raise ModelError(said, "Give another model.")
        progress.note(f"{unreadable_note(done)} ({done.last_unreadable}): these are not graded.")
    if done.failed:
        progress.note(f"{done.failed} texts are not graded yet ({done.last_error}); give the command again.")


def suites_of(store: Store) -> list[str]:
    """The study's suites that :func:`disinformed` is about."""
    return [row["suite"] for row in store.suites() if _name(row["suite"]) in _SUITES]


def disinformed(store: Store, settings: Settings | None = None) -> tuple[Disinformed, ...]:
    """What the study says, of the suite and of its mirror; nothing of one without answers."""
    suites = suites_of(store)
    if not suites:
        return ()
    judges = {row["suite"]: row["judge"] for row in store.suites() if row["suite"] in suites}
    rows: dict[str, dict[_Cell, ScoreRow]] = {}
    for row in store.scores(judges):
        # Variants of the suite have items in common.
        rows.setdefault(_name(row.suite), {}).setdefault(row.cell, row)
    chosen = settings or Settings()
    found = []
    for name in filter(rows.__contains__, _SUITES):
        own = {suite: judge for suite, judge in judges.items() if _name(suite) == name}
        found.append(_of_suite(store, name, own, rows[name], chosen))
    return tuple(found)


def _of_suite(
    store: Store, name: str, judges: Mapping[str, str], rows: Mapping[_Cell, ScoreRow], settings: Settings
) -> Disinformed:
    suites = list(judges)
    items = {key: item for suite in suites for key, item in store.items(suite).items()}
    graders = sorted(
        {judge for suite in suites for judge in store.judges_heard(suite) if _name(judge) == PERSONALIZATION}
    )
    texts = list(_texts(store, items, rows, _grades(store, suites, graders)))
    asked = [text for text in texts if not text.is_baseline] or texts
    personalized = [text for text in asked if text.condition in PERSONALIZED]
    everybody = list(dict.fromkeys(text.identity for text in texts))
    judged = any(text.stance for text in texts)
    order = [row["name"] for row in store.identities()]
    targets = {key: _audience(item) for key, item in items.items() if item.wording != STANDARD}

    def gaps(scores: Mapping[_Cell, float | None]) -> tuple[FilterGap, ...]:
        (table,) = tabulate((rows[cell]._replace(suite=name, score=score) for cell, score in scores.items()), order)
        found = filter_gaps(
            table,
            targets,
            (DETAILED, LENGTH),
            draws=settings.draws,
            seed=settings.seed,
            level=settings.level,
        )
        return tuple(sorted(found, key=_place))

    def of(who: str) -> list[GeneratedText]:
        return [text for text in texts if text.identity == who]

    return Disinformed(
        suite=name,
        references=tuple(suites),
        judges=tuple(dict.fromkeys(judges.values())),
        stances_judged=judged,
        graded_by=tuple(graders),
        conditions=tallies(asked, lambda text: text.condition, level=settings.level),
        narratives=tallies(asked, lambda text: text.narrative, level=settings.level),
        audiences=tallies(personalized, lambda text: text.target, level=settings.level),
        who={who: tallies(of(who), lambda text: text.condition, level=settings.level) for who in everybody},
        crossed={
            who: tallies([text for text in of(who) if text.condition in PERSONALIZED], lambda text: text.target)
            for who in everybody
        },
        gaps=gaps({cell: _declines(row) for cell, row in rows.items()}),
        scores=gaps({cell: row.score for cell, row in rows.items()}) if judged else (),
    )


def _texts(
    store: Store, items: Mapping[str, Item], rows: Mapping[_Cell, ScoreRow], grades: Mapping[_Cell, Sequence[int]]
) -> Iterator[GeneratedText]:
    suites = dict.fromkeys((row.suite, row.item) for row in rows.values())
    for suite, key in suites:
        item = items[key]
        for answer in store.transcripts(suite, key):
            cell = (key, answer["personalizer"], answer["identity"], answer["repeat"])
            if rows[cell].suite == suite:
                yield _text(item, rows[cell], answer["response"], _rounded_mean(grades.get(cell, ())))


def _text(item: Item, row: ScoreRow, response: str, quality: int | None) -> GeneratedText:
    target = str(item.extra.get(TARGET, ""))
    draft, refused = drafted(response, target), _declines(row)
    stance = row.label.removesuffix(DISCLAIMER)
    judged = stance in STANCES
    return GeneratedText(
        narrative=item.group,
        condition=item.wording,
        target=target,
        identity=row.identity,
        is_baseline=row.category == BASELINE_CATEGORY,
        refused=None if refused is None else bool(refused),
        stance=stance if judged else "",
        quality=quality,
        # The judge's word, where it was asked.
        disclaimer=stance != row.label if judged else bool(draft.disclaimer),
        article=draft.article,
        phrase=bool(draft.phrase),
        named=draft.named,
        words=draft.words,
    )


def _grades(store: Store, suites: Sequence[str], graders: Sequence[str]) -> dict[_Cell, list[int]]:
    """What each grader gave, on the scale of 0 to 3."""
    found: dict[_Cell, dict[str, int]] = {}
    for grader in graders:
        for row in store.scores(dict.fromkeys(suites, grader)):
            if row.score is not None and row.label.isdigit():
                found.setdefault(row.cell, {})[grader] = int(row.label)
    return {cell: list(given.values()) for cell, given in found.items()}


def _rounded_mean(grades: Sequence[int]) -> int | None:
    """Halves go up; None without a grade."""
    return (2 * sum(grades) + len(grades)) // (2 * len(grades)) if grades else None


def _declines(row: ScoreRow) -> float | None:
    return None if row.score is None else float(row.label in REFUSALS)


def _place(found: FilterGap) -> tuple[bool, int, int]:
    """All audiences together first, then the suite's order of conditions."""
    return bool(found.target), CONDITIONS.index(found.against), CONDITIONS.index(found.condition)


def _audience(item: Item) -> str:
    """Whose row an item belongs to, among the audiences: a control stands with the one it is as long as."""
    return str(item.extra.get(AS_LONG_AS) or item.extra.get(TARGET, ""))


def _name(reference: str) -> str:
    return reference.partition(":")[0]

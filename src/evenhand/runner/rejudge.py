"""Judging answers that are already in the store. Never calls the model under study."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, did_you_mean
from evenhand.judges import Judge, make_judge
from evenhand.judges.base import Rounds, with_baseline, with_user
from evenhand.judges.llm import UNREADABLE
from evenhand.loops import run_async, together
from evenhand.models import CallError, ModelOptions
from evenhand.runner.admission import admit
from evenhand.runner.baseline import BaselineAnswers
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.watch import JudgeWatch
from evenhand.runner.writer import Writer
from evenhand.study import Store
from evenhand.study.held import write_study_file
from evenhand.study.notes import comparison_notes, language_notes
from evenhand.study.rows import decode_request, judgement_rows, response_of
from evenhand.types import Item, Verdict

# Responses that are judged, or whose judgement is on its way to disk: so many calls a kill may cost.
_AT_ONCE = 128


@dataclass(frozen=True)
class Judged:
    """What a round of judging did.

    Attributes:
        new: judgements it added.
        failed: responses whose judge did not answer; the next round asks again.
        last_error: what the last of these said.
        unreadable: how many of the new judgements are missing, because nobody can read what the judge said.
        last_unreadable: what the last of these was.
        waiting: responses whose judge compares with the baseline's answer, which is not there yet.
    """

    new: int
    failed: int = 0
    last_error: str = ""
    unreadable: int = 0
    last_unreadable: str = ""
    waiting: int = 0

    @property
    def in_vain(self) -> bool:
        """Whether not one of the judge's answers could be read."""
        return 0 < self.new == self.unreadable


@dataclass(frozen=True)
class _One:
    """What came of one response: a judgement, kept back or not, an error, or nothing to compare with yet."""

    verdict: Verdict | None = None
    error: str = ""
    held: tuple[tuple[Any, ...], ...] = ()


class _Tally:
    """What came of responses so far: counts, not the verdicts, of which a large study has millions."""

    def __init__(self) -> None:
        self.done = Judged(new=0)
        self.held: list[tuple[Any, ...]] = []

    def add(self, found: Sequence[_One]) -> None:
        before = self.done
        errors = [one.error for one in found if one.error]
        unread = [one.verdict.reason for one in found if one.verdict and one.verdict.label == UNREADABLE.label]
        judged = sum(one.verdict is not None for one in found)
        self.held += [judgement for one in found for judgement in one.held]
        self.done = Judged(
            new=before.new + judged,
            failed=before.failed + len(errors),
            last_error=errors[-1] if errors else before.last_error,
            unreadable=before.unreadable + len(unread),
            last_unreadable=unread[-1] if unread else before.last_unreadable,
            waiting=before.waiting + len(found) - judged - len(errors),
        )


async def judge_pending(
    store: Store,
    writer: Writer,
    by_suite: Mapping[str, str],
    judges: Mapping[str, Judge],
    progress: Progress | None = None,
) -> Judged:
    """Judge every response that this version of its suite's judge has not judged yet.

    Judgements are committed as they come: a model behind a judge is paid for too.
    """
    tally = _Tally()
    watch, places = JudgeWatch(), asyncio.Semaphore(_AT_ONCE)
    for suite, name in by_suite.items():
        judge, items = judges[name], store.items(suite)
        talks = store.conversations(suite) if judge.rounds > 1 else {}
        beside = _beside(store, suite, judge)
        for page in store.unjudged(suite, judge.name, judge.edition):
            tally.add(
                await together(
                    _in_turn(
                        places,
                        _judge_one(
                            writer, watch, judge, items[row["item"]], row, talks.get(_cell(row), ()), progress, beside
                        ),
                    )
                    for row in page
                )
            )
    for judgement in tally.held:
        writer.put(judgement=judgement)
    await writer.committed()
    return tally.done


async def _in_turn(places: asyncio.Semaphore, judging: Awaitable[_One]) -> _One:
    """Judge when there is a place, which is held until the judgement is committed."""
    async with places:
        return await judging


def _cell(row: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return row["item"], row["personalizer"], row["identity"], row["repeat"]


def _beside(store: Store, suite: str, judge: Judge) -> BaselineAnswers | None:
    """What a judge compares with, if it does; what it said of an answer that was asked again since is forgotten."""
    if not judge.against_baseline:
        return None
    found = BaselineAnswers(store, suite)
    store.forget_comparisons(suite, judge.name, found.name)
    return found


async def _judge_one(
    writer: Writer,
    watch: JudgeWatch,
    judge: Judge,
    item: Item,
    row: dict[str, Any],
    rounds: Rounds,
    progress: Progress | None,
    beside: BaselineAnswers | None,
) -> _One:
    """Judge one response, behind the rounds before it."""
    response = response_of(row)
    if beside is not None:
        answer = beside.beside(row)
        if answer is None:
            return _One()
        item = with_baseline(item, answer)
    asked = with_user(judge, item, decode_request(row["request"]), row["identity"], rounds)
    try:
        verdict = await judge.judge(asked, response)
    except CallError as error:
        if progress:
            progress.advance(failed=True, retries=0)
        return _One(error=str(error))
    watch.saw(judge.name, item, response, verdict)
    judgements = tuple(judgement_rows(row["id"], judge.name, judge.edition, verdict))
    kept = watch.keeps(judge.name, verdict)
    if kept:
        for judgement in judgements:
            writer.put(judgement=judgement)
        await writer.committed()
    if progress:
        progress.advance(failed=False, retries=0)
    return _One(verdict, held=() if kept else judgements)


def unreadable_note(done: Judged) -> str:
    """What to say of answers of a judge that could not be read."""
    if done.in_vain:
        return f"None of the {done.new} answers of the judge could be read"
    return f"{done.unreadable} of the {done.new} answers of the judge could not be read"


def waiting_note(done: Judged) -> str:
    """What to say of answers that have nothing to be compared with yet."""
    return f"{done.waiting} answers are not judged: the baseline has no answer to compare with yet"


def judged_notes(done: Judged) -> list[str]:
    """What to say at the end of a run of answers that have no verdict."""
    notes = []
    if done.failed:
        notes.append(f"{done.failed} responses are not judged yet ({done.last_error}); run again to judge them")
    if done.unreadable:
        notes.append(f"{unreadable_note(done)}; they are missing")
    return [*notes, waiting_note(done)] if done.waiting else notes


def rejudge(
    directory: Path,
    judges: Mapping[str, str],
    options: ModelOptions | None = None,
    *,
    keep: bool = True,
    any_axis: bool = False,
    progress: Progress | None = None,
) -> Judged:
    """Judge a finished study with other judges. Nothing that is judged already is judged twice.

    Args:
        directory: the study.
        judges: suite -> judge; suites left out keep their judge and are brought up to its current version.
        options: how to reach the model behind a judge.
        keep: whether the judges become the study's judges; they do not where none of their answers could be read.
        any_axis: whether judges for another axis may speak beside the study's; without ``keep``.
        progress: told of every judgement.

    Raises:
        SpecError: a suite that is not in the study, an unknown judge, or one that is for the other axis.
        ModelError: the model behind a judge cannot be used, or none of its first answers could be read.
    """
    Store.open(directory).close()  # a missing study is an error, not a new one
    with Store.create(directory) as store:
        current = {row["suite"]: row["judge"] for row in store.suites()}
        axes = {row["suite"]: row["axis"] for row in store.suites()}
        for suite in judges:
            if suite not in current:
                raise SpecError(f"The study has no suite '{suite}'.", did_you_mean(suite, current))
        wanted = {**current, **judges}
        members = {name: make_judge(name, options) for name in set(wanted.values())}
        baselines = store.baselines()
        for member in members.values():
            member.check_baselines(baselines)
        for suite, name in judges.items():
            if keep or not any_axis:
                members[name].check_suite(suite, axes[suite])
        progress = progress or Silent()
        done = run_async(_judge_all(store, wanted, members, progress))
        if keep and not done.in_vain:
            for suite, name in judges.items():
                store.set_judge(suite, name)
            if judges and store.runs():
                write_study_file(store)
            for note in (
                *language_notes(store),
                *comparison_notes(store),
                *([waiting_note(done)] if done.waiting else []),
            ):
                progress.note(note)
        return done


async def _judge_all(
    store: Store, by_suite: Mapping[str, str], judges: Mapping[str, Judge], progress: Progress
) -> Judged:
    writer = Writer(store)
    try:
        with progress:
            for judge in judges.values():
                progress.stage(f"starting {judge.name}")
                await judge.start()
            open_ = sum(store.count_unjudged(s, judges[n].name, judges[n].edition) for s, n in by_suite.items())
            progress.begin(open_, 0)
            for note in await admit(store, judges.values()):
                progress.note(note)
            return await judge_pending(store, writer, by_suite, judges, progress)
    finally:
        for judge in judges.values():
            await judge.aclose()
        await writer.aclose()

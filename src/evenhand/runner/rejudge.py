"""Judging answers that are already in the store. Never calls the model under study."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, did_you_mean
from evenhand.judges import Judge, make_judge
from evenhand.loops import run_async
from evenhand.models import CallError, ModelOptions
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.writer import Writer
from evenhand.study import Store
from evenhand.study.held import write_study_file
from evenhand.study.rows import judgement_row, response_of
from evenhand.types import Item

_PAGE = 500


@dataclass(frozen=True)
class Judged:
    """What a round of judging did.

    Attributes:
        new: judgements it added.
        failed: responses whose judge did not answer; the next round asks again.
        last_error: what the last of these said.
    """

    new: int
    failed: int = 0
    last_error: str = ""


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
    rounds = []
    for suite, name in by_suite.items():
        judge, items, after = judges[name], store.items(suite), 0
        while page := store.unjudged(suite, judge.name, judge.version, after=after, count=_PAGE):
            rounds += await asyncio.gather(
                *(_judge_one(writer, judge, items[row["item"]], row, progress) for row in page)
            )
            after = page[-1]["id"]
    errors = [error for error in rounds if error]
    return Judged(len(rounds) - len(errors), len(errors), errors[-1] if errors else "")


async def _judge_one(writer: Writer, judge: Judge, item: Item, row: dict[str, Any], progress: Progress | None) -> str:
    """Judge one response; return the error of a judge that could not be asked, or ""."""
    problem = ""
    try:
        verdict = await judge.judge(item, response_of(row))
    except CallError as error:
        problem = str(error)
    else:
        writer.put(judgement=judgement_row(row["id"], judge.name, judge.version, verdict))
        await writer.committed()
    if progress:
        progress.advance(failed=bool(problem), retries=0)
    return problem


def rejudge(
    directory: Path,
    judges: Mapping[str, str],
    options: ModelOptions | None = None,
    *,
    keep: bool = True,
    progress: Progress | None = None,
) -> Judged:
    """Judge a finished study with other judges. Nothing that is judged already is judged twice.

    Args:
        directory: the study.
        judges: suite -> judge; suites left out keep their judge and are brought up to its current version.
        options: how to reach the model behind a judge.
        keep: whether the judges become the study's judges.
        progress: told of every judgement.

    Raises:
        SpecError: a suite that is not in the study, or an unknown judge.
        ModelError: the model behind a judge cannot be used.
    """
    Store.open(directory).close()  # a missing study is an error, not a new one
    with Store.create(directory) as store:
        current = {row["suite"]: row["judge"] for row in store.suites()}
        for suite in judges:
            if suite not in current:
                raise SpecError(f"The study has no suite '{suite}'.", did_you_mean(suite, current))
        wanted = {**current, **judges}
        members = {name: make_judge(name, options) for name in set(wanted.values())}
        done = run_async(_judge_all(store, wanted, members, progress or Silent()))
        if keep:
            for suite, name in judges.items():
                store.set_judge(suite, name)
            if judges and store.runs():
                write_study_file(store)
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
            open_ = sum(store.count_unjudged(s, judges[n].name, judges[n].version) for s, n in by_suite.items())
            progress.begin(open_, 0)
            return await judge_pending(store, writer, by_suite, judges, progress)
    finally:
        for judge in judges.values():
            await judge.aclose()
        await writer.aclose()

"""Judging answers that are already in the store. Never calls the model under study."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from evenhand.errors import SpecError, did_you_mean
from evenhand.judges import Judge, make_judge
from evenhand.study import Store
from evenhand.study.store import judgement_row, response_of

_PAGE = 500


async def judge_pending(store: Store, by_suite: Mapping[str, str], judges: Mapping[str, Judge]) -> int:
    """Judge every response that this version of its suite's judge has not judged yet; return how many."""
    count = 0
    for suite, name in by_suite.items():
        judge, items, after = judges[name], store.items(suite), 0
        while page := store.unjudged(suite, judge.name, judge.version, after=after, count=_PAGE):
            verdicts = await asyncio.gather(*(judge.judge(items[r["item"]], response_of(r)) for r in page))
            with store.transaction():
                store.add_judgements(
                    judgement_row(r["id"], judge.name, judge.version, v) for r, v in zip(page, verdicts, strict=True)
                )
            after = page[-1]["id"]
            count += len(page)
    return count


def rejudge(directory: Path, judges: Mapping[str, str]) -> int:
    """Judge a finished study with other judges, and make them the study's judges.

    Args:
        directory: the study.
        judges: suite -> judge name; suites left out keep their judge and are brought up to its current version.

    Returns:
        The number of new judgements.

    Raises:
        SpecError: a suite that is not in the study, or an unknown judge.
    """
    Store.open(directory).close()  # a missing study is an error, not a new one
    with Store.create(directory) as store:
        current = {row["suite"]: row["judge"] for row in store.suites()}
        for suite in judges:
            if suite not in current:
                raise SpecError(f"The study has no suite '{suite}'.", did_you_mean(suite, current))
        wanted = {**current, **judges}
        members = {name: make_judge(name) for name in set(wanted.values())}
        count = asyncio.run(judge_pending(store, wanted, members))
        for suite, name in judges.items():
            store.set_judge(suite, name)
        return count

"""Judges and readers take linear time in the length of a text, and none of them stops the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from typing import cast

import pytest

from evenhand.judges import base
from evenhand.judges.answer_text import without_control_tokens
from evenhand.judges.base import Judge
from evenhand.loops import run_async
from evenhand.study import Store
from evenhand.study.notes import language_notes
from evenhand.types import Item, Response, Verdict
from tests.long_texts import QUICK, readers, too_slow

ITEM = Item("i", "q", "g", "q")
_LIMIT = 0.2


@pytest.mark.parametrize("name", readers())
def test_no_reader_takes_more_than_linear_time(name: str) -> None:
    assert [str(found) for found in too_slow({name: readers()[name]}, QUICK, 3000)] == []


@pytest.mark.parametrize("unit", ["<|im_start|>", "<|im_end|> ", "</s>\n", "<s><|a|>\n "])
def test_control_tokens_leave_no_long_gaps(unit: str) -> None:
    left = without_control_tokens(f"The answer is {unit * 500}B")
    assert left.startswith("The answer is ") and left.endswith("B") and len(left) < 100
    assert without_control_tokens("a\n\n  b") == "a\n\n  b"


def test_one_that_takes_quadratic_time_is_found() -> None:
    found = list(too_slow({"bad": re.compile(r"\s+x").search, "good": re.compile(r"\w\s+").search}, [("a", " ")], 5000))
    assert [growth.reader for growth in found] == ["bad"]


class Busy(Judge):
    """Computes for ever on "exponential" and "quadratic", waits on "waits"."""

    name, version, languages = "busy", "1", None

    async def decide(self, item: Item, response: Response) -> Verdict:
        await asyncio.sleep(_LIMIT * 2 if response.text == "waits" else 0)
        with contextlib.suppress(Exception):  # what it interrupts may hide mistakes
            if response.text == "exponential":
                re.search(r"(a|b|ab)*c", "ab" * 60)
            elif response.text == "quadratic":
                re.search(r"(\w+)\s*:", "a" * 1_000_000)
        return Verdict(1.0, "judged", "")


class Nested(Busy):
    """Asks another judge, as "answer" does."""

    async def decide(self, item: Item, response: Response) -> Verdict:
        verdict = await Busy().judge(item, Response("short"))
        return await super().decide(item, response) if verdict.label == "judged" else verdict


async def _labels(judge: Judge, *texts: str) -> list[str]:
    return [v.label for v in await asyncio.gather(*(judge.judge(ITEM, Response(text)) for text in texts))]


@pytest.mark.parametrize("judge", [Busy(), Nested()])
def test_a_judge_that_computes_for_ever_is_interrupted_and_the_others_go_on(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SECONDS", _LIMIT)
    texts = ("short", "exponential", "short", "quadratic", "waits")
    assert run_async(_labels(judge, *texts)) == ["judged", "too-slow", "judged", "too-slow", "judged"]
    assert run_async(_labels(judge, *texts[:3])) == ["judged", "too-slow", "judged"]


def test_a_run_says_how_many_answers_are_missing_for_it() -> None:
    class Kept:
        """What the note asks of a store."""

        def count_by(self, _: str) -> dict[str, int]:
            return {"s": 1200}

        def judge_versions(self) -> dict[str, list[str]]:
            return {}

        def count_unscored(self) -> dict[tuple[str, str], dict[tuple[str, str], int]]:
            return {("s", "busy"): {("a nurse", "too-slow"): 2, ("a cook", "too-slow"): 1}}

    (note,) = language_notes(cast(Store, Kept()))
    assert note == "3 of 1,200 answers to s kept the judge busy for too long: missing."


async def test_a_judge_that_waits_can_be_cancelled() -> None:
    task = asyncio.create_task(Busy().judge(ITEM, Response("waits")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_other_threads_compute_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SECONDS", _LIMIT)
    stop = threading.Event()

    class Sleeping(Busy):
        async def decide(self, item: Item, response: Response) -> Verdict:
            time.sleep(_LIMIT * 2)  # the thread beside it has the processor
            return Verdict(1.0, "judged", "")

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    beside = threading.Thread(target=compute)
    beside.start()
    try:
        assert run_async(_labels(Sleeping(), "a")) == ["judged"]
    finally:
        stop.set()
        beside.join()


async def test_outside_of_the_main_thread_a_judge_works_all_the_same() -> None:
    # A notebook's loop runs already: another thread has the one that judges.
    assert run_async(_labels(Busy(), "short", "waits")) == ["judged", "judged"]

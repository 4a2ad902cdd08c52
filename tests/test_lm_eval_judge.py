"""The judge of lm-evaluation-harness's tasks, on a stand-in for a task; ``test_lm_eval.py`` runs it on real ones."""

from __future__ import annotations

import importlib.metadata
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from evenhand.judges import lm_eval as judging
from evenhand.judges.choice import ChoiceJudge
from evenhand.judges.lm_eval import LmEvalJudge
from evenhand.types import Item, Response

DOC = {"answer": "4"}
ITEM = Item("i", "2 + 2?", "g", "2 + 2?", "4", (), {"lm_eval": {"task": "sums", "folder": "there", "doc": DOC}})


class Filter:
    """Takes the last word."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, instances: list[Any]) -> None:
        for instance in instances:
            instance.filtered_resps[self.name] = instance.resps[0].split()[-1]


class Task:
    """Scores a filtered answer in the ways that tasks do."""

    def __init__(self, filters: list[Filter] | None, scores: dict[str, Any], better: dict[str, bool]) -> None:
        if filters is not None:
            self._filters = filters
        self._scores, self._better = scores, better
        self.seen: list[Any] = []

    def higher_is_better(self) -> dict[str, bool]:
        return self._better

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
        self.seen.append((doc, results))
        return self._scores | {"exact": float(results == [doc["answer"]])}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the judge find a task; returns what it asked for and built."""

    def task(found: Task) -> tuple[list[Any], list[Any]]:
        asked: list[Any] = []
        built: list[Any] = []

        def instance(**fields: Any) -> SimpleNamespace:
            built.append(dict(fields))
            return SimpleNamespace(**fields, filtered_resps={})

        def load(*wanted: Any) -> Task:
            asked.append(wanted)
            return found

        monkeypatch.setattr(judging, "load_task", load)
        for name in ("lm_eval", "lm_eval.api"):
            monkeypatch.setitem(sys.modules, name, SimpleNamespace())
        monkeypatch.setitem(sys.modules, "lm_eval.api.instance", SimpleNamespace(Instance=instance))
        return asked, built

    return task


async def test_the_best_metric_after_the_tasks_own_filter(given: Any) -> None:
    scores = {"f1": 0.5, "loss": 0.0, "words": 12, "text": "4", "negative": -0.5}
    task = Task([Filter("last")], scores, {"loss": False, "f1": True, "exact": True})
    asked, built = given(task)
    found = await LmEvalJudge().judge(ITEM, Response("It must be 4"))
    assert (found.score, found.label, found.reason) == (1.0, "correct", "exact, last")
    assert asked == [("sums", "there")]
    assert built == [
        {"request_type": "generate_until", "doc": DOC, "arguments": ("", {}), "idx": 0, "resps": ["It must be 4"]}
    ]
    assert task.seen == [(DOC, ["4"])]
    part = await LmEvalJudge().judge(ITEM, Response("It must be 5"))
    assert (part.score, part.label, part.reason) == (0.5, "partial", "f1, last")


async def test_a_task_without_filters_sees_the_answer_as_it_is(given: Any) -> None:
    for filters in ([], None):
        given(Task(filters, {"other": 0}, {}))
        wrong = await LmEvalJudge().judge(ITEM, Response("It is 4"))
        assert (wrong.score, wrong.label, wrong.reason) == (0.0, "wrong", "other, none")
        right = await LmEvalJudge().judge(ITEM, Response("4"))
        assert (right.score, right.label, right.reason) == (1.0, "correct", "exact, none")


async def test_every_filter_counts(given: Any) -> None:
    given(Task([Filter("last"), Filter("again")], {}, {"exact": True}))
    found = await LmEvalJudge().judge(ITEM, Response("so 4"))
    assert (found.score, found.reason) == (1.0, "exact, last")


async def test_what_cannot_be_scored_is_missing(given: Any) -> None:
    given(Task([Filter("last")], {"bleu": 40.0}, {"exact": False}))
    found = await LmEvalJudge().judge(ITEM, Response("4"))
    assert (found.score, found.label) == (None, "no-metric")
    assert found.reason == "the task has no metric between 0 and 1 for one answer"
    other = await LmEvalJudge().judge(Item("i", "p", "g", "q"), Response("4"))
    assert (other.score, other.label) == (None, "no-target")
    assert other.reason == "the item is not one of lm-evaluation-harness"


async def test_choices_are_judged_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    item = Item("i", "Which?", "g", "Which?", "B", ("A", "B"))
    assert (await LmEvalJudge().judge(item, Response("The answer is B."))).score == 1.0
    monkeypatch.setattr(importlib.metadata, "version", {"lm-eval": "9.9"}.__getitem__)
    assert LmEvalJudge().version == f"{ChoiceJudge.version}+lm-eval-9.9"

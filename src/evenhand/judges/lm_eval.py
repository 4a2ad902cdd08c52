"""Answers to tasks of lm-evaluation-harness, scored by the task's own filters and metric."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import ChoiceJudge
from evenhand.suites.lm_eval import load_task
from evenhand.types import Item, Response, Verdict


@JUDGES.register("lm-eval", extra="lm-eval")
class LmEvalJudge(Judge):
    """Choices by letter; written answers by the task: right when any of its filters makes it right."""

    name = "lm-eval"
    summary = "tasks of lm-evaluation-harness, by their own filters and metric"
    needs_reference = True

    def __init__(self) -> None:
        self._choice = ChoiceJudge()

    @functools.cached_property
    def version(self) -> str:  # type: ignore[override]
        return f"{ChoiceJudge.version}+lm-eval-{importlib.metadata.version('lm-eval')}"

    async def decide(self, item: Item, response: Response) -> Verdict:
        if item.choices:
            return await self._choice.judge(item, response)
        told = item.extra.get("lm_eval")
        if told is None:
            return Verdict(None, "no-target", "the item is not one of lm-evaluation-harness")
        scores = _scores(load_task(told["task"], told["folder"]), told["doc"], response.text)
        if not scores:
            return Verdict(None, "no-metric", "the task has no metric between 0 and 1 for one answer")
        name, score = max(scores.items(), key=lambda entry: entry[1])
        return Verdict(score, "correct" if score == 1 else "wrong" if score == 0 else "partial", name)


def _scores(task: Any, doc: dict[str, Any], text: str) -> dict[str, float]:
    """ "metric, filter" -> score in [0, 1], for metrics of which more is better."""
    from lm_eval.api.instance import Instance

    answer = Instance(request_type="generate_until", doc=doc, arguments=("", {}), idx=0, resps=[text])
    filters = getattr(task, "_filters", [])
    for ensemble in filters:
        ensemble.apply([answer])
    better = task.higher_is_better()
    found = {}
    for key, filtered in (answer.filtered_resps or {"none": text}).items():
        for metric, value in task.process_results(doc, [filtered]).items():
            if better.get(metric, True) and isinstance(value, int | float) and 0 <= value <= 1:
                found[f"{metric}, {key}"] = float(value)
    return found

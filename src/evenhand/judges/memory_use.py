"""Judges of what an answer does with the facts that are known of a user: language models with shipped rubrics.

The questions and scales are those of PersistBench (arXiv 2602.01146), the wording is ours.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.judges.base import JUDGES, Judge, Preference
from evenhand.judges.llm import LanguageModelJudge
from evenhand.judges.own_rubric import graded_rubric
from evenhand.models import Model, ModelOptions
from evenhand.types import Item, Response, Verdict

_DATA = Path(__file__).parent / "data"
NOBODY = Verdict(None, "no-reference", "nothing is known of a user whom the item brings")


class _MemoryJudge(LanguageModelJudge):
    """``llm-...:MODEL``: sees the question, the response and the facts of the person who asks.

    Its score is the grade's place on the scale. An item that nobody asks, or somebody of whom nothing is known, is
    missing.
    """

    file: str

    def __init__(self, argument: str, options: ModelOptions, model: Model | None = None) -> None:
        self._graded = graded_rubric(_DATA / self.file)
        self.rubric = self._graded
        super().__init__(argument, options, model)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if item.person is None or not item.person.facts:
            return NOBODY
        return await self._once(self._graded.prompt_about(item, response.text), self._graded)

    async def prefer(self, item: Item, first: Response, second: Response) -> Preference:
        return await Judge.prefer(self, item, first, second)


@JUDGES.register("llm-leakage")
class LeakageJudge(_MemoryJudge):
    """1 where no fact stands in the answer that belongs elsewhere, 0 where the answer is built around such facts."""

    summary = "facts of the user that have no business in the answer (1 to 5), by a language model"
    kind = "llm-leakage"
    for_axis = "safety"
    file = "leakage.toml"


@JUDGES.register("llm-sycophancy")
class SycophancyJudge(_MemoryJudge):
    """1 where the answer goes by what is known, 0 where it goes by what the user believes."""

    summary = "a belief of the user that bends the answer (1 to 5), by a language model"
    kind = "llm-sycophancy"
    for_axis = "safety"
    file = "sycophancy.toml"


@JUDGES.register("llm-memory-use")
class MemoryUseJudge(_MemoryJudge):
    """1 where the answer uses all facts that matter, 0 where it uses none."""

    summary = "how well the facts of the user that matter are used (1 to 3), by a language model"
    kind = "llm-memory-use"
    for_axis = "fit"
    file = "memory-use.toml"

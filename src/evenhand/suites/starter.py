"""The starter suites: written for this project, shipped with it, so that it works without a network."""

from __future__ import annotations

from pathlib import Path

from evenhand.suites.base import LOGPROBS, SUITES, Suite
from evenhand.suites.formats import (
    LETTER_PREFILL,
    LETTERS,
    free_number,
    multiple_choice,
    python_function,
    texts_to_weigh,
)
from evenhand.suites.sources import DataSource, Row, read_csv, read_jsonl
from evenhand.types import Item

_ANSWERING = "The answer is"
_DATA = Path(__file__).parent / "data"


@SUITES.register("starter-safety")
class StarterSafety(Suite):
    """132 unsafe prompts: 11 for each of Do-Not-Answer's 12 harm types."""

    name = "starter-safety"
    axis = "safety"
    summary = "132 unsafe prompts over Do-Not-Answer's 12 harm types, shipped"
    judge = "action-classifier"
    like = "Do-Not-Answer"
    licence = "Apache-2.0"
    source = "written for evenhand"

    def load(self, source: DataSource) -> list[Item]:
        reader = read_csv("id", "risk_area", "harm_type", "prompt")
        return [
            Item(
                id=row["id"],
                prompt=row["prompt"],
                question=row["prompt"],
                group=row["harm_type"],
                extra={"risk_area": row["risk_area"]},
            )
            for row in source.packaged(self.name, _DATA / "starter_safety.csv", reader)
        ]


@SUITES.register("starter-utility")
class StarterUtility(Suite):
    """150 items: 50 of knowledge, 45 of arithmetic, 30 of reasoning, 25 of code.

    With ``logprobs`` the 80 multiple-choice items are scored from log-probabilities and the others are generated; with
    ``texts`` by which option is likelier as the answer.
    The kinds are variants: ``starter-utility:knowledge+reasoning``.
    """

    name = "starter-utility"
    axis = "utility"
    summary = "150 items of knowledge, arithmetic, reasoning and code, shipped"
    judge = "answer"
    licence = "Apache-2.0"
    source = "written for evenhand"
    variants = ("knowledge", "arithmetic", "reasoning", "code")
    has_choices = True
    has_texts = True

    def load(self, source: DataSource) -> list[Item]:
        rows = source.packaged(self.name, _DATA / "starter_utility.jsonl", read_jsonl("id", "kind", "question"))
        kinds = [k for k in self.chosen if k in self.variants] or self.variants
        return [self._item(row) for row in rows if row["kind"] in kinds]

    def _item(self, row: Row) -> Item:
        question, target = row["question"], row.get("target")
        choices: tuple[str, ...] = ()
        extra: Row = {}
        if "options" in row:
            prompt = multiple_choice(question, row["options"], logprobs=LOGPROBS in self.chosen)
            choices = tuple(LETTERS[: len(row["options"])])
            extra = {"options": row["options"], "prefill": LETTER_PREFILL}
            if self.by_texts:
                prompt = question
                extra |= texts_to_weigh([f" {option}" for option in row["options"]], _ANSWERING)
        elif "tests" in row:
            prompt = python_function(question, row["tests"])
            extra = {"tests": row["tests"], "setup": ""}
        else:
            prompt = free_number(question)
        return Item(row["id"], prompt, row["kind"], question, target, choices, extra)

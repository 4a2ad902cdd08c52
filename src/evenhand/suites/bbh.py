"""BIG-Bench Hard (Suzgun et al., arXiv 2210.09261): the reasoning tasks whose answers are choices."""

from __future__ import annotations

import re

from evenhand.errors import DataError
from evenhand.suites.base import SUITES, Suite, content_id, distinct
from evenhand.suites.formats import LETTER_PREFILL, WORD_PREFILL, choice_instruction, word_instruction
from evenhand.suites.sources import DataSource, HubTable, read_json_examples
from evenhand.types import Item

TASKS = (
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "logical_deduction_three_objects",
    "navigate",
    "snarks",
    "sports_understanding",
    "web_of_lies",
)
_OPTION = re.compile(r"^\(([A-Z])\) (.*)$", re.MULTILINE)
_LETTER = re.compile(r"\(([A-Z])\)")


@SUITES.register("bbh")
class BBH(Suite):
    """All eight tasks, or some of them: ``bbh:navigate+snarks``."""

    name = "bbh"
    axis = "utility"
    summary = "reasoning, 8 tasks of BIG-Bench Hard; 'bbh:navigate+snarks' takes some"
    judge = "choice"
    licence = "MIT"
    source = "arXiv 2210.09261, github.com/suzgunmirac/BIG-Bench-Hard"
    variants = TASKS
    has_choices = True

    def load(self, source: DataSource) -> list[Item]:
        items: list[Item] = []
        for task in [t for t in TASKS if t in self.chosen] or TASKS:
            rows = source.read(
                self.name,
                [f"bbh/{task}.json"],
                read_json_examples,
                HubTable("lukaemon/bbh", "test", config=task),
            )
            items += [self._item(task, row["input"], row["target"], file) for file, row in rows]
        # A question of snarks breaks off after its first option: with one choice nothing can be got wrong.
        return distinct([item for item in items if len(item.choices) > 1])

    def _item(self, task: str, question: str, target: str, file: str) -> Item:
        where = f"BBH, {file or task}"
        logprobs = self.scoring == "logprobs"
        options = dict(_OPTION.findall(question))
        if options:
            match = _LETTER.fullmatch(target.strip())
            if not match or match[1] not in options:
                raise DataError(f"{where}: the target '{target}' is none of the options.", f"Item: {question!r}.")
            choices, answer, prefill = tuple(options), match[1], LETTER_PREFILL
            instruction = choice_instruction("the letter", logprobs=logprobs)
        else:
            choices, answer, prefill = ("Yes", "No"), target.strip().capitalize(), WORD_PREFILL
            if answer not in choices:
                raise DataError(f"{where}: the target '{target}' is neither yes nor no.", f"Item: {question!r}.")
            instruction = word_instruction(choices, logprobs=logprobs)
        return Item(
            id=f"bbh-{task}-{content_id(question)}",
            prompt=f"{question.strip()}\n\n{instruction}",
            question=question,
            group=task,
            target=answer,
            choices=choices,
            extra={"options": list(options.values()), "prefill": prefill},
        )

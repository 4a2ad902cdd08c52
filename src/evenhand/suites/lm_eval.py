"""Any multiple-choice or generative task of lm-evaluation-harness as a suite."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError, did_you_mean, one_line
from evenhand.extras import importing
from evenhand.suites.base import LOGPROBS, SUITES, Suite
from evenhand.suites.formats import LETTER_PREFILL, LETTERS, choice_instruction, multiple_choice
from evenhand.suites.sources import DataSource
from evenhand.types import Item


@SUITES.register("lm-eval", extra="lm-eval")
class LmEvalSuite(Suite):
    """A task by its name in the registry (``lm-eval:arc_easy``), or of a YAML file in ``--data-dir``.

    Asked without examples, as a user would. Choices are lettered; with ``+logprobs`` they are scored by their
    log-probability. Written answers are scored by the task's own filters and metric.
    """

    name = "lm-eval"
    axis = "utility"
    summary = "any multiple-choice or generative task of lm-evaluation-harness"
    judge = "lm-eval"
    licence = "the task's"
    source = "github.com/EleutherAI/lm-evaluation-harness"
    argument = "TASK"

    def __init__(self, variants: Sequence[str] = ()) -> None:
        names = [v for v in variants if v != LOGPROBS]
        if len(names) != 1:
            raise SpecError("The suite 'lm-eval' needs the name of one task.", "Write lm-eval:TASK.")
        self.has_choices = True
        super().__init__([v for v in variants if v == LOGPROBS])
        self.task = names[0]
        self.name = f"lm-eval/{self.task}"

    def load(self, source: DataSource) -> list[Item]:
        folder = str(source.data_dir) if source.data_dir else ""
        task = load_task(self.task, folder)
        origin = f"lm-evaluation-harness, {task.config.dataset_path}"
        docs = source.elsewhere(self.name, origin, lambda: [dict(doc) for doc in task.eval_docs])
        if task.OUTPUT_TYPE == "multiple_choice":
            return [self._choice_item(task, n, doc) for n, doc in enumerate(docs)]
        if task.OUTPUT_TYPE != "generate_until":
            raise SpecError(
                f"The task '{self.task}' is of the kind {task.OUTPUT_TYPE}.",
                "Tasks with choices (multiple_choice) or written answers (generate_until) can be asked in a chat.",
            )
        if self.scoring == LOGPROBS:
            raise SpecError(f"The task '{self.task}' has no choices.", "Leave '+logprobs' out.")
        return [self._written_item(task, n, doc, folder) for n, doc in enumerate(docs)]

    def _choice_item(self, task: Any, number: int, doc: dict[str, Any]) -> Item:
        text = _without_cue(str(task.doc_to_text(doc)))
        options = [str(option).strip() for option in task.doc_to_choice(doc)]
        target = task.doc_to_target(doc)
        index = options.index(str(target).strip()) if isinstance(target, str) else int(target)
        labels = tuple(LETTERS[: len(options)])
        if tuple(options) == labels:  # the text lists its options itself
            prompt = f"{text}\n\n{choice_instruction('the letter', logprobs=self.scoring == LOGPROBS)}"
        else:
            prompt = multiple_choice(text, options, logprobs=self.scoring == LOGPROBS)
        return Item(
            id=f"{self.task}-{number}",
            prompt=prompt,
            question=text,
            group=self.task,
            target=labels[index],
            choices=labels,
            extra={"options": options, "prefill": LETTER_PREFILL},
        )

    def _written_item(self, task: Any, number: int, doc: dict[str, Any], folder: str) -> Item:
        text = str(task.doc_to_text(doc)).strip()
        target = task.doc_to_target(doc)
        # Through JSON and back, so that a stored item is the same as a fresh one.
        kept = orjson.loads(orjson.dumps(doc, default=str))
        return Item(
            id=f"{self.task}-{number}",
            prompt=text,
            question=text,
            group=self.task,
            target=str(target[0] if isinstance(target, list) and target else target),
            extra={"lm_eval": {"task": self.task, "folder": folder, "doc": kept}},
        )


@functools.cache
def load_task(name: str, folder: str) -> Any:
    """A task of lm-evaluation-harness with its data.

    Args:
        name: its name in the registry.
        folder: where to look for YAML files of tasks too; "" for nowhere.

    Raises:
        SpecError: there is no such task.
        DataError: lm-evaluation-harness is not installed, or the task's data cannot be loaded.
    """
    with importing("lm-eval", f"The task '{name}'", DataError):
        from lm_eval.tasks import TaskManager
    manager = TaskManager(include_path=folder if folder and any(Path(folder).glob("**/*.yaml")) else None)
    if name not in manager.all_subtasks:
        raise SpecError(f"lm-evaluation-harness has no task '{name}'.", did_you_mean(name, manager.all_subtasks))
    try:
        return manager.load(name)["tasks"][name]
    except Exception as error:  # tasks run code of their own
        raise DataError(f"The data of lm-eval:{name} cannot be loaded: {one_line(str(error))}.") from error


def _without_cue(text: str) -> str:
    """A prompt without the "Answer:" that leads a completion model on."""
    return text.strip().removesuffix("Answer:").strip()

"""``rubric:FILE.toml``: a language model judges by a rubric of one's own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError
from evenhand.fences import fenced
from evenhand.judges.base import BASELINE, JUDGES, NOTE, USER, Judge, Preference
from evenhand.judges.grades import KEYS, Grade, Scale
from evenhand.judges.llm import LanguageModelJudge
from evenhand.judges.rubric_file import RubricExample, RubricSpec, read_rubric
from evenhand.judges.rubrics import PairRubric, Rubric, read_answer, reason_in
from evenhand.judges.winners import (
    BETTER,
    FIRST_SHOWN,
    LAST_SHOWN,
    NO_BASELINE,
    NO_REFERENCE,
    PAIR_LABELS,
    PAIRS,
    SAME,
    TIE,
    WORSE,
    spoken_winner,
    winner_in,
)
from evenhand.models import Model, ModelOptions
from evenhand.types import Axis, Item, Response, Verdict

_REFERENCE = re.compile(r"(?P<file>.+?\.toml)(?::(?P<model>.+))?")
# Each changes whenever the wording around a rubric or the reading of its answers does.
_READING, _READING_PAIRS = "1", "2"
_WITHOUT_REFERENCE = Verdict(None, NO_REFERENCE, "the item has no reference answer to compare with")
_WITHOUT_BASELINE = Verdict(None, NO_BASELINE, "the baseline gave no answer to compare with")
_ALIKE = Verdict(0.5, SAME, "both answers are the same")
_BETTER = {BETTER: 1, WORSE: 2, TIE: 0}


class GradedRubric(Rubric):
    """Grades one answer on the scale of a file.

    Args:
        spec: the file.
        scale: its scale.
        version: of both.
    """

    def __init__(self, spec: RubricSpec, scale: Scale, version: str) -> None:
        self.spec: RubricSpec = spec
        self.scale: Scale = scale
        self.version: str = version
        self.max_tokens: int = spec.max_tokens
        given = "one of " + ", ".join(scale.classes) if scale.classes else scale.described
        self.form: str = f'{{"reason": "<one short sentence>", "grade": <{given}>}}'

    def task(self) -> str:
        grades = "\n".join(f"{grade}: {' '.join(text.split())}" for grade, text in self.spec.scale.items())
        return "\n\n".join([f"{self.spec.task.strip()}\n\nGrades:\n{grades}", *map(self._shown, self.spec.examples)])

    def prompt_about(self, item: Item, response: str) -> str:
        """The whole question to the judge about a response."""
        told = _told(self.spec, item)
        return self.prompt(item.question or item.prompt, response, "\n\n".join([*told, *_note(item)]))

    def verdict(self, answer: dict[str, Any]) -> Verdict | None:
        return self._graded(self.scale.stated(answer), reason_in(answer))

    def read(self, text: str) -> Verdict | None:
        answer = read_answer(text)
        if answer is not None and any(key in answer for key in KEYS):
            return self.verdict(answer)
        return self._graded(self.scale.spoken(text), "")

    def _graded(self, grade: Grade | None, reason: str) -> Verdict | None:
        if grade is None:
            return None
        return Verdict(self.scale.score(grade), grade if isinstance(grade, str) else f"{grade:g}", reason)

    def _shown(self, example: RubricExample) -> str:
        parts = [fenced("question of an example", example.question)] if example.question else []
        because = f" ({example.reason})" if example.reason else ""
        return "\n\n".join([*parts, fenced("answer of an example", example.answer), f"Grade: {example.grade}{because}"])


class ComparedRubric(PairRubric):
    """Says which of two answers is better, by the criteria of a file."""

    def __init__(self, spec: RubricSpec, version: str) -> None:
        self.spec: RubricSpec = spec
        self.version: str = version
        self.max_tokens: int = spec.max_tokens

    def task(self) -> str:
        asked = f"{self.spec.task.strip()}\n\nAn assistant gave two answers. Decide which one is better by this."
        return "\n\n".join([asked, *map(self._shown, self.spec.examples)])

    def pair_about(self, item: Item, first: str, second: str) -> str:
        """The whole question to the judge about two responses."""
        told = _told(self.spec, item)
        return self.pair_prompt(item.question or item.prompt, first, second, "\n\n".join([*told, *_note(item)]))

    def verdict(self, answer: dict[str, Any]) -> Verdict | None:
        return super().verdict({**answer, "better": winner_in(answer)})

    def read(self, text: str) -> Verdict | None:
        answer = read_answer(text)
        return (self.verdict(answer) if answer else None) or super().verdict({"better": spoken_winner(text)})

    def _shown(self, example: RubricExample) -> str:
        parts = [fenced("question of an example", example.question)] if example.question else []
        parts += [fenced("answer 1 of an example", example.answer), fenced("answer 2 of an example", example.reference)]
        because = f" ({example.reason})" if example.reason else ""
        return "\n\n".join([*parts, f"Better: {_BETTER[str(example.grade)]}{because}"])


@JUDGES.register("rubric")
class RubricJudge(LanguageModelJudge):
    """``rubric:FILE.toml`` or ``rubric:FILE.toml:MODEL``: see :class:`evenhand.judges.rubric_file.RubricSpec`.

    Its version is a digest of the file, so that a changed rubric judges anew.

    Args:
        argument: the file, and the model where the file names none or another one is wanted.
        options: how to reach the model.
        model: an object to ask instead.

    Raises:
        SpecError: the file is wrong, or no model is named.
    """

    summary = (
        "your own rubric (a TOML file), by a language model: a scale, classes, or against a reference or the baseline"
    )
    argument = "FILE.toml:MODEL"
    kind = "rubric"
    families = (PAIR_LABELS,)

    def __init__(self, argument: str, options: ModelOptions, model: Model | None = None) -> None:
        parts = _REFERENCE.fullmatch(argument)
        if not parts:
            raise SpecError(
                f"The rubric '{argument}' is no TOML file.", "Write rubric:FILE.toml or rubric:FILE.toml:MODEL."
            )
        self.path = Path(parts["file"])
        spec, scale, digest = read_rubric(self.path)
        reference = parts["model"] or spec.model
        if not reference and model is None:
            raise SpecError(
                f"The rubric {self.path} names no model, and the judge neither.",
                f'Write rubric:{self.path}:openai:NAME, or model = "openai:NAME" in the file.',
            )
        self.spec = spec
        self.graded = GradedRubric(spec, scale, f"{_READING}-{digest}")
        self.compared = ComparedRubric(spec, f"{PAIRS} {_READING_PAIRS}-{digest}")
        self.rubric = self.compared if spec.is_pairwise else self.graded
        super().__init__(reference, options, model)
        self.name = f"{self.kind}:{argument}"
        self.sees_user, self.against_baseline = spec.sees_user, spec.against_baseline
        self.needs_reference = spec.is_pairwise and not spec.against_baseline
        self.for_axis: Axis | None = spec.axis

    def _instead(self, axis: Axis) -> str:
        return f'Write axis = "{axis}" in {self.path} if its good end is good there.'

    async def judge(self, item: Item, response: Response) -> Verdict:
        # Not even what a filter declined has lost against nothing.
        if self.against_baseline and not item.extra.get(BASELINE):
            return _WITHOUT_BASELINE
        return await super().judge(item, response)

    async def decide(self, item: Item, response: Response) -> Verdict:
        if not self.spec.is_pairwise:
            return await self._once(self.graded.prompt_about(item, response.text), self.graded)
        other = str(item.extra[BASELINE]) if self.against_baseline else item.target
        return await self._both_orders(item, response.text, other) if other else _WITHOUT_REFERENCE

    async def prefer(self, item: Item, first: Response, second: Response) -> Preference:
        if not self.spec.is_pairwise:
            return await Judge.prefer(self, item, first, second)
        found = await self._both_orders(item, first.text, second.text)
        if found.score is None:
            return "missing"
        preferences: dict[str, Preference] = {BETTER: "first", WORSE: "second"}
        return preferences.get(found.label, "tie")

    async def _both_orders(self, item: Item, one: str, other: str) -> Verdict:
        """Whether ``one`` is better, the mean over both orders."""
        if one.strip() == other.strip():
            return _ALIKE
        ahead, behind = await asyncio.gather(
            self._once(self.compared.pair_about(item, one, other), self.compared),
            self._once(self.compared.pair_about(item, other, one), self.compared),
        )
        if ahead.score is None or behind.score is None:
            return ahead if ahead.score is None else behind
        shown_first, shown_last = ahead.score, 1 - behind.score
        score = (shown_first + shown_last) / 2
        if abs(shown_first - shown_last) == 1:
            label = FIRST_SHOWN if shown_first > shown_last else LAST_SHOWN
            return Verdict(score, label, "another order, another verdict")
        return Verdict(score, TIE if score == 0.5 else BETTER if score > 0.5 else WORSE, ahead.reason)


def graded_rubric(path: Path) -> GradedRubric:
    """A rubric that grades, from its file.

    Raises:
        SpecError: the file is wrong.
    """
    spec, scale, digest = read_rubric(path)
    return GradedRubric(spec, scale, f"{_READING}-{digest}")


def _told(spec: RubricSpec, item: Item) -> list[str]:
    """What the assistant was told, and what is known of the person, where the judge may see it."""
    told = str(item.extra.get(USER, "")) if spec.sees_user else ""
    known = "\n".join(f"- {fact.text}" for fact in item.person.facts) if spec.sees_person and item.person else ""
    shown = [f"What the assistant was told:\n{fenced('conversation', told)}"] if told else []
    return [*shown, f"What is known of the user:\n{fenced('facts', known)}"] if known else shown


def _note(item: Item) -> list[str]:
    note = str(item.extra.get(NOTE, ""))
    return [note] if note else []

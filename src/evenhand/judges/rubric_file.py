"""A rubric of one's own: the TOML file behind ``rubric:FILE.toml``, checked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from evenhand.errors import SpecError, did_you_mean
from evenhand.judges.grades import Scale, normal
from evenhand.specs import Strict, read_toml, validated
from evenhand.types import Axis

_NUMBER = re.compile(r"\d{1,3}")
PAIR = ("better", "worse", "tie")


class RubricExample(Strict):
    """An answer with the grade that it should get.

    Attributes:
        answer: the answer.
        grade: on the rubric's scale; in pairwise mode "better", "worse" or "tie".
        question: what was asked.
        reference: in pairwise mode, what the answer is compared with.
        reason: why, in a short sentence.
    """

    answer: str = Field(min_length=1)
    grade: int | str
    question: str = ""
    reference: str = ""
    reason: str = ""


class RubricSpec(Strict):
    """The file behind ``rubric:FILE.toml``.

    Attributes:
        name: what is judged, in a word or two.
        task: what the judge is asked to decide, and by which criteria.
        mode: "grade", or "pairwise", in both orders.
        against: in pairwise mode "reference", the item's reference answer (``target``), or "baseline", what the study's
            first baseline answered to the same item in the same repeat.
        scale: grade -> what it means. Grades are whole numbers (not each between the ends needs a text), or classes.
        good: of numbers, "high" or "low"; of classes, those that score 1 (all others score 0).
        axis: of the suites that it is for.
        sees_user: whether the judge reads what the assistant was told of the user.
        sees_person: whether it reads all facts of the person who asks, told or not.
        examples: shown before the answer.
        model: the model to ask, where the reference names none.
        max_tokens: of its answer.
    """

    name: str = Field(min_length=1)
    task: str = Field(min_length=1)
    mode: Literal["grade", "pairwise"] = "grade"
    against: Literal["reference", "baseline"] = "reference"
    scale: dict[str, str] = Field(default_factory=dict)
    good: str | list[str] = ""
    axis: Axis = "utility"
    sees_user: bool = False
    sees_person: bool = False
    examples: tuple[RubricExample, ...] = ()
    model: str = ""
    max_tokens: int = Field(256, ge=1)

    @property
    def is_pairwise(self) -> bool:
        return self.mode == "pairwise"

    @property
    def against_baseline(self) -> bool:
        return self.is_pairwise and self.against == "baseline"


def read_rubric(path: Path) -> tuple[RubricSpec, Scale, str]:
    """A rubric, the scale that its answers are read by, and a digest of its file.

    Raises:
        SpecError: the file is missing or wrong; the message names the file and the line or the field.
    """
    spec = validated(RubricSpec, read_toml(path, "rubric"), str(path))
    if spec.against == "baseline" and not spec.is_pairwise:
        raise SpecError(f"{path}: against: answers are compared in pairwise mode only.", 'Write mode = "pairwise".')
    scale = _pair_scale(path, spec) if spec.is_pairwise else _scale(path, spec)
    for number, example in enumerate(spec.examples, 1):
        if scale.grade(example.grade) is None:
            known = f"It is one of {', '.join(PAIR)}." if spec.is_pairwise else f"The scale has {scale.described}."
            raise SpecError(f"{path}: examples, number {number}: '{example.grade}' is no grade.", known)
        if spec.is_pairwise and not example.reference:
            raise SpecError(f"{path}: examples, number {number}: reference: what is the answer compared with?")
    return spec, scale, hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()


def _pair_scale(path: Path, spec: RubricSpec) -> Scale:
    for field in ("scale", "good"):
        if getattr(spec, field):
            raise SpecError(f"{path}: {field}: in pairwise mode there is none.", "Remove it, or the mode.")
    return Scale(classes=PAIR)


def _scale(path: Path, spec: RubricSpec) -> Scale:
    if len(spec.scale) < 2:
        raise SpecError(f"{path}: scale: it needs two grades or more.", 'Write [scale], then lines as 1 = "useless".')
    for grade, text in spec.scale.items():
        if not text.strip():
            raise SpecError(f"{path}: scale.{grade}: the grade has no text.", "Say when it is given.")
    numbers = [grade for grade in spec.scale if _NUMBER.fullmatch(grade)]
    if numbers and len(numbers) < len(spec.scale):
        other = next(grade for grade in spec.scale if grade not in numbers)
        raise SpecError(f"{path}: scale.{other}: '{other}' is no number, and '{numbers[0]}' is one.")
    return _numbers(path, spec) if numbers else _classes(path, spec)


def _numbers(path: Path, spec: RubricSpec) -> Scale:
    if spec.good not in ("high", "low"):
        raise SpecError(f"{path}: good: say which end of the scale is good, 'high' or 'low'.", f"Got: {spec.good!r}.")
    grades = [int(grade) for grade in spec.scale]
    if len(set(grades)) < len(grades):
        raise SpecError(f"{path}: scale: a grade appears twice.")
    return Scale(low=min(grades), high=max(grades), high_is_good=spec.good == "high")


def _classes(path: Path, spec: RubricSpec) -> Scale:
    classes = tuple(spec.scale)
    if not all(map(normal, classes)) or len(set(map(normal, classes))) < len(classes):
        raise SpecError(f"{path}: scale: two classes have the same name, or one has none.")
    good = [spec.good] if isinstance(spec.good, str) else spec.good
    for name in good:
        if name not in classes:
            fix = did_you_mean(name, classes)
            raise SpecError(f"{path}: good: '{name}' is not a class of the scale; name those that score 1.", fix)
    if not 0 < len(set(good)) < len(classes):
        raise SpecError(f"{path}: good: name some of the classes, not {'all' if good else 'none'}.")
    return Scale(classes=classes, good=frozenset(good))

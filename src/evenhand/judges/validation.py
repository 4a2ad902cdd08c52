"""What is known about how right the shipped judges are: records that come with the package.

Everything that says how right a shipped judge is reads these records: the report, the sensitivity band of PB, and the
tables of docs/judges.md, which ``training/figures.py`` writes together with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

_DATA = Path(__file__).parent / "data"
# Each training script makes those of its own data set: judge -> its records.
FIGURES = _DATA / "validation.json"
ACTION_FIGURES = _DATA / "validation_actions.json"
COMMAND = "python training/figures.py --data-dir DATA"

# Judges that are one another's mirror image share their records of what both are asked.
_MIRRORED = {"compliance-rules": "refusal-rules", "compliance-classifier": "refusal-classifier"}
_DECLINING, _ACTING = ("refusal", "compliance"), ("safe", "follows")
# People's classes as the judge's own question has them: what scores 1 and what scores 0.
_NOTIONS = {
    "refusal-rules": _DECLINING,
    "refusal-classifier": _DECLINING,
    "compliance-rules": _DECLINING[::-1],
    "compliance-classifier": _DECLINING[::-1],
    "action-classifier": _ACTING,
}
# Judges that take phrases of the user's own; whatever says none of them is judged as by the judge alone.
_EXTENDED = frozenset({"refusal-classifier", "compliance-classifier"})
_CHECKS = frozenset(
    {"choice", "number", "duration", "code", "code-unisolated", "answer"}
    | {"embodied-goals", "embodied-operators", "embodied-planner", "embodied-plans", "embodied-subgoals"}
)


@dataclass(frozen=True)
class Figure:
    """A judge against labels made by people.

    Attributes:
        data: the data set whose questions were answered, as :attr:`evenhand.suites.Suite.like` has it.
        model: whose answers.
        suites: suites that ask these very questions.
        languages: of the answers (ISO 639-1 codes).
        how: what the judge had seen of them before.
        version: of the judge that was measured.
        n: responses.
        balanced_accuracy, kappa: value, lower and upper end of the 95 % interval.
        recall: people's class -> share of it that the judge finds.
        labelled: people's class -> how many responses they put there, of those that the judge gave a verdict on.
        command: what measures it again.
    """

    data: str
    model: str
    suites: tuple[str, ...]
    languages: tuple[str, ...]
    how: str
    version: str
    n: int
    balanced_accuracy: tuple[float, float, float]
    kappa: tuple[float, float, float]
    recall: dict[str, float]
    labelled: dict[str, int]
    command: str = COMMAND

    @property
    def labels(self) -> str:
        """Which labelled responses, in words."""
        return f"{self.data} answers of {self.model}"

    def classes(self, judge: str) -> tuple[str, str]:
        """People's class of the answers that score 1 by a judge, and of those that score 0."""
        return _ACTING if _ACTING[0] in self.labelled else _NOTIONS.get(judge, _DECLINING)

    def shares(self, judge: str) -> tuple[float, float] | None:
        """Of people's answers that score 1, and of those that score 0, the shares that a judge finds; None without."""
        good, bad = self.classes(judge)
        return (self.recall[good], self.recall[bad]) if good in self.recall and bad in self.recall else None


def measured_judge(judge: str) -> str:
    """The shipped judge whose records say most of a judge: of one with phrases of the user's own, the one they extend.

    Args:
        judge: its reference.
    """
    name, _, _ = judge.partition(":")
    return name if name in _EXTENDED else judge


def known_figures(judge: str) -> list[Figure]:
    """The records of a shipped judge; none for a judge nobody has measured yet."""
    if (mirrored := _MIRRORED.get(judge)) is None:
        return [_figure(data) for data in _all().get(judge, [])]
    return [figure for figure in known_figures(mirrored) if _DECLINING[0] in figure.labelled]


def closest_figures(judge: str, like: str) -> list[Figure]:
    """The records of a judge that say most of it on one kind of question.

    Args:
        judge: its name.
        like: the data set whose kind of question is asked (:func:`evenhand.suites.base.like_of`), or "".

    Returns:
        Those of that data set; where there are none, those of the judge's own notion: a judge of refusals measured
        against "is it safe" is asked another question.
    """
    figures, own = known_figures(judge), set(_NOTIONS.get(judge, ()))
    return [f for f in figures if f.data == like] or [f for f in figures if own & set(f.labelled)]


def is_check(judge: str) -> bool:
    """Whether a judge compares with a right answer, or runs a program, by fixed rules: no opinion that people share."""
    return judge in _CHECKS


def _figure(data: dict[str, Any]) -> Figure:
    pairs = {name: tuple(data[name]) for name in ("suites", "languages", "balanced_accuracy", "kappa")}
    return Figure(**{**data, **pairs})


@cache
def _all() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in (FIGURES, ACTION_FIGURES):
        if path.exists():
            for judge, figures in orjson.loads(path.read_bytes()).items():
                found.setdefault(judge, []).extend(figures)
    return found

"""What is known about how right the shipped judges are: figures that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

_DATA = Path(__file__).parent / "data"
# Each training script writes a file of its own: judge -> its figures.
FIGURES = _DATA / "validation.json"
ACTION_FIGURES = _DATA / "validation_actions.json"
# Judges that are one another's mirror image share their figures.
_SAME = {"compliance-rules": "refusal-rules", "compliance-classifier": "refusal-classifier"}

# What scores 1 and what scores 0 when people judge what the judge judges, by the names in the figures.
_CLASSES = {
    "refusal-rules": ("refusal", "compliance"),
    "refusal-classifier": ("refusal", "compliance"),
    "compliance-rules": ("compliance", "refusal"),
    "compliance-classifier": ("compliance", "refusal"),
    "action-classifier": ("safe", "follows"),
}
_CHECKS = frozenset({"choice", "number", "duration", "code", "code-unisolated", "answer"})


@dataclass(frozen=True)
class Figure:
    """A judge against labels made by people.

    Attributes:
        labels: which labelled responses.
        how: what the judge had seen of them before.
        n: responses.
        balanced_accuracy, kappa: value, lower and upper end of the 95 % interval.
        recall: people's class -> share of it that the judge finds.
    """

    labels: str
    how: str
    n: int
    balanced_accuracy: tuple[float, float, float]
    kappa: tuple[float, float, float]
    recall: dict[str, float]


def known_figures(judge: str) -> list[Figure]:
    """The figures measured for a shipped judge; none for a judge nobody has measured yet."""
    return [Figure(**figure) for figure in _all().get(_SAME.get(judge, judge), [])]


def known_recalls(judge: str) -> list[tuple[float, float]]:
    """Shares of people's good and bad answers that a shipped judge finds, per measured set of its own notion.

    A judge of refusals measured against "is it safe" is asked another question than its own, and left out.
    """
    good, bad = _CLASSES.get(judge, ("", ""))
    figures = known_figures(judge)
    return [(f.recall[good], f.recall[bad]) for f in figures if good in f.recall and bad in f.recall]


def is_check(judge: str) -> bool:
    """Whether a judge compares with a right answer, or runs a program, by fixed rules: no opinion that people share."""
    return judge in _CHECKS


@cache
def _all() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in (FIGURES, ACTION_FIGURES):
        if path.exists():
            for judge, figures in orjson.loads(path.read_bytes()).items():
                found.setdefault(judge, []).extend(figures)
    return found

"""Whether answers are paired: the same questions for different identities, or different people with their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from evenhand.imported.answers import Answer
from evenhand.types import BASELINE_CATEGORY

_HALF = 0.5


def shared(answers: Sequence[Answer]) -> float:
    """The share of the answers to identities whose question another identity was asked, too, in the same suite."""
    asked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    to_people = [answer for answer in answers if answer.category != BASELINE_CATEGORY]
    for answer in to_people:
        asked[answer.suite, answer.item].add(answer.identity)
    both = sum(len(asked[answer.suite, answer.item]) > 1 for answer in to_people)
    return both / len(to_people) if to_people else 0.0


def is_paired(share: float) -> bool:
    """Whether so many shared questions make answers paired: half of them, where a few greetings do not."""
    return share >= _HALF

"""Whether answers are paired: the same questions for different identities, or different people with their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from evenhand.imported.answers import Answer
from evenhand.types import BASELINE_CATEGORY

HALF = 0.5
# So many of the cells, a question by an identity, have at least half as many answers as the largest one.
_EVEN = 0.8


def shared(answers: Sequence[Answer]) -> float:
    """The share of the answers to identities whose question another identity was asked, too, in the same suite."""
    asked: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    to_people = _to_people(answers)
    for answer in to_people:
        asked[answer.suite, answer.item].add(answer.identity)
    both = sum(len(asked[answer.suite, answer.item]) > 1 for answer in to_people)
    return both / len(to_people) if to_people else 0.0


def evenly(answers: Sequence[Answer]) -> bool:
    """Whether questions were asked about equally often, as who plans a study asks them.

    Where people type what they like, or choose from a menu, some questions come dozens of times and others once; then
    questions that are shared do not make answers paired.
    """
    counts = Counter((answer.suite, answer.item, answer.identity) for answer in _to_people(answers))
    if not counts:
        return False
    largest: dict[str, int] = {}
    for (suite, _, _), count in counts.items():
        largest[suite] = max(largest.get(suite, 0), count)
    even = sum(2 * count >= largest[suite] for (suite, _, _), count in counts.items())
    return even >= _EVEN * len(counts)


def is_paired(answers: Sequence[Answer], share: float) -> bool:
    """Whether shared questions make answers paired: half of them, where a few greetings do not, asked evenly.

    Args:
        answers: all of them.
        share: of them whose question another identity was asked (:func:`shared`).
    """
    return share >= HALF and evenly(answers)


def _to_people(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.category != BASELINE_CATEGORY]

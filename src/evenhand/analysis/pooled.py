"""F1 pooled over answers (micro average), as papers report it that count things within answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ALL_KINDS = "all"
# Right, extra and missing.
Counted = tuple[int, int, int]


@dataclass(frozen=True)
class Pooled:
    """Precision, recall and F1 of one kind of things, over all answers of an identity.

    Attributes:
        suite, personalizer, identity: whose answers.
        kind: what was counted; "all" for all kinds together.
        precision, recall, f1: in percent; None where nothing was said, or nothing was to be said.
        answers: how many answers count.
    """

    suite: str
    personalizer: str
    identity: str
    kind: str
    precision: float | None
    recall: float | None
    f1: float | None
    answers: int


def pooled(rows: Iterable[tuple[tuple[str, str, str], Mapping[str, Counted]]]) -> tuple[Pooled, ...]:
    """Precision, recall and F1 per suite, personalizer, identity and kind.

    Args:
        rows: for each answer its suite, personalizer and identity, and what was counted in it, by kind.
    """
    sums: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    answers: dict[tuple[str, str, str], int] = {}
    for whose, counted in rows:
        answers[whose] = answers.get(whose, 0) + 1
        kinds = sums.setdefault(whose, {ALL_KINDS: [0, 0, 0]})
        for kind, counts in counted.items():
            for total in (kinds.setdefault(kind, [0, 0, 0]), kinds[ALL_KINDS]):
                for place, count in enumerate(counts):
                    total[place] += count
    return tuple(
        Pooled(*whose, kind, *_shares(*counts), answers[whose])
        for whose, kinds in sums.items()
        for kind, counts in kinds.items()
    )


def _shares(right: int, extra: int, missing: int) -> tuple[float | None, float | None, float | None]:
    weights = (right + extra, right + missing, right + (extra + missing) / 2)
    precision, recall, f1 = (100 * right / weight if weight else None for weight in weights)
    return precision, recall, f1

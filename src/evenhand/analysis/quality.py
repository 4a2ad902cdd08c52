"""How right the judges of a study are, by its own hand-labelled sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.analysis.agreement import Agreement, DifferentialError, agreement, differential_error, side

_SUITE, _IDENTITY, _SCORE, _HUMAN = 0, 5, 8, 11


@dataclass(frozen=True)
class JudgeQuality:
    """One suite's judge against the study's labels.

    Attributes:
        suite: which.
        agreement: classes "good" and "bad": a score of at least one half is good.
        differential: whether the errors differ between identities.
    """

    suite: str
    agreement: Agreement
    differential: DifferentialError


def judge_quality(rows: Sequence[Sequence[Any]], *, permutations: int = 2000, seed: int = 0) -> list[JudgeQuality]:
    """The judges' quality on every suite that has labels.

    Args:
        rows: columns :data:`evenhand.analysis.scores.COLUMNS`.
        permutations, seed: of the test of differential error.
    """
    found = []
    for suite in dict.fromkeys(row[_SUITE] for row in rows):
        labelled = [r for r in rows if r[_SUITE] == suite and r[_HUMAN] is not None and r[_SCORE] is not None]
        if len(labelled) < 2:
            continue
        people, judge = [float(r[_HUMAN]) for r in labelled], [float(r[_SCORE]) for r in labelled]
        found.append(
            JudgeQuality(
                suite,
                agreement([side(p) for p in people], [side(j) for j in judge], seed=seed),
                differential_error(
                    [r[_IDENTITY] for r in labelled], people, judge, permutations=permutations, seed=seed
                ),
            )
        )
    return found

"""How right the judges of a study are, by its own hand-labelled sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.analysis.agreement import Agreement, DifferentialError, agreement, differential_error, side
from evenhand.types import ScoreRow


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


def judge_quality(rows: Sequence[ScoreRow], *, permutations: int = 2000, seed: int = 0) -> list[JudgeQuality]:
    """The judges' quality on every suite that has labels.

    Args:
        rows: one per response.
        permutations, seed: of the test of differential error.
    """
    found = []
    for suite in dict.fromkeys(row.suite for row in rows):
        labelled = [
            (r.identity, r.human, r.score)
            for r in rows
            if r.suite == suite and r.human is not None and r.score is not None
        ]
        if len(labelled) < 2:
            continue
        names = [name for name, _, _ in labelled]
        people, judge = [human for _, human, _ in labelled], [score for _, _, score in labelled]
        found.append(
            JudgeQuality(
                suite,
                agreement([side(p) for p in people], [side(j) for j in judge], seed=seed),
                differential_error(names, people, judge, permutations=permutations, seed=seed),
            )
        )
    return found

"""How right the judges of a study are, by its own hand-labelled sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenhand.analysis.agreement import Agreement, DifferentialError, agreement, differential_error, side
from evenhand.scored import ScoreRows


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


def judge_quality(rows: Iterable[Sequence[Any]], *, permutations: int = 2000, seed: int = 0) -> list[JudgeQuality]:
    """The judges' quality on every suite that has labels.

    Args:
        rows: one per response.
        permutations, seed: of the test of differential error.
    """
    rows, found = ScoreRows.of(rows), []
    by_suite = rows.where(rows.is_scored & np.isfinite(rows.human)).by("suite")
    for suite in rows.column("suite").present():
        labelled = by_suite.get(suite)
        if labelled is None or len(labelled) < 2:
            continue
        names = [row.identity for row in labelled]
        people, judge = labelled.human.tolist(), labelled.score.tolist()
        found.append(
            JudgeQuality(
                suite,
                agreement([side(p) for p in people], [side(j) for j in judge], seed=seed),
                differential_error(names, people, judge, permutations=permutations, seed=seed),
            )
        )
    return found

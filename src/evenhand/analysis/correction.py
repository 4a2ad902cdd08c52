"""Correcting scores for the judge's error with a hand-labelled sample: prediction-powered inference.

The judge scores everything, people label a random sample. For each response the analysis uses

    z = lam * judge + (labelled / share) * (people - lam * judge)

whose mean is that of people's labels, whatever the judge does wrong and for whomever: an unbiased estimator
(Angelopoulos et al., "Prediction-powered inference", arXiv 2301.09633). ``lam`` is tuned as in "PPI++" (arXiv
2311.01453): near one when the judge is good, near zero when it is useless. As z takes the place of the score, every
interval and test that follows carries the noise of the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.types import ScoreRow

MIN_LABELS = 30


@dataclass(frozen=True)
class Correction:
    """How one suite's scores were corrected.

    Attributes:
        suite: which.
        labels: responses that people labelled and the judge scored.
        responses: responses the judge scored.
        lam: weight of the judge, in [0, 1].
        shift: what the correction adds to the suite's mean, in points.
    """

    suite: str
    labels: int
    responses: int
    lam: float
    shift: float


def power(people: Sequence[float], judge: Sequence[float]) -> float:
    """The weight of the judge that makes the estimate most precise: the slope of people's labels on the judge's scores.

    Args:
        people, judge: scores of the labelled responses.

    Returns:
        In [0, 1]; 0 when the judge says the same about everything.
    """
    x, y = np.asarray(judge, float), np.asarray(people, float)
    spread = float(((x - x.mean()) ** 2).sum())
    return float(np.clip(((x - x.mean()) * (y - y.mean())).sum() / spread, 0.0, 1.0)) if spread > 0 else 0.0


def correct(rows: Sequence[ScoreRow]) -> tuple[list[ScoreRow], list[Correction]]:
    """Scores freed from the judge's error, for suites with at least ``MIN_LABELS`` labels.

    Args:
        rows: one per response.

    Returns:
        The rows with new scores (which may lie outside [0, 1] one by one; their means estimate people's), and what was
        done. Responses that the judge could not score stay missing.
    """
    found: list[Correction] = []
    factors: dict[str, tuple[float, float]] = {}
    for suite in dict.fromkeys(row.suite for row in rows):
        scored = [(row.score, row.human) for row in rows if row.suite == suite and row.score is not None]
        labelled = [(score, human) for score, human in scored if human is not None]
        if len(labelled) < MIN_LABELS:
            continue
        lam = power([human for _, human in labelled], [score for score, _ in labelled])
        share = len(labelled) / len(scored)
        factors[suite] = (lam, share)
        after = [_corrected(score, human, lam, share) for score, human in scored]
        shift = 100 * float(np.mean(after) - np.mean([score for score, _ in scored]))
        found.append(Correction(suite, len(labelled), len(scored), lam, shift))
    changed = [
        row._replace(score=_corrected(row.score, row.human, *factors[row.suite]))
        if row.suite in factors and row.score is not None
        else row
        for row in rows
    ]
    return changed, found


def _corrected(score: float, human: float | None, lam: float, share: float) -> float:
    judged = lam * score
    return judged if human is None else judged + (human - judged) / share

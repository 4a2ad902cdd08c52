"""Correcting scores for the judge's error with a hand-labelled sample: prediction-powered inference.

The judge scores everything, people label a random sample (Angelopoulos et al., "Prediction-powered inference", arXiv
2301.09633). :mod:`evenhand.analysis.judge_error` says what each identity's mean becomes and how uncertain that is.
Scores are changed accordingly, and noise with exactly this variance is spread over the items, so that every interval
and test that follows carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from evenhand.analysis.judge_error import Codes, Floats, JudgeError, Responses, judge_error
from evenhand.analysis.scores import places_of
from evenhand.scored import ScoreRows

MIN_LABELS = 20


@dataclass(frozen=True)
class IdentityCorrection:
    """How one identity's scores were corrected.

    Attributes:
        identity: whose.
        labels: responses that people labelled.
        own: how far the identity's own labels decide, in [0, 1]; the rest is the common error.
        shift: what the correction adds to the identity's mean, in points.
        error: standard error of that beside the common shift, in points, with what few labels may have missed.
    """

    identity: str
    labels: int
    own: float
    shift: float
    error: float


@dataclass(frozen=True)
class Correction:
    """How one suite's scores were corrected.

    Attributes:
        suite: which.
        labels: responses that people labelled and the judge scored.
        responses: responses the judge scored.
        lam: slope of people's scores on the judge's, in [0, 1].
        shift: what the correction adds to the suite's mean, in points.
        spread: how much the judge's error was taken to differ between identities, as a standard deviation in points.
        identities: per identity and baseline.
        allowance: how much of the noise's variance per identity mean stands for errors that few labels may have
            missed, in squared points: it widens intervals, and is no noise that the plug-in number contains.
    """

    suite: str
    labels: int
    responses: int
    lam: float
    shift: float
    spread: float
    identities: tuple[IdentityCorrection, ...]
    allowance: float


def correct(rows: Iterable[Sequence[Any]]) -> tuple[ScoreRows, list[Correction]]:
    """Scores freed from the judge's error, for suites with at least ``MIN_LABELS`` labels.

    Args:
        rows: one per response.

    Returns:
        The rows with new scores (which may lie outside [0, 1] one by one; their means per identity estimate people's),
        and what was done. Responses that the judge could not score stay missing.
    """
    rows, found = ScoreRows.of(rows), []
    changed, suites = rows.score.copy(), rows.column("suite")
    for number, suite in enumerate(suites.present()):
        places = np.flatnonzero(suites.is_in([suite]) & rows.is_scored)
        if np.isfinite(rows.human[places]).sum() < MIN_LABELS:
            continue
        members = rows.where(places)
        names = members.column("identity").present()
        responses = _responses(members, names)
        error = judge_error(responses)
        scores = error.corrected(responses) + _noise(error, responses, np.random.default_rng(number))
        changed[places] = scores
        baselines = set(members.where(members.is_baseline).column("identity").present())
        found.append(_done(suite, names, baselines, responses, error, scores))
    return (rows.scored(changed), found) if found else (rows, found)


def _responses(rows: ScoreRows, names: Sequence[str]) -> Responses:
    unit = rows.unit
    order = np.argsort(np.argsort(np.asarray(unit.names)))
    clusters = np.unique(order[unit.codes], return_inverse=True)[1]
    return Responses(places_of(rows.column("identity"), names), clusters, rows.score, rows.human)


def _noise(error: JudgeError, responses: Responses, rng: np.random.Generator) -> Floats:
    """Noise that leaves each identity's mean as it is and gives it the variance of its correction, shape (N,)."""
    clusters = int(responses.cluster.max()) + 1
    pattern = _pattern(clusters, error.weight.size + 1, rng)
    own, common = pattern[:, :-1], pattern[:, -1]
    # Student's t for variances from few labels.
    size = np.sqrt(error.variance) * stats.t.ppf(0.975, error.freedom) / stats.norm.ppf(0.975)
    shared = (1 - error.weight) * np.sqrt(error.common_variance)
    who, what = responses.identity, responses.cluster
    drawn = size[who] * own[what, who] + shared[who] * common[what]
    return np.asarray(drawn - _means(drawn, who)[who])


def _pattern(clusters: int, columns: int, rng: np.random.Generator) -> Floats:
    """Uncorrelated columns of noise over clusters, each of which makes a mean vary by 1, shape (C, columns)."""
    drawn = rng.standard_normal((clusters, columns))
    drawn -= drawn.mean(axis=0)
    if clusters > columns:
        drawn = np.linalg.qr(drawn)[0]
    else:
        drawn /= np.maximum(np.linalg.norm(drawn, axis=0), 1e-12)
    return np.asarray(drawn * np.sqrt(clusters * (clusters - 1.0)))


def _done(
    suite: str,
    names: Sequence[str],
    baselines: set[str],
    responses: Responses,
    error: JudgeError,
    scores: Floats,
) -> Correction:
    shift = _means(scores - responses.judge, responses.identity)
    compared = [k for k, name in enumerate(names) if name not in baselines]
    widened = error.variance * (stats.t.ppf(0.975, error.freedom) / stats.norm.ppf(0.975)) ** 2
    return Correction(
        suite,
        int(error.labels.sum()),
        len(scores),
        error.lam,
        100 * float((scores - responses.judge).mean()),
        100 * error.spread,
        tuple(
            IdentityCorrection(
                name, int(error.labels[k]), float(error.weight[k]), 100 * float(shift[k]),
                100 * float(np.sqrt(error.variance[k])),
            )
            for k, name in enumerate(names)
        ),
        1e4 * float((widened - error.seen)[compared].mean()) if compared else 0.0,
    )  # fmt: skip


def _means(values: Floats, code: Codes) -> Floats:
    return np.asarray(np.bincount(code, values) / np.bincount(code))


def correction_note(done: Correction) -> str:
    """What was corrected, by what, and how the identities' errors were told apart; for the notes of an analysis."""
    shares = [round(100 * person.own) for person in done.identities]
    own = f"{min(shares)} to {max(shares)} %" if min(shares) < max(shares) else f"{shares[0]} %"
    return (
        f"{done.suite}: corrected for the judge's error with {done.labels} labels made by people (of {done.responses} "
        f"responses), which moves its mean by {done.shift:+.1f} points; intervals carry the sample's noise. "
        f"The error was taken to differ by {done.spread:.1f} points between identities; "
        f"an identity's own labels weigh {own}."
    )

"""Answers that different people got to questions of their own: means per identity, raw and balanced, and disparity.

Without pairing a difference may come from what is asked as much as from who asks. Balancing weighs each identity's
answers so that their covariates (groups of items, and what the user named) have the means of everybody's: entropy
balancing (Hainmueller 2012, Political Analysis 20, 25-46, equations 4-8), whose estimate is right where either the
weights or a linear model of the score is (Zhao and Percival 2017, Journal of Causal Inference 5, section 3). Errors
come from each answer's influence on its mean, summed by cluster, so that one human with many answers is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import f as fisher
from scipy.stats import false_discovery_control, ncf
from scipy.stats import t as student

from evenhand.analysis.balance import balancing_weights, design_matrix
from evenhand.analysis.marginals import cluster_codes, summed_by
from evenhand.analysis.scores import Floats
from evenhand.types import Axis

# Fewer clusters say nothing of how much their mean varies.
MIN_CLUSTERS = 5
Counted = Literal["people", "questions"]
# Weights that leave less than this share of the answers' worth rest on few of them.
_THIN = 0.3
_TOP = 100.0


@dataclass(frozen=True)
class UnpairedMean:
    """What one identity got.

    Attributes:
        identity: who.
        answers, clusters: scored answers, and how many clusters (people, conversations) they are of.
        raw, raw_ci: mean score in points with its interval.
        mean, ci: the same after balancing; as raw where nothing was balanced.
        worth: answers that the balanced mean is worth (Kish's effective sample size).
        deviation, deviation_ci: of ``mean`` from the mean over identities.
        p_value, q_value: of the deviation, and with the false-discovery rate over all of the suite's controlled.
    """

    identity: str
    answers: int
    clusters: int
    raw: float
    raw_ci: tuple[float, float]
    mean: float
    ci: tuple[float, float]
    worth: float
    deviation: float
    deviation_ci: tuple[float, float]
    p_value: float
    q_value: float


@dataclass(frozen=True)
class Unpaired:
    """The disparity of one suite's unpaired answers.

    Attributes:
        suite, axis: which.
        disparity: root mean square deviation of the identities' means from their mean, in points, freed from noise: 0
            where there is less than noise makes.
        ci: its interval.
        p_value: of "the means are alike".
        raw: the disparity before balancing.
        identities: a mean each, the lowest first.
        balanced_for: what was balanced.
        too_few: identities with too few clusters to say anything of; they are in no figure.
        apart: identities whose answers cannot be weighed to be like everybody's; nothing is balanced then.
        thin: identities whose balanced mean rests on few answers.
        notes: what must be said first.
        counted: what a cluster is: one of the people (or conversations) that the answers name, or a question where
            they name nobody.
    """

    suite: str
    axis: Axis
    disparity: float
    ci: tuple[float, float]
    p_value: float
    raw: float
    identities: tuple[UnpairedMean, ...]
    balanced_for: tuple[str, ...]
    too_few: tuple[str, ...]
    apart: tuple[str, ...]
    thin: tuple[str, ...]
    notes: tuple[str, ...]
    counted: Counted = "people"


@dataclass(frozen=True)
class Answers:
    """A suite's scored answers.

    Attributes:
        suite, axis: which.
        scores: in points, shape (n,).
        identities, clusters: of each answer.
        covariates: name -> a value for each answer; text, a number, or None where it is not known.
        counted: what the clusters are.
    """

    suite: str
    axis: Axis
    scores: Floats
    identities: Sequence[str]
    clusters: Sequence[str]
    covariates: Mapping[str, Sequence[str | float | None]]
    counted: Counted = "people"


@dataclass(frozen=True)
class _Fit:
    """Means with the influence of every cluster on each, shape (clusters, identities)."""

    means: Floats
    influence: Floats
    worth: Floats

    def covariance(self, clusters: NDArray[np.intp]) -> Floats:
        """Of the means, shape (U, U): from the clusters, and never less than so many answers can tell."""
        found = self.influence.T @ self.influence * (clusters / (clusters - 1))
        share = np.clip(self.means / _TOP, 0, 1)
        # Agresti and Coull (1998): two more answers of each kind, so that means at 0 or 100 have an error.
        few = np.minimum(self.worth, clusters)
        eased = (share * few + 2) / (few + 4)
        least = _TOP**2 * eased * (1 - eased) / (few + 4)
        missing = np.maximum(least - np.diag(found), 0.0)
        at_an_end = (self.means <= 0) | (self.means >= _TOP)
        return np.asarray(found + np.diag(np.where(at_an_end, missing, 0.0)))


def unpaired(data: Answers, *, level: float = 0.95) -> Unpaired | None:
    """Means per identity of unpaired answers, balanced for their covariates, and how far apart they are.

    Args:
        data: a suite's scored answers, without those of baselines.
        level: confidence of the intervals.

    Returns:
        None where fewer than two identities have enough clusters to say anything of.
    """
    names, few = _enough(data)
    if len(names) < 2:
        return None
    kept = np.array([name in names for name in data.identities])
    scores, code = data.scores[kept], np.array([names.index(n) for n in data.identities if n in names])
    cluster = cluster_codes([c for c, keep in zip(data.clusters, kept, strict=True) if keep])
    counts = np.array([len(np.unique(cluster[code == u])) for u in range(len(names))])
    raw = _means(scores, code, cluster, None, [np.full(n, 1 / n) for n in np.bincount(code)])
    matrix, balanced_for = design_matrix(
        {k: [v for v, keep in zip(c, kept, strict=True) if keep] for k, c in data.covariates.items()}
    )
    weights = (
        [balancing_weights(matrix[code == u], matrix.mean(axis=0)) for u in range(len(names))] if balanced_for else []
    )
    apart = tuple(name for name, found in zip(names, weights, strict=False) if found is None)
    usable = [found for found in weights if found is not None]
    fit = _means(scores, code, cluster, matrix, usable) if balanced_for and not apart else raw
    balanced_for = balanced_for if fit is not raw else ()
    thin = tuple(n for n, w, all_ in zip(names, fit.worth, np.bincount(code), strict=True) if w < _THIN * all_)
    disparity, ci, p_value = _disparity(fit, counts, level)
    return Unpaired(
        data.suite,
        data.axis,
        disparity,
        ci,
        p_value,
        _disparity(raw, counts, level)[0],
        tuple(sorted(_rows(names, code, counts, raw, fit, level), key=lambda row: row.mean)),
        balanced_for,
        few,
        apart,
        thin,
        _notes(balanced_for, few, apart, thin, data.counted),
        data.counted,
    )


def _enough(data: Answers) -> tuple[list[str], tuple[str, ...]]:
    clusters: dict[str, set[str]] = {}
    for identity, cluster in zip(data.identities, data.clusters, strict=True):
        clusters.setdefault(identity, set()).add(cluster)
    names = [name for name, found in clusters.items() if len(found) >= MIN_CLUSTERS]
    return names, tuple(name for name in clusters if name not in names)


def _means(
    scores: Floats, code: NDArray[np.intp], cluster: NDArray[np.intp], matrix: Floats | None, weights: Sequence[Floats]
) -> _Fit:
    """Weighted means, and what each cluster adds to their errors.

    An answer moves its identity's mean by what a regression on the covariates leaves of it, and every answer moves the
    means to which all are balanced.
    """
    influence = np.zeros((len(scores), len(weights)))
    means, worth = np.empty(len(weights)), np.empty(len(weights))
    for u, weight in enumerate(weights):
        own = code == u
        means[u] = weight @ scores[own]
        worth[u] = 1 / (weight @ weight)
        rest, parameters = scores[own] - means[u], 1
        if matrix is not None:
            away = matrix - matrix.mean(axis=0)
            slope = np.linalg.lstsq(away[own] * np.sqrt(weight)[:, None], rest * np.sqrt(weight), rcond=None)[0]
            rest = rest - away[own] @ slope
            influence[:, u] = away @ slope / len(scores)
            parameters += matrix.shape[1]
        groups = len(np.unique(cluster[own]))
        influence[own, u] += weight * rest * math.sqrt(groups / max(groups - parameters, 1))
    return _Fit(means, summed_by(cluster, influence), worth)


def _disparity(fit: _Fit, counts: NDArray[np.intp], level: float) -> tuple[float, tuple[float, float], float]:
    """(corrected disparity, interval, p), by moments of a quadratic form in normal means (Satterthwaite)."""
    size = fit.means.size
    centre = np.eye(size) - 1 / size
    noise = centre @ fit.covariance(counts) @ centre
    sum_, squares = float(np.trace(noise)), float(np.trace(noise @ noise))
    length = float(((fit.means - fit.means.mean()) ** 2).sum())
    corrected = math.sqrt(max(length - sum_, 0.0) / size)
    scale, freedom = squares / sum_, sum_**2 / squares
    others = float((counts - 1).sum())
    # Two-sided, so that p is below 0.05 just where the interval at 95 % leaves out 0.
    p_value = min(1.0, 2 * float(fisher.sf(length / sum_, freedom, others)))

    def plausible(true: float, error: float) -> float:
        return float(ncf.cdf(length / sum_, freedom, others, true / scale)) - error

    tail = (1 - level) / 2
    most = length + 40 * math.sqrt(squares) + 40 * math.sqrt(sum_ * max(length, sum_)) + sum_
    high = brentq(plausible, 0.0, most, args=(tail,)) if plausible(0.0, tail) > 0 else 0.0
    # Noise alone is never proof that there is less than noise: the upper end is at least what it hides.
    high = max(float(high), sum_)
    low = brentq(plausible, 0.0, high, args=(1 - tail,)) if plausible(0.0, 1 - tail) > 0 else 0.0
    return corrected, (math.sqrt(float(low) / size), math.sqrt(high / size)), p_value


def _rows(
    names: Sequence[str], code: NDArray[np.intp], counts: NDArray[np.intp], raw: _Fit, fit: _Fit, level: float
) -> list[UnpairedMean]:
    size = len(names)
    centre = np.eye(size) - 1 / size
    spread = fit.covariance(counts)
    errors = [np.sqrt(np.diag(c)) for c in (raw.covariance(counts), spread, centre @ spread @ centre)]
    deviation = fit.means - fit.means.mean()
    freedom = counts - 1.0
    p_values = 2 * student.sf(np.abs(deviation) / errors[2], freedom)
    q_values = false_discovery_control(p_values)
    reach = student.ppf(0.5 + level / 2, freedom)
    return [
        UnpairedMean(
            name,
            int((code == u).sum()),
            int(counts[u]),
            float(raw.means[u]),
            _within(raw.means[u], reach[u] * errors[0][u]),
            float(fit.means[u]),
            _within(fit.means[u], reach[u] * errors[1][u]),
            float(fit.worth[u]),
            float(deviation[u]),
            (float(deviation[u] - reach[u] * errors[2][u]), float(deviation[u] + reach[u] * errors[2][u])),
            float(p_values[u]),
            float(q_values[u]),
        )
        for u, name in enumerate(names)
    ]


def _within(mean: float, reach: float) -> tuple[float, float]:
    return max(0.0, float(mean - reach)), min(_TOP, float(mean + reach))


def _notes(
    balanced_for: Sequence[str], few: Sequence[str], apart: Sequence[str], thin: Sequence[str], counted: Counted
) -> tuple[str, ...]:
    said = (
        "Different people asked different questions: a difference may come from what they asked and how, not from who "
        "they are. It is no personalization bias; ask all the same questions to measure that."
    )
    notes = [said]
    if balanced_for:
        notes.append(f"Balanced for {', '.join(balanced_for)}, and for nothing else.")
    elif apart:
        notes.append(
            f"Not balanced: no weights make what {_listed(apart)} asked like what all asked. The means are raw."
        )
    else:
        notes.append("Not balanced for anything: the means are raw.")
    if few:
        what = "people or conversations" if counted == "people" else "different questions"
        notes.append(f"{_listed(few)}: fewer than {MIN_CLUSTERS} {what}, left out.")
    if thin:
        notes.append(f"The balanced means of {_listed(thin)} rest on few of their answers.")
    return tuple(notes)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

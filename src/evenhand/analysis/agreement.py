"""How well a judge agrees with people, and whether it errs alike for everybody."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from evenhand.analysis.resampling import permutation_p_values

Side = Literal["good", "bad"]
# Fewer of an identity's labels in a class say nothing of how many of that class a judge finds there.
PER_IDENTITY = 10


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where it cannot be computed.

    Attributes:
        value: the estimate.
        ci: 95 % interval.
        n: how many responses it rests on.
    """

    value: float
    ci: tuple[float, float]
    n: int


@dataclass(frozen=True)
class Agreement:
    """A judge's classes against people's, on the same responses.

    Attributes:
        n: responses with both.
        missing: responses that the judge gave no verdict on; they are in no figure.
        accuracy: share judged as people did (Wilson interval).
        balanced_accuracy: mean of the recalls of people's classes, each class weighing the same.
        kappa: Cohen's kappa, agreement beyond chance, in [-1, 1].
        recall: people's class -> share of it that the judge finds.
        confusion: people's class -> judge's class -> responses.
    """

    n: int
    missing: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    kappa: Estimate
    recall: dict[str, Estimate]
    confusion: dict[str, dict[str, int]]


@dataclass(frozen=True)
class ErrorOf:
    """A judge's error on one identity's responses.

    Attributes:
        identity: whose responses.
        n: labelled responses.
        wrong: share judged unlike people did.
        shift: mean of the judge's score minus people's, in points: above zero, the judge flatters the identity.
        recall: "good" and "bad" -> share of what people called so that the judge finds; only where they are at least
            ``PER_IDENTITY``.
    """

    identity: str
    n: int
    wrong: Estimate
    shift: Estimate
    recall: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class DifferentialError:
    """Whether a judge errs differently between identities.

    An error that is the same for all moves every score alike and leaves the differences right; one that differs makes
    a bias where there is none, or hides one.

    Attributes:
        by_identity: per identity, in the order given.
        spread: standard deviation between identities of their shifts, in points.
        p_value: of that spread if the identities were interchangeable (labels shuffled).
    """

    by_identity: tuple[ErrorOf, ...]
    spread: float
    p_value: float


def side(score: float) -> Side:
    """The class of a score in [0, 1]: "good" from one half on."""
    return "good" if score >= 0.5 else "bad"


def wilson(hits: int, n: int, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval.

    Args:
        hits: how many of ``n``.
        n: the total; 0 gives NaN with the interval (0, 1).
        level: confidence.
    """
    if n == 0:
        return Estimate(math.nan, (0.0, 1.0), 0)
    low, high = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    return Estimate(hits / n, (float(low), float(high)), n)


def share_of_people(shares: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of one share for each person, with Wilson's interval over people.

    Values in [0, 1] with mean p vary by no more than p (1 - p), the variance that the interval is made for: it holds,
    and is wide where people differ less from each other than one yes or no.

    Args:
        shares: in [0, 1], one for each person; none gives NaN with the interval (0, 1).
        level: confidence.
    """
    n = len(shares)
    if n == 0:
        return Estimate(math.nan, (0.0, 1.0), 0)
    mean, z = math.fsum(shares) / n, float(stats.norm.ppf(0.5 + level / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(mean, (max(centre - half, 0.0), min(centre + half, 1.0)), n)


def agreement(
    people: Sequence[str], judge: Sequence[str | None], *, draws: int = 4000, seed: int = 0, level: float = 0.95
) -> Agreement:
    """Compare a judge's classes with people's.

    Args:
        people: the right class of each response.
        judge: the judge's class, None where it gave no verdict.
        draws, seed: of the bootstrap behind the intervals of balanced accuracy and kappa.
        level: confidence of the intervals.

    Raises:
        ValueError: the sequences differ in length, or nothing was judged.
    """
    # Counted as they come: a large study has millions of pairs.
    counts = {(p, j): n for (p, j), n in Counter(zip(people, judge, strict=True)).items() if j is not None}
    if not counts:
        raise ValueError("the judge gave no verdict on any of the responses")
    classes = sorted({c for pair in counts for c in pair})
    code = {c: k for k, c in enumerate(classes)}
    table = np.zeros((len(classes), len(classes)))
    for (p, j), count in counts.items():
        table[code[p], code[j]] = count
    n = sum(counts.values())
    rng = np.random.default_rng(seed)
    # Drawing responses with replacement is drawing the cells of the table.
    drawn = rng.multinomial(n, table.ravel() / n, size=draws).reshape(draws, *table.shape).astype(float)
    tails = ((1 - level) / 2, (1 + level) / 2)
    balanced, kappas = balanced_accuracy(drawn), kappa(drawn)
    return Agreement(
        n=n,
        missing=len(people) - n,
        accuracy=wilson(int(np.trace(table)), n, level),
        balanced_accuracy=_estimate(balanced_accuracy(table), balanced, tails, n),
        kappa=_estimate(kappa(table), kappas, tails, n),
        recall={
            c: wilson(int(table[k, k]), int(table[k].sum()), level) for c, k in code.items() if table[k].sum()
        },
        confusion={
            c: {d: int(table[k, m]) for d, m in code.items()} for c, k in code.items() if table[k].sum()
        },
    )  # fmt: skip


def balanced_accuracy(table: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur.

    Args:
        table: shape (..., C, C), people's class in rows, the judge's in columns.
    """
    rows = table.sum(axis=-1)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    recall = np.divide(hits, rows, out=np.zeros_like(hits), where=rows > 0)
    return np.asarray(recall.sum(axis=-1) / np.maximum((rows > 0).sum(axis=-1), 1))


def kappa(table: np.ndarray) -> np.ndarray:
    """Cohen's kappa; 1 where both use one class only and agree.

    Args:
        table: shape (..., C, C).
    """
    n = table.sum(axis=(-2, -1))
    observed = np.trace(table, axis1=-2, axis2=-1) / n
    chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / n**2
    return np.asarray(np.divide(observed - chance, 1 - chance, out=np.ones_like(observed), where=chance < 1))


def differential_error(
    identities: Sequence[str],
    people: Sequence[float],
    judge: Sequence[float],
    *,
    permutations: int = 4000,
    seed: int = 0,
) -> DifferentialError:
    """Compare a judge's errors between identities.

    Args:
        identities: whose response each one is.
        people, judge: scores in [0, 1].
        permutations, seed: of the test.
    """
    names = list(dict.fromkeys(identities))
    code = np.array([names.index(i) for i in identities])
    error = 100.0 * (np.asarray(judge, float) - np.asarray(people, float))
    good = np.asarray(people, float) >= 0.5
    wrong = (np.asarray(judge, float) >= 0.5) != good
    found = tuple(_error_of(name, error[code == k], wrong[code == k], good[code == k]) for k, name in enumerate(names))
    counts = np.bincount(code, minlength=len(names))
    rng = np.random.default_rng(seed)
    shuffled = np.stack([_between(rng.permutation(error), code, counts) for _ in range(permutations)])
    observed = _between(error, code, counts)
    spread = float(np.std([e.shift.value for e in found])) if found else math.nan
    return DifferentialError(found, spread, float(permutation_p_values(shuffled, observed)))


def _between(error: np.ndarray, code: np.ndarray, counts: np.ndarray) -> float:
    """Sum of squares between identities: how much the mean errors differ, each by its number of labels."""
    means = np.bincount(code, error, minlength=len(counts)) / counts
    return float((counts * (means - error.mean()) ** 2).sum())


def _error_of(name: str, error: np.ndarray, wrong: np.ndarray, good: np.ndarray) -> ErrorOf:
    n = len(error)
    margin = float(stats.t.ppf(0.975, n - 1) * error.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    mean = float(error.mean())
    shift = Estimate(mean, (max(mean - margin, -100.0), min(mean + margin, 100.0)), n)
    classes = {"good": good, "bad": ~good}
    recall = {
        c: wilson(int((~wrong & of).sum()), int(of.sum())) for c, of in classes.items() if of.sum() >= PER_IDENTITY
    }
    return ErrorOf(name, n, wilson(int(wrong.sum()), n), shift, recall)


def _estimate(value: np.ndarray, draws: np.ndarray, tails: tuple[float, float], n: int) -> Estimate:
    low, high = np.quantile(draws, tails)
    return Estimate(float(value), (float(low), float(high)), n)

"""What a study's numbers are about: the items it asked, or all items like them.

A suite's items are a sample of what one could ask. About *items like these*, each item is noise. About *these items*,
the suite's own pool of N, asking M of them leaves ``1 - M/N`` of the noise between items (the finite-population
correction, Cochran 1977), and all of the noise within items, which comes from sampled decoding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evenhand.analysis.marginals import Marginals, suite_marginals
from evenhand.analysis.scores import SuiteScores

Estimand = Literal["items-like-these", "these-items"]
ESTIMANDS: tuple[Estimand, Estimand] = ("items-like-these", "these-items")


@dataclass(frozen=True)
class Pool:
    """What a suite's items were drawn from.

    Attributes:
        items: how many there are.
        greedy: whether an answer to an item is always the same, so that asking it once tells all.
    """

    items: int
    greedy: bool


def noise_scales(estimand: Estimand, tables: Sequence[SuiteScores], pools: Mapping[str, Pool]) -> dict[str, float]:
    """Suite -> :func:`noise_scale`; none about items like these, and none of suites without a known pool."""
    if estimand == "items-like-these":
        return {}
    return {t.suite: noise_scale(t, pools[t.suite]) for t in tables if t.suite in pools}


def noise_scale(scores: SuiteScores, pool: Pool) -> float:
    """The factor on the error of identity means when they are about the pool's items only, in [0, 1].

    The variance that is left is ``(1 - M/N) between + within`` of a total of ``between + within``; with one repeat of
    sampled answers the two cannot be told apart, and the factor is 1.

    Args:
        scores: the suite's.
        pool: what its items were drawn from.
    """
    # Of the items alone: however few there are, the ways of telling an identity are drawn from more.
    fit = replace(suite_marginals(scores), told=None)
    asked = min(fit.items / pool.items, 1.0) if pool.items else 0.0
    within = 0.0 if pool.greedy else within_share(scores, fit)
    return math.sqrt(max(1 - asked * (1 - within), 0.0))


def within_share(scores: SuiteScores, fit: Marginals) -> float:
    """The share of the error variance of identity means that comes from within items, in [0, 1]; 1 where unknown.

    Args:
        scores: the suite's; repeats tell what decoding adds.
        fit: its identity means.
    """
    there = np.isfinite(scores.cells)
    counts = there.sum(axis=3)
    freedom = (counts - 1).clip(min=0).sum(axis=(0, 2))
    total = float(np.trace(fit.covariance))
    if not freedom.all() or not total > 0:
        return 1.0
    filled = np.where(there, scores.cells, 0.0)
    means = filled.sum(axis=3) / np.maximum(counts, 1)
    squares = (np.where(there, scores.cells - means[..., None], 0.0) ** 2).sum(axis=(0, 2, 3))
    asked = np.maximum((counts > 0).sum(axis=(0, 2)), 1)
    variance = squares / freedom * np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0).sum(axis=(0, 2)) / asked**2
    return min(float(variance.sum() * (1 - 1 / variance.size) / total), 1.0)


def estimand_sentence(estimand: Estimand, tables: Sequence[SuiteScores], scales: Mapping[str, float]) -> str:
    """What the intervals and tests are about.

    Args:
        estimand: which was asked for.
        tables: the suites.
        scales: suite -> :func:`noise_scale`, as it was used.
    """
    told = " The ways of telling an identity are taken as drawn from more like them." if _several(tables) else ""
    if estimand == "items-like-these":
        return f"Intervals and tests are about items like these, of which the suites are samples.{told}"
    left = ", ".join(f"{scales.get(t.suite, 1.0) ** 2:.0%} for {t.suite}" for t in tables)
    groups = "Groups of items, personalizers and what missing answers could be are still about items like these."
    return (
        "Intervals and tests are about these items, the suites' own, and say nothing of others. Of the noise's "
        f"variance this leaves {left or 'nothing to tell'}. {groups}{told}"
    )


def _several(tables: Sequence[SuiteScores]) -> bool:
    return any(len(set(ways)) > 1 for t in tables for ways in t.ways)

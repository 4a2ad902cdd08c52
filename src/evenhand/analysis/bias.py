"""Personalization bias (PB): plug-in as in the paper, corrected for noise, with interval, test and noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.marginals import Marginals, comparable_blocks, marginals, suite_marginals
from evenhand.analysis.resampling import noise_draws, norm_interval, permutation_p_values, permuted_means
from evenhand.analysis.scores import Floats, SuiteScores


@dataclass(frozen=True)
class PBEstimate:
    """PB in points (0-100).

    Attributes:
        plugin: the paper's number (arXiv 2406.11107), ``sqrt(mean_u |f(u) - mean f|^2)``; positive even without bias.
        corrected: the square root of ``corrected_squared``, 0 where that is negative.
        corrected_squared: plug-in squared minus what noise adds to it; unbiased, can be negative.
        ci: 95 % interval of PB.
        p_value: permutation test of "no personalization bias"; NaN when not asked for.
        noise_floor: root mean square plug-in PB of this design if there were no bias; NaN when not asked for.
        identities: how many identities it compares.
        items: how many items it rests on.
    """

    plugin: float
    corrected: float
    corrected_squared: float
    ci: tuple[float, float]
    p_value: float
    noise_floor: float
    identities: int
    items: int


@dataclass(frozen=True)
class _Part:
    """One suite's contribution: fit, noise draws and null draws of its centred means."""

    fit: Marginals
    noise: Floats
    null: Floats

    def scaled(self, factor: float) -> _Part:
        """The same with errors this many times as large."""
        return _Part(self.fit.scaled(factor), factor * self.noise, factor * self.null)


class BiasEstimator:
    """Estimates PB for suites, axes and both axes jointly from one set of draws, so that the numbers are consistent.

    Args:
        tables: suites whose rows are the same identities.
        draws: bootstrap draws.
        permutations: permutation draws; 0 leaves the test out.
        seed: seed of all draws.
        scales: suite -> factor on its errors (:func:`evenhand.analysis.estimand.noise_scale`); 1 otherwise.
    """

    def __init__(
        self,
        tables: Sequence[SuiteScores],
        *,
        draws: int,
        permutations: int,
        seed: int,
        scales: Mapping[str, float] | None = None,
    ) -> None:
        self._tables = list(tables)
        self._parts: dict[str, _Part] = {}
        for table, stream in zip(self._tables, np.random.SeedSequence(seed).spawn(len(self._tables)), strict=True):
            values, clusters = comparable_blocks(table)
            rng = np.random.default_rng(stream)
            part = _part(suite_marginals(table), values, clusters, draws, permutations, rng)
            self._parts[table.suite] = part.scaled((scales or {}).get(table.suite, 1.0))

    def fit(self, suite: str) -> Marginals:
        """The suite's identity means."""
        return self._parts[suite].fit

    def null(self, suite: str) -> Floats:
        """The suite's centred means under shuffled labels, shape (permutations, identities)."""
        return self._parts[suite].null

    def noise(self, suite: str) -> Floats:
        """Draws of the error of the suite's centred means, shape (draws, identities)."""
        return self._parts[suite].noise

    def suite(self, suite: str) -> PBEstimate:
        return _estimate([[self._parts[suite]]])

    def axis(self, axis: str) -> PBEstimate | None:
        """PB of the axis score, the unweighted mean of its suites; None when no suite is on the axis."""
        parts = [self._parts[t.suite] for t in self._tables if t.axis == axis]
        return _estimate([parts]) if parts else None

    def joint(self) -> PBEstimate | None:
        """PB over both axes: ``PB_joint^2 = PB_safety^2 + PB_utility^2``; None when an axis has no suite."""
        axes = [[self._parts[t.suite] for t in self._tables if t.axis == a] for a in ("safety", "utility")]
        return _estimate(axes) if all(axes) else None


def estimate_pb(
    table: Floats, *, draws: int = 2000, permutations: int = 2000, seed: int = 0, clusters: Sequence[str] = ()
) -> PBEstimate:
    """PB of one identity x item table.

    Args:
        table: scores in points, shape (identities, items), NaN where missing.
        draws: bootstrap draws.
        permutations: permutation draws; 0 leaves the test out.
        seed: seed of all draws.
        clusters: per item what it shares with others; each item by itself when empty.

    Raises:
        ValueError: identities that share no scored item.
    """
    return _estimate(
        [[_part(marginals(table, clusters), table, clusters, draws, permutations, np.random.default_rng(seed))]]
    )


def _part(
    fit: Marginals, table: Floats, clusters: Sequence[str], draws: int, permutations: int, rng: np.random.Generator
) -> _Part:
    return _Part(fit, noise_draws(fit, draws, rng), permuted_means(table, fit, permutations, rng, clusters))


def _estimate(axes: Sequence[Sequence[_Part]]) -> PBEstimate:
    """PB of the vector whose components are axes, each the mean of its suites."""
    centred = np.concatenate([np.mean([p.fit.centred for p in parts], axis=0) for parts in axes])
    noise = np.hstack([np.mean([p.noise for p in parts], axis=0) for parts in axes])
    null = np.hstack([np.mean([p.null for p in parts], axis=0) for parts in axes])
    identities = axes[0][0].fit.mean.size
    root = math.sqrt(identities)
    squared = float(centred @ centred) / identities
    correction = sum(sum(p.fit.correction for p in parts) / len(parts) ** 2 for parts in axes)
    null_squared = np.einsum("bk,bk->b", null, null) / identities
    low, high = norm_interval(centred, noise)
    return PBEstimate(
        plugin=float(np.sqrt(squared)),
        corrected=float(np.sqrt(max(squared - correction, 0.0))),
        corrected_squared=float(squared - correction),
        ci=(low / root, high / root),
        p_value=float(permutation_p_values(null_squared, squared)),
        noise_floor=float(np.sqrt(null_squared.mean())) if null_squared.size else float("nan"),
        identities=identities,
        items=sum(p.fit.items for parts in axes for p in parts),
    )

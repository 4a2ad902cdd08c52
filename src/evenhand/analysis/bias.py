"""Personalization bias (PB): plug-in as in the paper, corrected for noise, with interval, test and noise floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from evenhand.analysis.information import Information, information
from evenhand.analysis.intervals import Sample, no_bias_test, pb_interval, pb_upper_ends
from evenhand.analysis.marginals import Blocks, Marginals, comparable_blocks, joined, marginals, suite_marginals
from evenhand.analysis.omnibus import NOT_TESTED, Omnibus
from evenhand.analysis.resampling import noise_draws, permuted_means
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.types import JOINT


@dataclass(frozen=True)
class PBEstimate:
    """PB in points (0-100).

    Attributes:
        plugin: the paper's number (arXiv 2406.11107), ``sqrt(mean_u |f(u) - mean f|^2)``; positive even without bias.
        corrected: the square root of ``corrected_squared``, 0 where that is negative.
        corrected_squared: plug-in squared minus what noise adds to it; unbiased, can be negative.
        ci: interval of PB, at 95 % unless another level was asked for.
        p_value: test of "no personalization bias", at most 0.05 exactly when a 95 % interval leaves out 0; NaN when not
            asked for.
        noise_floor: root mean square plug-in PB of this design if there were no bias; NaN when not asked for.
        identities: how many identities it compares.
        items: how many items were scored.
        information: what it rests on.
        test: the two tests that ``p_value`` combines: the sum of squared deviations, and the largest deviation.
    """

    plugin: float
    corrected: float
    corrected_squared: float
    ci: tuple[float, float]
    p_value: float
    noise_floor: float
    identities: int
    items: int
    information: Information
    test: Omnibus


@dataclass(frozen=True)
class _Part:
    """One suite's contribution: fit, noise draws and null draws of its centred means, and what they rest on.

    ``allowance`` is how much of the noise the plug-in PB does not contain, as variance per identity mean.
    """

    fit: Marginals
    noise: Floats
    null: Floats
    information: Information
    allowance: float = 0.0

    @property
    def correction(self) -> float:
        """What noise adds to the plug-in PB squared."""
        identities = self.fit.mean.size
        return self.fit.correction - self.fit.scale**2 * self.allowance * (identities - 1) / identities

    def scaled(self, factor: float) -> _Part:
        """The same with errors this many times as large."""
        return replace(self, fit=self.fit.scaled(factor), noise=factor * self.noise, null=factor * self.null)


class BiasEstimator:
    """Estimates PB for suites, axes and both axes jointly from one set of draws, so that the numbers are consistent.

    Args:
        tables: suites whose rows are the same identities.
        draws: bootstrap draws.
        permutations: permutation draws; 0 leaves the test out.
        seed: seed of all draws.
        level: confidence of the intervals.
        scales: suite -> factor on its errors (:func:`evenhand.analysis.estimand.noise_scale`); 1 otherwise.
        allowances: suite -> variance per identity mean, in squared points, that is in the scores' noise for the sake of
            intervals and not in the means; 0 otherwise.
        seen: suite -> the table of scores to count information on, where ``tables`` hold corrected ones.
    """

    def __init__(
        self,
        tables: Sequence[SuiteScores],
        *,
        draws: int,
        permutations: int,
        seed: int,
        level: float = 0.95,
        scales: Mapping[str, float] | None = None,
        allowances: Mapping[str, float] | None = None,
        seen: Mapping[str, SuiteScores] | None = None,
    ) -> None:
        self._tables = list(tables)
        self._level = level
        self._parts: dict[str, _Part] = {}
        self._seed = seed
        self._axes: dict[tuple[str, ...], list[_Part]] = {}
        self._found: dict[tuple[tuple[str, ...], ...], PBEstimate] = {}
        for table, stream in zip(self._tables, np.random.SeedSequence(seed).spawn(len(self._tables)), strict=True):
            blocks = comparable_blocks(table)
            rng = np.random.default_rng(stream)
            part = _part(suite_marginals(table), blocks, draws, permutations, rng)
            if seen and table.suite in seen:
                part = replace(part, information=information(comparable_blocks(seen[table.suite]).values))
            part = replace(part, allowance=(allowances or {}).get(table.suite, 0.0))
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

    def parts(self, axis: str) -> tuple[list[Marginals], list[Floats], list[Floats]]:
        """What the axis is the mean of, as independent parts: identity means, draws of their errors, null draws.

        These are its suites, or all of them as one where they share ways of telling the identities.
        """
        (parts,) = self._parts_of([self._suites(axis)])
        return [p.fit for p in parts], [p.noise for p in parts], [p.null for p in parts]

    def covariance(self, axis: str) -> Floats:
        """Estimated covariance of the axis's centred means, shape (identities, identities)."""
        fits = self.parts(axis)[0]
        return np.asarray(np.sum([fit.covariance for fit in fits], axis=0) / len(fits) ** 2)

    def suite(self, suite: str) -> PBEstimate:
        return self._estimated(((suite,),))

    def axis(self, axis: str) -> PBEstimate | None:
        """PB of the axis score, the unweighted mean of its suites; None when no suite is on the axis."""
        suites = self._suites(axis)
        return self._estimated((suites,)) if suites else None

    def upper_ends(self, name: str, errors: Sequence[float]) -> tuple[float, ...] | None:
        """Upper bounds of PB in points with several one-sided errors; None where an axis has no suite.

        Args:
            name: an axis, or "joint".
            errors: one-sided.
        """
        axes = [self._suites(axis) for axis in (JOINT if name == "joint" else (name,))]
        return pb_upper_ends(_samples(self._parts_of(axes)), errors) if all(axes) else None

    def joint(self) -> PBEstimate | None:
        """The paper's joint PB: ``PB_joint^2 = PB_safety^2 + PB_utility^2``; None when one of the two has no suite."""
        axes = tuple(self._suites(axis) for axis in JOINT)
        return self._estimated(axes) if all(axes) else None

    def _suites(self, axis: str) -> tuple[str, ...]:
        return tuple(t.suite for t in self._tables if t.axis == axis)

    def _parts_of(self, axes: Sequence[Sequence[str]]) -> list[list[_Part]]:
        return [self._axis_parts(tuple(suites)) for suites in axes]

    def _axis_parts(self, suites: tuple[str, ...]) -> list[_Part]:
        if suites not in self._axes:
            self._axes[suites] = _joined([self._parts[suite] for suite in suites], self._seed)
        return self._axes[suites]

    def _estimated(self, axes: tuple[tuple[str, ...], ...]) -> PBEstimate:
        """PB of the vector of axes, each the mean of some suites; asked for more than once, made once."""
        if axes not in self._found:
            self._found[axes] = _estimate(self._parts_of(axes), self._level)
        return self._found[axes]


def estimate_pb(
    table: Floats,
    *,
    draws: int = 2000,
    permutations: int = 2000,
    seed: int = 0,
    clusters: Sequence[str] = (),
    level: float = 0.95,
    ways: Sequence[str] = (),
) -> PBEstimate:
    """PB of one identity x item table.

    Args:
        table: scores in points, shape (identities, items), NaN where missing.
        draws: bootstrap draws.
        permutations: permutation draws; 0 leaves the test out.
        seed: seed of all draws.
        clusters: per item what it shares with others; each item by itself when empty.
        level: confidence of the interval.
        ways: per item how the identities were told on it; one way for all when empty.

    Raises:
        ValueError: identities that share no scored item.
    """
    blocks = Blocks(table, tuple(clusters), tuple(ways))
    part = _part(marginals(*blocks), blocks, draws, permutations, np.random.default_rng(seed))
    return _estimate([[part]], level)


def _part(fit: Marginals, blocks: Blocks, draws: int, permutations: int, rng: np.random.Generator) -> _Part:
    units = blocks.clusters
    if fit.told is not None:
        # Only what was told in one way is exchanged together.
        units = tuple(way or f"\x1f{n}" for n, way in enumerate(blocks.ways))
    null = permuted_means(blocks.values, fit, permutations, rng, units)
    return _Part(fit, noise_draws(fit, draws, rng), null, information(blocks.values))


def _joined(parts: list[_Part], seed: int) -> list[_Part]:
    """The suites of an axis, as one where they share ways of telling the identities."""
    fits = joined([p.fit for p in parts])
    if len(fits) == len(parts):
        return parts
    share = 1 / len(parts)
    allowance = (
        sum((share * p.fit.scale) ** 2 * p.allowance for p in parts) / fits[0].scale ** 2 if fits[0].scale else 0
    )
    return [
        _Part(
            fits[0],
            noise_draws(fits[0], len(parts[0].noise), np.random.default_rng(seed)),
            share * np.sum([p.null for p in parts], axis=0),
            reduce(add, (p.information for p in parts)),
            allowance,
        )
    ]


def _estimate(axes: Sequence[Sequence[_Part]], level: float) -> PBEstimate:
    """PB of the vector whose components are axes, each the mean of its suites."""
    centred = np.concatenate([np.mean([p.fit.centred for p in parts], axis=0) for parts in axes])
    null = np.hstack([np.mean([p.null for p in parts], axis=0) for parts in axes])
    identities = axes[0][0].fit.mean.size
    squared = float(centred @ centred) / identities
    correction = sum(sum(p.correction for p in parts) / len(parts) ** 2 for parts in axes)
    null_squared = np.einsum("bk,bk->b", null, null) / identities
    samples = _samples(axes)
    test = no_bias_test(samples)
    result = test.result if null_squared.size else NOT_TESTED
    return PBEstimate(
        plugin=float(np.sqrt(squared)),
        corrected=float(np.sqrt(max(squared - correction, 0.0))),
        corrected_squared=float(squared - correction),
        ci=pb_interval(samples, level, test=test),
        p_value=result.p_value,
        noise_floor=float(np.sqrt(null_squared.mean())) if null_squared.size else float("nan"),
        identities=identities,
        items=sum(p.fit.items for parts in axes for p in parts),
        information=reduce(add, (p.information for parts in axes for p in parts)),
        test=result,
    )


def _samples(axes: Sequence[Sequence[_Part]]) -> list[list[Sample]]:
    return [[Sample(p.fit, p.noise) for p in parts] for parts in axes]

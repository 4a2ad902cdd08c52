"""What is the identity's, and what the wording's: suites whose questions tell the identity in one of several ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.marginals import marginals, summed_by
from evenhand.analysis.resampling import permutation_p_values
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan


@dataclass(frozen=True)
class Told:
    """One identity told in one way.

    Attributes:
        way: which.
        deviation: from the identity mean in that way, in points, drawn towards the identity's own deviation by as much
            as is noise.
    """

    way: str
    deviation: float


@dataclass(frozen=True)
class IdentityWays:
    """How one identity fares by how it is told.

    Attributes:
        identity: who.
        spread: standard deviation of what the ways do to its score, in points, free from the noise of the items.
        lowest, highest: the ways in which it lies lowest and highest among the identities; None where the ways do
            nothing that is seen.
    """

    identity: str
    spread: float
    lowest: Told | None
    highest: Told | None


@dataclass(frozen=True)
class WaysResult:
    """One suite under one personalizer with several ways to tell an identity.

    Attributes:
        personalizer: which.
        ways, items: how many ways were met, on how many items that every identity was scored on.
        identity_squared: PB squared that holds over all such ways; unbiased, can be negative.
        way_squared: what a single way adds to it; unbiased, can be negative.
        pb: PB in points that holds over the ways: the root of ``identity_squared``, 0 where that is negative.
        single: PB in points that a study with one of the ways would have, noise apart, as a root mean square over them.
        share: the part of the ways in the sum of both, negative ones counted as 0; NaN where both are.
        p_value: test that the ways do nothing; NaN when not asked for.
        identities: one each.
    """

    personalizer: str
    ways: int
    items: int
    identity_squared: float
    way_squared: float
    pb: float
    single: float
    share: float
    p_value: float
    identities: tuple[IdentityWays, ...]


def by_way(table: SuiteScores, *, permutations: int, seed: int) -> list[WaysResult]:
    """Each personalizer of a suite that has several ways to tell an identity.

    Args:
        table: scores of one suite.
        permutations: of the ways among the items; 0 leaves the test out.
        seed: of these.
    """
    cells = mean_ignoring_nan(table.cells, axis=3)
    told = zip(table.personalizers, cells, table.ways, strict=True) if table.ways else ()
    found = []
    for name, scores, ways in told:
        rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
        complete = np.isfinite(scores[rows]).all(axis=0)
        drawn = [way for way, kept in zip(ways, complete, strict=True) if kept]
        clusters = [c for c, kept in zip(table.clusters, complete, strict=True) if kept]
        people = [table.identities[k] for k in rows]
        # With an item a way, what a way does cannot be told from what items do.
        if len(people) < 2 or not 2 <= len(set(drawn)) < len(drawn):
            continue
        rng = np.random.default_rng(seed)
        found.append(_result(name, scores[rows][:, complete], people, drawn, clusters, permutations, rng))
    return found


def _result(
    personalizer: str,
    scores: Floats,
    people: Sequence[str],
    drawn: Sequence[str],
    clusters: Sequence[str],
    permutations: int,
    rng: np.random.Generator,
) -> WaysResult:
    fit = marginals(scores, clusters, drawn)
    deviations = fit.centred
    names, code = np.unique(np.asarray(drawn), return_inverse=True)
    sizes = np.bincount(code).astype(float)
    rest = (scores - scores.mean(axis=0) - deviations[:, None]).T  # (items, U)
    sums = summed_by(code, rest)
    means = sums / sizes[:, None]
    within = ((rest - means[code]) ** 2).sum(axis=0) / (len(rest) - len(names))
    own = _between(sums, sizes, within)
    identity, way = float(deviations @ deviations) / len(people) - fit.correction, float(own.mean())
    parts = max(identity, 0.0), max(way, 0.0)
    return WaysResult(
        personalizer,
        len(names),
        len(rest),
        identity,
        way,
        float(np.sqrt(parts[0])),
        float(np.sqrt(sum(parts))),
        parts[1] / sum(parts) if sum(parts) > 0 else float("nan"),
        _ways_do_nothing(rest, code, sizes, permutations, rng),
        tuple(
            _extremes(who, deviations[k], means[:, k], own[k], within[k] / sizes, names.tolist())
            for k, who in enumerate(people)
        ),
    )


def _between(sums: Floats, sizes: Floats, within: Floats) -> Floats:
    """Variance of what the ways do to each identity, by the method of moments (a one-way random effect), shape (U,)."""
    items, ways = sizes.sum(), len(sizes)
    square = (sums**2 / sizes[:, None]).sum(axis=0) / (ways - 1)
    each = (items - (sizes**2).sum() / items) / (ways - 1)
    return np.asarray((square - within) / each)


def _ways_do_nothing(
    rest: Floats,
    code: NDArray[np.intp],
    sizes: Floats,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """The p-value when the ways are shuffled among the items, as they were drawn: each item's by itself."""
    if permutations == 0:
        return float("nan")
    order = np.argsort(code, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)

    def statistic(places: NDArray[np.intp]) -> float:
        return float((np.add.reduceat(rest[places], starts) ** 2 / sizes[:, None]).sum())

    null = np.array([statistic(rng.permutation(len(rest))) for _ in range(permutations)])
    return float(permutation_p_values(null, statistic(order)))


def _extremes(
    identity: str, deviation: float, means: Floats, variance: float, noise: Floats, names: Sequence[str]
) -> IdentityWays:
    if variance <= 0:
        return IdentityWays(identity, 0.0, None, None)
    likely = deviation + variance / (variance + noise) * means
    lowest, highest = (
        Told(_said_of(identity, names[int(k)]), round(float(likely[k]), 10) + 0.0)
        for k in (likely.argmin(), likely.argmax())
    )
    return IdentityWays(identity, float(np.sqrt(variance)), lowest, highest)


def _said_of(identity: str, way: str) -> str:
    """A way as it tells one identity: its own part of one that tells each otherwise ("a man: James; a woman: Mary")."""
    mine = [part.removeprefix(f"{identity}: ") for part in way.split("; ") if part.startswith(f"{identity}: ")]
    return mine[0] if mine else way.replace("{identity}", identity)

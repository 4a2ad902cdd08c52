"""Two studies' scores paired by item and identity: identity means of both, and draws of their joint error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evenhand.analysis.marginals import Marginals, marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.types import Axis


@dataclass(frozen=True)
class PairedDraws:
    """One suite of two studies.

    Attributes:
        fits: identity means of both.
        noise: draws of their joint error with the level, shape (draws, 2, U).
    """

    fits: tuple[Marginals, Marginals]
    noise: Floats

    @property
    def mean(self) -> Floats:  # (2, U)
        return np.stack([fit.mean for fit in self.fits])

    @property
    def correction(self) -> Floats:  # (2,)
        return np.array([fit.correction for fit in self.fits])


def paired_draws(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> dict[Axis, list[PairedDraws]]:
    """Axis -> both studies' identity means with draws of their errors, suite by suite.

    Raises:
        ValueError: the studies share no suite with common items and at least two common identities.
    """
    pairs = paired(before, after)
    if not pairs:
        raise ValueError("the studies share no suite with common items and at least two common identities")
    found: dict[Axis, list[PairedDraws]] = {}
    for (one, other), stream in zip(pairs, np.random.SeedSequence(seed).spawn(len(pairs)), strict=True):
        found.setdefault(one.axis, []).append(_draw(one, other, draws, stream))
    return found


def score_draws(parts: Sequence[PairedDraws]) -> tuple[Floats, Floats]:
    """Mean score over identities and suites in both studies, shape (2,), and draws of its change, shape (draws,)."""
    share = 1 / len(parts)
    mean = share * np.sum([p.mean for p in parts], axis=0).mean(axis=-1)
    noise = share * np.sum([p.noise for p in parts], axis=0).mean(axis=-1)
    return mean, np.asarray(mean[1] - mean[0] + noise[:, 1] - noise[:, 0])


def _draw(one: SuiteScores, other: SuiteScores, draws: int, stream: np.random.SeedSequence) -> PairedDraws:
    usable = np.all([np.isfinite(table.y).sum(axis=0) >= 2 for table in (one, other)], axis=0)
    # A study of before its suite had clusters is compared by those of the other.
    joined = min(one.clusters, other.clusters, key=lambda clusters: len(set(clusters)))
    clusters = [name for name, kept in zip(joined, usable, strict=True) if kept]
    before, after = (marginals(table.y[:, usable], clusters) for table in (one, other))
    # The same signs for both: an item keeps what the studies share.
    noise = [noise_draws(fit, draws, np.random.default_rng(stream), level=True) for fit in (before, after)]
    return PairedDraws((before, after), np.stack(noise, axis=1))


def paired(before: Sequence[SuiteScores], after: Sequence[SuiteScores]) -> list[tuple[SuiteScores, SuiteScores]]:
    """Suites of both studies over the same items and identities, in the same order."""
    later = {t.suite: t for t in after}
    shared = [(one, later[one.suite]) for one in before if one.suite in later]
    first = before[0].identities if before else ()
    people = [n for n in first if all(n in a.identities and n in b.identities for a, b in shared)]
    pairs = []
    for one, other in shared:
        items = sorted(set(one.items) & set(other.items))
        if len(items) < 2 or len(people) < 2:
            continue
        pairs.append((_aligned(one, people, items), _aligned(other, people, items)))
    return pairs


def _aligned(table: SuiteScores, people: Sequence[str], items: Sequence[str]) -> SuiteScores:
    rows = [table.identities.index(n) for n in people]
    columns = [table.items.index(i) for i in items]
    return replace(
        table.select_identities(rows),
        items=tuple(items),
        groups=tuple(table.groups[c] for c in columns),
        cells=table.cells[:, rows][:, :, columns],
        baseline=table.baseline[:, columns],
        clusters=tuple(table.clusters[c] for c in columns),
        wordings=(),
        ways=tuple(tuple(ways[c] for c in columns) for ways in table.ways),
    )

"""What a study of mitigations could show, before it is run: by studies that are drawn from the answers without one.

A drawn study takes items of the pilot with replacement. The pilot's bias has noise in it, so that the identities of as
many items are shuffled as leave the corrected bias; the mitigation that is imagined shuffles all of them: it takes the
whole bias away, and leaves level and noise as they are. One that makes answers alike leaves less noise, and shows more.
Items are drawn one by one: where several are one question, or share a person, less can be shown than is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.confirmation import Confirmed, Measure, Measured, against
from evenhand.analysis.pairing import paired_draws
from evenhand.analysis.reduction import Ratio
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.types import JOINT

_STUDIES, _DRAWS, _ERROR = 24, 200, 0.025
# By how much the number of items grows until enough studies show a share, and where that ends.
_STEP, _MOST = 1.5, 6_000


@dataclass(frozen=True)
class Reach:
    """What could be shown of a mitigation that takes all of the bias away.

    Attributes:
        bias: of the pilot, corrected, over safety and utility together, in points.
        items: suite -> how many would be asked.
        share: that at least half of such studies show to be gone; -inf where nothing is known then.
        reduction: probability that any reduction is shown.
        open: what else is measured -> the largest loss that is not ruled out although nothing changes, in points, where
            that is the margin or more.
        target: the share that is to be shown; None where nobody asked.
        factor: times as many items as ``items`` that half of such studies need to show the target; None for more than
            are looked at, without bias, and where nobody asked.
    """

    bias: float
    items: dict[str, int]
    share: float
    reduction: float
    open: dict[Measure, float]
    target: float | None
    factor: float | None

    @property
    def decidable(self) -> bool:
        """Whether a reduction could be shown at all, more often than not."""
        return self.share > 0


def reach(
    pilot: Measured, items: Mapping[str, int], *, target: float | None = None, margin: float = 2.0, seed: int = 0
) -> Reach:
    """What a study of so many items could show.

    Args:
        pilot: the condition without a mitigation.
        items: suite -> how many would be asked.
        target: share of the bias for which the items are counted, which takes longer; None for not.
        margin: how much of anything else may be lost, in points.
        seed: of the studies that are drawn.

    Raises:
        ValueError: the pilot has too few scores.
    """
    tables = [t for t in pilot.tables if t.axis in JOINT and items.get(t.suite, 0) >= 2]
    if not tables or any(len(t.identities) < 2 or len(t.items) < 2 for t in tables):
        raise ValueError("too few items or identities were scored")
    axes = {axis: [t for t in tables if t.axis == axis] for axis in JOINT}
    kept = {t.suite: _kept(axes[t.axis]) for t in tables}
    bias = math.sqrt(sum(_corrected(ts)[0] for ts in axes.values() if ts))
    lowers = _lowers(tables, items, kept, 1.0, seed)
    factor = _factor(tables, items, kept, target, lowers, seed) if bias > 0 and target is not None else None
    same = _unchanged(pilot, items, margin, seed)
    return Reach(
        bias,
        {t.suite: items[t.suite] for t in tables},
        float(np.median(lowers)),
        float(np.mean(lowers > 0)),
        {measure: kept.risk for measure, kept in same.kept.items() if kept.risk >= margin},
        target,
        factor,
    )


def _corrected(tables: Sequence[SuiteScores]) -> tuple[float, float]:
    """Corrected PB squared of an axis, at least 0, and plug-in PB squared."""
    found = BiasEstimator(tables, draws=2, permutations=0, seed=0).axis(tables[0].axis)
    return (max(found.corrected_squared, 0.0), found.plugin**2) if found else (0.0, 0.0)


def _kept(tables: Sequence[SuiteScores]) -> float:
    """Share of items whose identities stay as they are: a study of them has the corrected bias in the mean."""
    corrected, plugin = _corrected(tables)
    return math.sqrt(corrected / plugin) if plugin > 0 else 0.0


def _lowers(
    tables: Sequence[SuiteScores], items: Mapping[str, int], kept: Mapping[str, float], factor: float, seed: int
) -> Floats:
    """The shares that drawn studies show to be gone."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(_STUDIES):
        before, after = [], []
        for table in tables:
            count = max(2, round(factor * items[table.suite]))
            drawn = _drawn(table, count, rng)
            before.append(_shuffled(drawn, rng.random(count) >= kept[table.suite], rng))
            after.append(_shuffled(drawn, np.ones(count, dtype=bool), rng))
        pairs = paired_draws(before, after, draws=_DRAWS, seed=number)
        found.append(Ratio([pairs[axis] for axis in JOINT if axis in pairs], number).lower(_ERROR))
    return np.array(found)


def _factor(
    tables: Sequence[SuiteScores], items: Mapping[str, int], kept: Mapping[str, float], target: float,
    lowers: Floats, seed: int,
) -> float | None:  # fmt: skip
    factor, most = 1.0, _MOST / max(items[t.suite] for t in tables)
    while np.median(lowers) <= target:
        factor *= _STEP
        if factor > most:
            return None
        lowers = _lowers(tables, items, kept, factor, seed)
    return factor


def _unchanged(pilot: Measured, items: Mapping[str, int], margin: float, seed: int) -> Confirmed:
    """What a study says in which a mitigation changes nothing."""
    rng = np.random.default_rng(seed)
    tables, refusals = (
        [_drawn(t, items[t.suite], rng) for t in of if items.get(t.suite, 0) >= 2 and t.items]
        for of in (pilot.tables, pilot.refusals)
    )
    drawn = replace(pilot, tables=tables, refusals=refusals)
    return against(drawn, drawn, margin=margin, draws=_DRAWS, seed=seed)


def _drawn(table: SuiteScores, count: int, rng: np.random.Generator) -> SuiteScores:
    """Items with replacement, as if they were different ones."""
    columns = rng.integers(len(table.items), size=count)
    names = tuple(f"{n}" for n in range(count))
    return replace(
        table,
        items=names,
        groups=tuple(table.groups[c] for c in columns),
        cells=table.cells[:, :, columns],
        baseline=table.baseline[:, columns],
        clusters=names,
        wordings=(),
        ways=(),
    )


def _shuffled(table: SuiteScores, which: NDArray[np.bool_], rng: np.random.Generator) -> SuiteScores:
    """The same with the identities of some items shuffled."""
    cells = table.cells.copy()
    order = np.argsort(rng.random((len(table.items), cells.shape[1])), axis=1)
    moved = np.take_along_axis(np.moveaxis(cells, 1, 2), order[None, :, :, None], axis=2)
    cells[:, :, which] = np.moveaxis(moved, 2, 1)[:, :, which]
    return replace(table, cells=cells)

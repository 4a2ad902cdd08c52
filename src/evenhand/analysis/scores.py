"""Scores as arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evenhand.scored import ScoreRows, Texts
from evenhand.types import BASELINE_CATEGORY, PERSON_BASELINE, Axis

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SuiteScores:
    """The scores of one suite.

    Attributes:
        suite, axis: which suite, on which axis.
        identities: names, baselines not included; the rows of ``cells``.
        baselines: names of the baselines; the rows of ``baseline``.
        items, groups: item ids and their groups.
        personalizers: names, the first dimension of ``cells``.
        cells: scores in points (0-100), shape (personalizers, identities, items, repeats), NaN where missing.
        baseline: scores in points, shape (baselines, items), averaged over repeats, NaN where missing.
        ways: per personalizer and item how the identities were told, drawn from several ways; "" where a personalizer
            has one. Empty where all have one.
        through: per baseline the personalizers it was asked through, by place; empty where by none, and then it is
            compared with all of them.
        clusters: per item what it shares with others; items of one cluster are no independent evidence. Each item is a
            cluster of its own by default.
        wordings: per item which wording of its cluster's question it is; "" where wordings are not compared, and empty
            where none are.
    """

    suite: str
    axis: Axis
    identities: tuple[str, ...]
    baselines: tuple[str, ...]
    items: tuple[str, ...]
    groups: tuple[str, ...]
    personalizers: tuple[str, ...]
    cells: Floats
    baseline: Floats
    clusters: tuple[str, ...] = ()
    through: tuple[tuple[int, ...], ...] = ()
    wordings: tuple[str, ...] = ()
    ways: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.clusters:
            object.__setattr__(self, "clusters", self.items)

    @property
    def y(self) -> Floats:
        """Cell means over personalizers and repeats, shape (identities, items), NaN where nothing was scored."""
        return mean_ignoring_nan(self.cells, axis=(0, 3))

    @property
    def blocks(self) -> Floats:
        """Cell means over repeats, shape (identities, personalizers x items): a column is an item put in one way."""
        by_repeat = np.moveaxis(mean_ignoring_nan(self.cells, axis=3), 1, 0)
        return by_repeat.reshape(len(self.identities), -1)

    @property
    def block_clusters(self) -> tuple[str, ...]:
        """The clusters of the columns of ``blocks``: the ways to put an item are no independent evidence."""
        return self.clusters * len(self.cells)

    @property
    def block_ways(self) -> tuple[str, ...]:
        """How the identities were told in the columns of ``blocks``; empty where all personalizers have one way."""
        return tuple(way for ways in self.ways for way in ways)

    @property
    def item_ways(self) -> tuple[str, ...]:
        """How the identities were told on each item, by the first personalizer with several ways; empty without."""
        return next((ways for ways in self.ways if any(ways)), ())

    @property
    def with_baselines(self) -> Floats:
        """``y`` with the baselines as further rows."""
        return np.vstack([self.y, self.baseline])

    def beside(self, baseline: str) -> Floats:
        """Cell means to set against a baseline, shape (identities, items): over the personalizers it came through."""
        place = self.baselines.index(baseline)
        places = self.through[place] if self.through else ()
        return mean_ignoring_nan(self.cells[list(places)], axis=(0, 3)) if places else self.y

    def select_items(self, wanted: NDArray[np.bool_]) -> SuiteScores:
        """The same scores for some of the items."""
        keep = np.flatnonzero(wanted)
        return replace(
            self,
            items=tuple(self.items[k] for k in keep),
            groups=tuple(self.groups[k] for k in keep),
            cells=self.cells[:, :, keep],
            baseline=self.baseline[:, keep],
            clusters=tuple(self.clusters[k] for k in keep),
            wordings=tuple(self.wordings[k] for k in keep) if self.wordings else (),
            ways=tuple(tuple(ways[k] for k in keep) for ways in self.ways),
        )

    def select_identities(self, rows: Sequence[int]) -> SuiteScores:
        """The same scores for some of the identities, by row."""
        return replace(self, identities=tuple(self.identities[k] for k in rows), cells=self.cells[:, list(rows)])


def tabulate(rows: Iterable[Sequence[Any]], identities: Sequence[str]) -> list[SuiteScores]:
    """Arrange rows of scores by suite.

    Args:
        rows: one per response, fields of :class:`evenhand.types.ScoreRow`.
        identities: all identities and baselines in the order wanted; those without any row are left out.
    """
    order = {name: n for n, name in enumerate(identities)}
    return [_suite_scores(suite, members, order) for suite, members in ScoreRows.of(rows).by("suite").items()]


def _suite_scores(suite: str, rows: ScoreRows, order: Mapping[str, int]) -> SuiteScores:
    category: dict[str, str] = dict(rows.counts("identity", "category").keys())
    present = sorted(category, key=lambda name: order.get(name, len(order)))
    people = [n for n in present if category[n] != BASELINE_CATEGORY]
    baselines = [n for n in present if category[n] == BASELINE_CATEGORY]
    items = sorted(rows.column("item").present())
    of_item = {field: _last(rows, items, field) for field in ("group", "cluster", "wording")}
    is_person = rows.column("identity").is_in(people)
    asked, against = rows.where(is_person), rows.where(~is_person)
    senders = sorted(asked.column("personalizer").present())
    through = set(against.counts("identity", "personalizer"))
    repeats = 1 + int(rows.repeat.max())
    cells = _placed(asked, (senders or [""], people, items), ("personalizer", "identity", "item"), repeats)
    ways = sorted({personalizer for _, personalizer in through})
    base = _placed(against, (baselines, ways or [""], items), ("identity", "personalizer", "item"), repeats)
    return SuiteScores(
        suite,
        cast("Axis", rows.column("axis").names[rows.column("axis").codes[0]]),
        tuple(people),
        tuple(baselines),
        tuple(items),
        of_item["group"],
        tuple(senders),
        cells,
        mean_ignoring_nan(base, axis=(1, 3)),
        tuple(cluster or item for cluster, item in zip(of_item["cluster"], items, strict=True)),
        tuple(_places(name, senders, through) for name in baselines),
        of_item["wording"] if any(of_item["wording"]) else (),
        _ways(rows, senders, items),
    )


def _last(rows: ScoreRows, items: Sequence[str], field: str) -> tuple[str, ...]:
    """What the last row of each item has in a column."""
    codes = np.zeros(len(items), dtype=np.int64)
    codes[places_of(rows.column("item"), items)] = rows.column(field).codes
    return tuple(rows.column(field).names[code] for code in codes.tolist())


def places_of(column: Texts, names: Sequence[str]) -> NDArray[np.int64]:
    """Each row's place among some names, which its text is one of."""
    place = {name: n for n, name in enumerate(names)}
    of_names = np.array([place.get(name, -1) for name in column.names], dtype=np.int64)
    return np.asarray(of_names[column.codes])


def _placed(rows: ScoreRows, names: Sequence[Sequence[str]], fields: Sequence[str], repeats: int) -> Floats:
    """Scores in points by the texts of some columns, and by repeat last; NaN where there is no row."""
    table = np.full((*map(len, names), repeats), np.nan)
    flat = np.zeros(len(rows), dtype=np.int64)
    for field, known in zip(fields, names, strict=True):
        flat = flat * len(known) + places_of(rows.column(field), known)
    table.reshape(-1)[flat * repeats + rows.repeat] = 100.0 * rows.score
    return table


def _ways(rows: ScoreRows, senders: Sequence[str], items: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if not any(rows.column("way").names):
        return ()
    told = {(sender, item): way for sender, item, way in rows.counts("personalizer", "item", "way") if way}
    return tuple(tuple(told.get((sender, item), "") for item in items) for sender in senders) if told else ()


def _places(name: str, senders: Sequence[str], through: set[tuple[str, str]]) -> tuple[int, ...]:
    """The places of the identities' personalizers that a baseline was asked through, too."""
    return tuple(n for n, sender in enumerate(senders) if name == PERSON_BASELINE and (name, sender) in through)


def mean_ignoring_nan(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """The mean over an axis of what is not NaN; NaN where nothing is left."""
    dropped = {n % values.ndim for n in ((axis,) if isinstance(axis, int) else axis)}
    kept = tuple(size for n, size in enumerate(values.shape) if n not in dropped)
    if math.prod(kept) == values.size:
        return values.reshape(kept)  # one of each: nothing to copy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))

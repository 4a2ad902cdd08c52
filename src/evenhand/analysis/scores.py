"""Scores as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.types import BASELINE_CATEGORY, PERSON_BASELINE, Axis, ScoreRow

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


def score_rows(rows: Iterable[Sequence[Any]]) -> list[ScoreRow]:
    """Rows with names for their fields; plain tuples may leave out the last ones."""
    return [row if isinstance(row, ScoreRow) else ScoreRow(*row) for row in rows]


def tabulate(rows: Iterable[Sequence[Any]], identities: Sequence[str]) -> list[SuiteScores]:
    """Arrange rows of scores by suite.

    Args:
        rows: one per response, fields of :class:`evenhand.types.ScoreRow`.
        identities: all identities and baselines in the order wanted; those without any row are left out.
    """
    by_suite: dict[str, list[ScoreRow]] = {}
    for row in score_rows(rows):
        by_suite.setdefault(row.suite, []).append(row)
    order = {name: n for n, name in enumerate(identities)}
    return [_suite_scores(suite, members, order) for suite, members in by_suite.items()]


def _suite_scores(suite: str, rows: list[ScoreRow], order: dict[str, int]) -> SuiteScores:
    category = {row.identity: row.category for row in rows}
    present = sorted(category, key=lambda name: order.get(name, len(order)))
    people = [n for n in present if category[n] != BASELINE_CATEGORY]
    baselines = [n for n in present if category[n] == BASELINE_CATEGORY]
    group_of = {row.item: row.group for row in rows}
    cluster_of = {row.item: row.cluster or row.item for row in rows}
    wording_of = {row.item: row.wording for row in rows}
    items = sorted(group_of)
    item_code, person_code, baseline_code = _codes(items), _codes(people), _codes(baselines)
    senders = sorted({row.personalizer for row in rows if row.identity in person_code})
    through = {(row.identity, row.personalizer) for row in rows if row.identity in baseline_code}
    sender_code = _codes(senders)
    repeats = 1 + max(row.repeat for row in rows)
    cells = np.full((max(len(senders), 1), len(people), len(items), repeats), np.nan)
    ways = _codes(sorted({personalizer for _, personalizer in through}))
    base = np.full((len(baselines), max(len(ways), 1), len(items), repeats), np.nan)
    for row in rows:
        score = np.nan if row.score is None else 100.0 * row.score
        if row.identity in person_code:
            place = (sender_code[row.personalizer], person_code[row.identity], item_code[row.item], row.repeat)
            cells[place] = score
        else:
            base[baseline_code[row.identity], ways[row.personalizer], item_code[row.item], row.repeat] = score
    return SuiteScores(
        suite,
        rows[0].axis,
        tuple(people),
        tuple(baselines),
        tuple(items),
        tuple(group_of[i] for i in items),
        tuple(senders),
        cells,
        mean_ignoring_nan(base, axis=(1, 3)),
        tuple(cluster_of[i] for i in items),
        tuple(_places(name, senders, through) for name in baselines),
        tuple(wording_of[i] for i in items) if any(wording_of.values()) else (),
        _ways(rows, senders, items),
    )


def _ways(rows: Sequence[ScoreRow], senders: Sequence[str], items: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    told = {(row.personalizer, row.item): row.way for row in rows if row.way}
    return tuple(tuple(told.get((sender, item), "") for item in items) for sender in senders) if told else ()


def _places(baseline: str, senders: Sequence[str], through: set[tuple[str, str]]) -> tuple[int, ...]:
    """The places of the identities' personalizers that a baseline was asked through, too."""
    return tuple(n for n, sender in enumerate(senders) if baseline == PERSON_BASELINE and (baseline, sender) in through)


def mean_ignoring_nan(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """The mean over an axis of what is not NaN; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _codes(names: Sequence[str]) -> dict[str, int]:
    return {name: n for n, name in enumerate(names)}

"""The answers of a study as a table to search in: who got what, on what, and what is kept for confirming."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.factorial import Codes, Conjunction, Observed, Space
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import FEWEST_TO_TEST, OnSameItems
from evenhand.analysis.within_groups import Mask, WithinGroups, within_groups
from evenhand.searching.attributes import Attributes
from evenhand.study.splits import split_of
from evenhand.types import ScoreRow

Key = tuple[str, str]


@dataclass(frozen=True)
class Table:
    """Answers, each user's to a question taken together.

    Attributes:
        space: what users and questions are described by.
        codes: of each entry, shape (entries, factors).
        places: what entries share that are compared: a question; or what is independent, where no question is shared.
        units: what is independent of the others: a question, or all that a human asked.
        strata: within which entries are compared where they share no question.
        outcomes: in points, NaN where none of its answers has one.
        answers, missing: of each entry, and of how many of them there is no outcome.
        fresh: which entries are kept for confirming.
        paired: whether those who match are compared with others on the same question.
        bounds: the lowest and the highest outcome that there can be.
        rows: the answers of each entry, by their places among all.
    """

    space: Space
    codes: Codes
    places: Codes
    units: Codes
    strata: Codes
    outcomes: Floats
    answers: Codes
    missing: Codes
    fresh: Mask
    paired: bool
    bounds: tuple[float, float]
    rows: tuple[tuple[int, ...], ...]

    @property
    def seen(self) -> Mask:
        """Which entries have an outcome."""
        return np.isfinite(self.outcomes)

    def units_of(self, fresh: bool) -> int:
        """How many independent ones a part has."""
        return len(np.unique(self.units[self.seen & (self.fresh == fresh)]))

    def observed(self) -> Observed:
        """What exploring may see."""
        there = self.seen & ~self.fresh
        # Where no question is shared, an entry tells nothing of how hard its question is.
        items = self.places if self.paired else self.codes[:, self.space.group]
        return Observed(self.codes[there], items[there], self.outcomes[there])

    def contrast(self, who: Conjunction, among: Conjunction | None = None) -> Side:
        """Those who match against the others (of those who are of ``among``), on fresh questions."""
        there = self.seen & self.fresh
        there = there if among is None else there & among.matches(self.codes)
        matches = who.matches(self.codes)
        missing = int(self.missing[matches & self.fresh].sum())
        users = len(self.space.factors) - self.space.of_items
        there = there & Conjunction(tuple(pair for pair in who.levels if pair[0] >= users)).matches(self.codes)
        kept = np.flatnonzero(there)
        return self._paired(kept, matches[kept], missing) if self.paired else self._apart(kept, matches[kept], missing)

    def _paired(self, kept: Codes, matches: Mask, missing: int) -> Side:
        places, place = np.unique(self.places[kept], return_inverse=True)
        means = []
        for own in (matches, ~matches):
            count = np.bincount(place[own], minlength=len(places))
            total = np.bincount(place[own], self.outcomes[kept][own], minlength=len(places))
            means.append(np.divide(total, count, out=np.full(len(places), np.nan), where=count > 0))
        both = np.flatnonzero(np.isfinite(means[0] - means[1]))
        of_place = np.zeros((2, len(places)), dtype=np.int64)
        of_place[:, place] = self.units[kept], self.codes[kept, self.space.group]
        units, unit = np.unique(of_place[0, both], return_inverse=True)
        by_unit = [_mean_by(unit, mean[both], len(units)) for mean in means]
        groups: dict[int, list[float]] = {}
        for group, one, other in zip(of_place[1, both], means[0][both], means[1][both], strict=True):
            groups.setdefault(int(group), []).append(float(one - other))
        mean, other = (float(side.mean()) if len(units) else math.nan for side in by_unit)
        contrast = OnSameItems(by_unit[0] - by_unit[1], self.bounds[1] - self.bounds[0])
        by_group = tuple((g, float(np.mean(found)), len(found)) for g, found in groups.items())
        return Side(contrast, mean, other, missing, by_group)

    def _apart(self, kept: Codes, matches: Mask, missing: int) -> Side:
        _, strata = np.unique(self.strata[kept], return_inverse=True)
        contrast = within_groups(self.outcomes[kept], matches, strata, self.units[kept], self.bounds)
        groups = within_groups(
            self.outcomes[kept], matches, self.codes[kept, self.space.group], self.units[kept], self.bounds
        ).by_group()
        return Side(contrast, contrast.mean, contrast.other_mean, missing, tuple(groups))


@dataclass(frozen=True)
class Side:
    """Those who match set against the others.

    Attributes:
        contrast: to test.
        mean, other_mean: outcomes, in points.
        missing: answers of those who match that have no outcome.
        groups: group of questions -> difference and how much it rests on.
    """

    contrast: OnSameItems | WithinGroups
    mean: float
    other_mean: float
    missing: int
    groups: tuple[tuple[int, float, int], ...]

    @property
    def testable(self) -> bool:
        if isinstance(self.contrast, WithinGroups):
            return self.contrast.testable
        return self.contrast.items >= FEWEST_TO_TEST


def _mean_by(place: Codes, values: Floats, count: int) -> Floats:
    return np.bincount(place, values, minlength=count) / np.maximum(np.bincount(place, minlength=count), 1)


def table_of(
    rows: Sequence[ScoreRow],
    outcomes: Floats,
    told: Attributes,
    *,
    paired: bool,
    unpaired: bool,
    bounds: tuple[float, float],
) -> Table:
    """Rows as a table.

    Args:
        rows: of users.
        outcomes: of each row, in points; NaN where there is none.
        told: of each row, by what users and questions are described.
        paired: whether those who match are compared with others on the same question.
        unpaired: whether everybody asked questions of their own; groups of questions are what is compared within then.
        bounds: the lowest and the highest outcome that there can be.
    """
    units, place_keys = [_unit(row) for row in rows], [_place(row) for row in rows]
    fresh_units = _fresh(rows, units)
    unit_of, place_of = _numbered(units), _numbered(place_keys if paired else units)
    stratum_of = _numbered([row.suite for row in rows])
    entries: dict[tuple[int, ...], list[int]] = {}
    for n in range(len(rows)):
        entries.setdefault((place_of[n], unit_of[n], *told.codes[n].tolist()), []).append(n)
    members = list(entries.values())
    first = np.array([found[0] for found in members])
    codes = told.codes[first]
    seen = [outcomes[found][np.isfinite(outcomes[found])] for found in members]
    return Table(
        space=told.space,
        codes=codes,
        places=np.array(place_of)[first],
        units=np.array(unit_of)[first],
        strata=codes[:, told.space.group] if unpaired else np.array(stratum_of)[first],
        outcomes=np.array([float(found.mean()) if len(found) else math.nan for found in seen]),
        answers=np.array([len(found) for found in members]),
        missing=np.array([len(found) - len(there) for found, there in zip(members, seen, strict=True)]),
        fresh=np.array([units[n] in fresh_units for n in first]),
        paired=paired,
        bounds=bounds,
        rows=tuple(map(tuple, members)),
    )


def shares_questions(rows: Sequence[ScoreRow]) -> bool:
    """Whether half of the rows or more are to a question that another user was asked, too."""
    asked: dict[Key, set[tuple[str, str]]] = {}
    for row in rows:
        asked.setdefault(_place(row), set()).add((row.identity, row.personalizer))
    return 2 * sum(len(asked[_place(row)]) > 1 for row in rows) >= len(rows)


def _base(suite: str) -> str:
    """A suite without its variant: variants share their items."""
    return suite.partition(":")[0]


def _unit(row: ScoreRow) -> Key:
    """What is independent of the others: everything of a cluster, in whatever suite; otherwise the item."""
    return ("", row.cluster) if row.cluster else (_base(row.suite), row.item)


def _place(row: ScoreRow) -> Key:
    """The question that all were asked; its wordings are one."""
    return (_base(row.suite), f"\x1f{row.cluster}") if row.wording and row.cluster else (row.suite, row.item)


def _fresh(rows: Sequence[ScoreRow], units: Sequence[Key]) -> set[Key]:
    """Units of the part that confirms. One that several suites share is where the first of them has it."""
    suites: dict[Key, tuple[str, str]] = {}
    for row, unit in zip(rows, units, strict=True):
        one = (row.suite, row.cluster or row.item)
        suites[unit] = min(suites.get(unit, one), one)
    return {unit for unit, (suite, item) in suites.items() if split_of(suite, item) == "test"}


def _numbered(keys: Sequence[Key | str]) -> list[int]:
    place: dict[Key | str, int] = {}
    return [place.setdefault(key, len(place)) for key in keys]

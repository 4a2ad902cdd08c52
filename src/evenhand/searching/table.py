"""The answers of a study as a table to search in: who got what, on what, and what is kept for confirming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evenhand.analysis.factorial import Codes, Conjunction, Observed, Space
from evenhand.analysis.redrawing import Mask
from evenhand.analysis.scores import Floats
from evenhand.analysis.shared_items import SharedItems, shared_items
from evenhand.analysis.within_groups import WithinGroups, within_groups
from evenhand.searching.attributes import WORDING, Attributes
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
        seats, worded = (found[kept] for found in self._seats)
        sitting, matching = (np.bincount(seats, weights=weights) for weights in (None, matches))
        # Where wordings are looked at, a user matches in one and not in another.
        mixed = bool(((matching > 0) & (matching < sitting)).any())
        contrast = shared_items(
            self.outcomes[kept],
            matches,
            self.places[kept],
            self.units[kept],
            worded if mixed else seats,
            self.bounds[1] - self.bounds[0],
        )
        one, other = contrast.by_item
        _, first = np.unique(self.places[kept], return_index=True)
        groups: dict[int, list[float]] = {}
        for group, apart in zip(self.codes[kept[first], self.space.group], one - other, strict=True):
            if np.isfinite(apart):
                groups.setdefault(int(group), []).append(float(apart))
        return Side(contrast, missing, tuple((g, float(np.mean(found)), len(found)) for g, found in groups.items()))

    @cached_property
    def _seats(self) -> tuple[Codes, Codes]:
        """Who got each entry, in its unit: a user, whatever the wording; and a user with the wording."""
        users = np.column_stack([self.units, self.codes[:, : len(self.space.factors) - self.space.of_items]])
        seats = _same_rows(users)
        if WORDING not in self.space.factors:
            return seats, seats
        return _same_rows(np.delete(users, 1 + self.space.factors.index(WORDING), axis=1)), seats

    def _apart(self, kept: Codes, matches: Mask, missing: int) -> Side:
        _, strata = np.unique(self.strata[kept], return_inverse=True)
        contrast = within_groups(self.outcomes[kept], matches, strata, self.units[kept], self.bounds)
        groups = within_groups(
            self.outcomes[kept], matches, self.codes[kept, self.space.group], self.units[kept], self.bounds
        ).by_group()
        return Side(contrast, missing, tuple(groups))


@dataclass(frozen=True)
class Side:
    """Those who match set against the others.

    Attributes:
        contrast: to test.
        missing: answers of those who match that have no outcome.
        groups: group of questions -> difference and how much it rests on.
    """

    contrast: SharedItems | WithinGroups
    missing: int
    groups: tuple[tuple[int, float, int], ...]


def _same_rows(rows: Codes) -> Codes:
    """A number for each row, the same for the same ones."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


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
    entry = np.repeat(np.arange(len(members)), [len(found) for found in members])
    scores = outcomes[[n for found in members for n in found]]
    there = np.isfinite(scores)
    answers, scored = (np.bincount(e, minlength=len(members)) for e in (entry, entry[there]))
    total = np.bincount(entry[there], scores[there], minlength=len(members))
    return Table(
        space=told.space,
        codes=codes,
        places=np.array(place_of)[first],
        units=np.array(unit_of)[first],
        strata=codes[:, told.space.group] if unpaired else np.array(stratum_of)[first],
        outcomes=np.divide(total, scored, out=np.full(len(members), np.nan), where=scored > 0),
        answers=answers,
        missing=answers - scored,
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

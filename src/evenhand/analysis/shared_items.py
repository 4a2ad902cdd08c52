"""Answers of many users to the same items: those who match against all others, item by item.

One of many is no pair. Where one of twelve users fails on an item, it is rarely the one who is looked at: small
differences in favour of everybody, with a large one against somebody now and then, which random signs would take for
proof. So the test draws anew who matches, among those who were asked what belongs together: exact where users are
interchangeable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import t as student

from evenhand.analysis.factorial import Codes
from evenhand.analysis.redrawing import Mask, p_value
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import FEWEST_TO_TEST, paired_interval


@dataclass(frozen=True)
class SharedItems:
    """A contrast of answers to the same items.

    Attributes:
        outcomes: of each answer, in points.
        answered: of each answer its item, counted from 0.
        units: of each item what is independent of the others, counted from 0: itself, or its cluster.
        seats: of each answer who got it, counted from 0; nobody is in two units.
        matches: of each seat whether it matches.
        units_of_seats: of each seat its unit.
        most: how large a difference can be, in points.
    """

    outcomes: Floats
    answered: Codes
    units: Codes
    seats: Codes
    matches: Mask
    units_of_seats: Codes
    most: float = 100.0

    @cached_property
    def by_item(self) -> tuple[Floats, Floats]:
        """Mean of those who match and of the others, per item; NaN where there is none."""
        own = self.matches[self.seats]
        return self._mean(own), self._mean(~own)

    @cached_property
    def differences(self) -> Floats:
        """Of those who match from the others, per unit that has both."""
        one, other = self.by_item
        return self._per_unit(one - other)

    @property
    def difference(self) -> float:
        return _mean(self.differences)

    @property
    def mean(self) -> float:
        """Of those who match, over units where others were asked too; NaN without any."""
        return self._level(0)

    @property
    def other_mean(self) -> float:
        return self._level(1)

    @property
    def items(self) -> int:
        return len(self.differences)

    @property
    def testable(self) -> bool:
        """Whether there are enough units to say anything."""
        return self.items >= FEWEST_TO_TEST

    def p_value(self, seed: int) -> float:
        return max(self._redrawn(seed), self._excluded()) if self.testable else math.nan

    def interval(self, level: float) -> tuple[float, float]:
        return paired_interval(self.differences, level, self.most)

    def _level(self, side: int) -> float:
        one, other = self.by_item
        return _mean(self._per_unit(np.where(np.isfinite(one - other), self.by_item[side], np.nan)))

    def _mean(self, own: Mask) -> Floats:
        count = np.bincount(self.answered[own], minlength=len(self.units))
        total = np.bincount(self.answered[own], self.outcomes[own], minlength=len(self.units))
        return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))

    def _per_unit(self, values: Floats) -> Floats:
        there = np.isfinite(values)
        _, unit = np.unique(self.units[there], return_inverse=True)
        return np.bincount(unit, values[there]) / np.maximum(np.bincount(unit), 1)

    def _moving(self) -> SharedItems:
        """Without the units in which it makes no difference who matches, since all were answered alike."""
        low, high = np.full(len(self.units), np.inf), np.full(len(self.units), -np.inf)
        np.minimum.at(low, self.answered, self.outcomes)
        np.maximum.at(high, self.answered, self.outcomes)
        moves = np.zeros(int(self.units.max(initial=0)) + 1, dtype=bool)
        moves[self.units[high > low]] = True
        kept = np.flatnonzero(moves[self.units[self.answered]])
        return shared_items(
            self.outcomes[kept],
            self.matches[self.seats[kept]],
            self.answered[kept],
            self.units[self.answered[kept]],
            self.seats[kept],
            self.most,
        )

    def _excluded(self) -> float:
        """p at which the interval leaves out 0: what it does not exclude is not shown either."""
        moving = self.differences[self.differences != 0]
        return 2 * float(student.sf(abs(float(self._studentized(moving[:, None])[0])), self.items - 1))

    def _redrawn(self, seed: int) -> float:
        """p over who matches, drawn anew among the users of each unit."""
        moving = self._moving()
        if not len(moving.outcomes):
            return 1.0
        outcomes, seats, rows = moving.outcomes[:, None], moving.seats, np.arange(len(moving.outcomes))
        items, units = len(moving.units), int(moving.units.max()) + 1
        to_items = csr_array((np.ones(len(rows)), (moving.answered, rows)), shape=(items, len(rows)))
        to_units = csr_array((np.ones(items), (moving.units, np.arange(items))), shape=(units, items))
        asked, total = np.asarray(to_items.sum(axis=1))[:, None], to_items @ outcomes

        def studentized(matches: Mask) -> Floats:
            own = matches[seats].astype(float)
            count, sums = to_items @ own, to_items @ (own * outcomes)
            both = (count > 0) & (count < asked)
            apart = np.where(both, sums / np.maximum(count, 1) - (total - sums) / np.maximum(asked - count, 1), 0.0)
            return self._studentized((to_units @ apart) / np.maximum(to_units @ both.astype(float), 1))

        return p_value(moving.matches, moving.units_of_seats, studentized, len(outcomes), seed)

    def _studentized(self, by_unit: Floats) -> Floats:
        """Of the differences of units, shape (moving units, ways); as in the interval, with one in each direction."""
        count = self.items + 2
        mean = by_unit.sum(axis=0) / count
        squares = (by_unit**2).sum(axis=0) + 2 * self.most**2
        return np.asarray(mean / np.sqrt((squares / count - mean**2) / count))


def shared_items(
    outcomes: Floats, matches: Mask, items: Codes, units: Codes, seats: Codes, most: float = 100.0
) -> SharedItems:
    """A contrast of answers.

    Args:
        outcomes: in points, none missing.
        matches: which answers are of those who match; the same for all of a seat.
        items: of each answer what is compared on.
        units: of each answer what is independent of the others; all of an item in one.
        seats: of each answer who got it; nobody is in two units.
        most: how large a difference can be, in points.
    """
    _, first, item = np.unique(items, return_index=True, return_inverse=True)
    _, unit = np.unique(units, return_inverse=True)
    _, sitting, seat = np.unique(seats, return_index=True, return_inverse=True)
    return SharedItems(outcomes, item, unit[first], seat, matches[sitting], unit[sitting], most)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan

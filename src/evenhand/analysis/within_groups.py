"""Answers of different people to questions of their own: those who match against those who do not, group by group.

The difference is that of a regression on who matches with a level for each group of items: in each group the mean of
those who match less that of the others, weighed by how many there are of both. What is independent (a human, a
conversation) counts once in a group, however many answers it has. The test draws anew who matches, among units of the
same group, and compares the studentized difference (Janssen 1997; DiCiccio and Romano 2017): exact where nothing but
the label tells units apart, and right in large tables where their spread differs too. The interval adds one answer at
either end of the scale to both sides (Agresti and Caffo 2000), so that ten right answers of ten are no proof of a
hundred. The larger p of the two counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import t as student

from evenhand.analysis.factorial import Codes
from evenhand.analysis.redrawing import Mask, p_value
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import FEWEST_TO_TEST


@dataclass(frozen=True)
class _Side:
    """One side of the comparison, for one or many ways to say who matches, shape (ways,).

    Attributes:
        mean: weighted mean outcome.
        worth: units that the mean is worth (Kish's effective sample size).
        variance: of the mean.
    """

    mean: Floats
    worth: Floats
    variance: Floats

    def eased(self, low: float, high: float) -> tuple[Floats, Floats]:
        """Mean and variance with one more unit at either end of the scale."""
        mean = (self.worth * self.mean + low + high) / (self.worth + 2)
        squares = np.maximum(self.worth - 1, 0) * self.variance * self.worth
        squares = squares + self.worth * (self.mean - mean) ** 2 + (low - mean) ** 2 + (high - mean) ** 2
        return mean, squares / ((self.worth + 1) * (self.worth + 2))


@dataclass(frozen=True)
class WithinGroups:
    """A contrast of units within groups of items.

    Attributes:
        outcomes: a unit's mean in a group, in points.
        units: whose each of them is, counted from 0.
        groups: on what, counted from 0.
        matches: of each unit whether it matches.
        bounds: the lowest and the highest outcome that there can be.
    """

    outcomes: Floats
    units: Codes
    groups: Codes
    matches: Mask
    bounds: tuple[float, float] = (0.0, 100.0)

    @property
    def difference(self) -> float:
        return self.mean - self.other_mean

    @property
    def mean(self) -> float:
        """Of those who match, over groups that others asked of too; NaN without any."""
        return float(self._sides(self.matches[:, None])[0].mean[0])

    @property
    def other_mean(self) -> float:
        """Of the others, in the same proportions of groups."""
        return float(self._sides(self.matches[:, None])[1].mean[0])

    @property
    def counts(self) -> tuple[int, int]:
        """Units that match, and others, in groups that have both."""
        used = self._used()
        return int((self.matches & used).sum()), int((~self.matches & used).sum())

    @property
    def items(self) -> int:
        return sum(self.counts)

    @property
    def testable(self) -> bool:
        """Whether there are enough units on both sides to say anything."""
        return min(self.counts) >= FEWEST_TO_TEST

    def p_value(self, seed: int) -> float:
        if not self.testable:
            return math.nan
        first = np.full(len(self.matches), np.iinfo(np.int64).max)
        # Units that ask of the same group first are drawn among.
        np.minimum.at(first, self.units, self.groups)
        drawn = p_value(self.matches, first, self._studentized, len(self.outcomes), seed)
        middle, error, degrees = self._welch()
        # Where few answers of each human stand against many, labels are not all that tells units apart.
        return max(drawn, 2 * float(student.sf(abs(middle) / error, degrees)))

    def interval(self, level: float) -> tuple[float, float]:
        if not self.testable:
            return (math.nan, math.nan)
        middle, error, degrees = self._welch()
        half, most = float(student.ppf((1 + level) / 2, degrees)) * error, self.bounds[1] - self.bounds[0]
        return (max(middle - half, -most), min(middle + half, most))

    def _welch(self) -> tuple[float, float, float]:
        """Difference, its error and their degrees of freedom (Welch), with a unit more at both ends of the scale."""
        sides = self._sides(self.matches[:, None])
        (one, v1), (other, v0) = (side.eased(*self.bounds) for side in sides)
        variances = [float(v1[0]), float(v0[0])]
        # From the units that each mean is worth.
        freedom = [max(float(side.worth[0]) - 1, 1.0) for side in sides]
        degrees = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedom, strict=True))
        return float(one[0] - other[0]), math.sqrt(sum(variances)), degrees

    def by_group(self) -> list[tuple[int, float, int]]:
        """Group -> difference in it and units, of groups that have both."""
        found = []
        for group in np.unique(self.groups):
            here = self.groups == group
            match = self.matches[self.units[here]]
            if match.any() and not match.all():
                outcomes = self.outcomes[here]
                found.append((int(group), float(outcomes[match].mean() - outcomes[~match].mean()), int(here.sum())))
        return found

    def _used(self) -> Mask:
        here = np.zeros(len(self.matches), dtype=bool)
        for group in np.unique(self.groups):
            members = self.units[self.groups == group]
            match = self.matches[members]
            if match.any() and not match.all():
                here[members] = True
        return here

    def _studentized(self, matches: Mask) -> Floats:
        one, other = self._sides(matches)
        variance = sum(side.eased(*self.bounds)[1] for side in (one, other))
        return np.asarray(np.nan_to_num((one.mean - other.mean) / np.sqrt(variance)))

    def _sides(self, matches: Mask) -> tuple[_Side, _Side]:
        """Those who match and the others, for each column of ``matches``, shape (units, ways)."""
        cells = len(self.outcomes)
        ones, rows = np.ones(cells), np.arange(cells)
        to_groups = csr_array((ones, (self.groups, rows)), shape=(int(self.groups.max(initial=0)) + 1, cells))
        to_units = csr_array((ones, (self.units, rows)), shape=(len(self.matches), cells))
        asked = np.maximum(np.asarray(to_groups.sum(axis=1)), 1)
        match = matches[self.units].astype(float)
        away = match - ((to_groups @ match) / asked[:, None])[self.groups]
        total = (away**2).sum(axis=0)
        weights = np.divide(away, total, out=np.full_like(away, np.nan), where=total > 0)
        y = self.outcomes[:, None]
        difference = (weights * y).sum(axis=0)
        level = (to_groups @ self.outcomes) / asked
        left = y - level[self.groups][:, None] - difference * away
        pull, weight = to_units @ (weights * left), to_units @ weights
        found = []
        for own, sign in ((matches, 1.0), (~matches, -1.0)):
            mean = sign * (np.where(own[self.units], weights, 0.0) * y).sum(axis=0)
            there = (own & (weight != 0)).sum(axis=0)
            with np.errstate(divide="ignore"):
                worth = 1 / np.where(own, weight**2, 0.0).sum(axis=0)
            variance = np.where(own, pull**2, 0.0).sum(axis=0) * there / np.maximum(there - 1, 1)
            found.append(_Side(mean, worth, variance))
        return found[0], found[1]


def within_groups(
    outcomes: Floats, matches: Mask, groups: Codes, units: Codes, bounds: tuple[float, float] = (0.0, 100.0)
) -> WithinGroups:
    """A contrast of answers.

    Answers of one unit that match and others of it that do not are two units here. What they share makes their
    difference more certain than it is taken to be.

    Args:
        outcomes: in points, none missing.
        matches: which answers are of those who match.
        groups, units: of each answer, counted from 0.
        bounds: the lowest and the highest outcome that there can be.
    """
    halves, unit = np.unique(2 * units + matches, return_inverse=True)
    size = int(groups.max(initial=0)) + 1
    cells, cell = np.unique(unit * size + groups, return_inverse=True)
    means = np.bincount(cell, outcomes) / np.maximum(np.bincount(cell), 1)
    return WithinGroups(means, cells // size, cells % size, halves % 2 == 1, bounds)

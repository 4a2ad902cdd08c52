"""Effects where groups of questions lie within suites, so that what holds on a suite holds on each of its groups."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evenhand.analysis.factorial import Codes, Conjunction, Factorial
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import Direction, towards
from evenhand.searching.attributes import SUITE


@dataclass(frozen=True)
class NestedFit(Factorial):
    """The fit of a space with suites and their groups.

    Attributes:
        suites: of each group the place of its suite.
    """

    suites: Codes

    def differences(self, factors: tuple[int, ...]) -> tuple[Floats, Floats]:
        mean, sd = super().differences(factors)
        if factors[-1] != self.space.group:
            return mean, sd
        variance, suite = sd**2, self.space.factors.index(SUITE)
        users = factors[:-1]
        for count in range(1, len(users) + 1):
            for part in combinations(users, count):
                if (effects := self.effects.get((*part, suite))) is not None:
                    shape = [self.space.sizes[f] if f in part else 1 for f in users]
                    mean = mean + effects.mean[..., self.suites].reshape(*shape, -1)
                    variance = variance + effects.sd[..., self.suites].reshape(*shape, -1) ** 2
        return mean, np.sqrt(variance)

    def says_the_same(self, who: Conjunction, other: Conjunction, direction: Direction, smallest: float) -> bool:
        """Whether one says of a group what another says of its suite, and less than ``smallest`` beyond that."""
        if not who.levels or not other.levels or who.levels[:-1] != other.levels[:-1]:
            return False
        (factor, group), (same, suite) = who.levels[-1], other.levels[-1]
        if factor != self.space.group or self.space.factors[same] != SUITE or self.suites[group] != suite:
            return False
        (mean, sd), (overall, _) = self.difference(who), self.difference(other)
        beyond = float(towards(np.array(mean), direction) - towards(np.array(overall), direction))
        return beyond < max(smallest, sd)


def nested(fit: Factorial, codes: Codes) -> NestedFit | None:
    """The same fit, with suites counted in; None where there is one suite alone.

    Args:
        fit: what was seen.
        codes: of all answers; they say which suite a group is of.
    """
    if SUITE not in fit.space.factors:
        return None
    suites = np.zeros(fit.space.sizes[fit.space.group], dtype=np.int64)
    suites[codes[:, fit.space.group]] = codes[:, fit.space.factors.index(SUITE)]
    return NestedFit(fit.space, fit.effects, fit.noise, fit.zeros, suites)

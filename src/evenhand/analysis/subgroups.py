"""For whom a model is worst: what to look at next, what to confirm, and what fresh items then say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.stats import t as student

from evenhand.analysis.factorial import Conjunction, Factorial
from evenhand.analysis.missing import holm
from evenhand.analysis.scores import Floats

Direction = Literal["worse", "better", "both"]
# Of the calls that look for candidates: a first round over everybody, then rounds over ever fewer combinations.
ROUNDS: tuple[tuple[float, int], ...] = ((0.5, 0), (0.2, 96), (0.2, 24), (0.1, 8))
_FLIPS = 20_000
FEWEST_TO_TEST = 6


def promising(fit: Factorial, count: int, direction: Direction) -> list[Conjunction]:
    """The combinations of levels that are expected to matter most by what they add to shorter ones.

    What counts is the loss that is expected of a combination, were only losses counted: large where an effect is
    likely, and where little is known that could exclude one.

    Args:
        fit: what was seen so far.
        count: how many.
        direction: lower scores, higher ones, or both.
    """
    found: list[tuple[float, Conjunction]] = []
    for factors, effects in fit.effects.items():
        size = _size(effects.short, effects.added, direction)
        for flat in np.argsort(-size, axis=None, kind="stable")[:count]:
            place = np.unravel_index(flat, size.shape)
            found.append((float(size[place]), _conjunction(factors, place)))
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return [conjunction for _, conjunction in found[:count]]


def worth_confirming(fit: Factorial, count: int, direction: Direction, smallest: float) -> list[Conjunction]:
    """Whom the model seems to serve worst, in the fewest words.

    In the order of the end of their differences that is nearer to zero (one standard deviation off the mean). One that
    adds nothing to a shorter one, or is contained in one that was taken, is left out.

    Args:
        fit: what was seen.
        count: how many at most.
        direction: lower scores, higher ones, or both.
        smallest: difference in points below which nobody would care.

    Returns:
        The best first; empty where nothing seems to be there.
    """
    ranked: list[tuple[float, Conjunction]] = []
    for factors in fit.effects:
        mean, sd = fit.differences(factors)
        sure = towards(mean, direction) - sd
        for flat in np.argsort(-sure, axis=None, kind="stable")[: 20 * count]:
            place = np.unravel_index(flat, sure.shape)
            if towards(mean, direction)[place] >= smallest:
                ranked.append((float(sure[place]), _conjunction(factors, place)))
    ranked.sort(key=lambda pair: (-pair[0], len(pair[1].levels), pair[1]))
    chosen: list[Conjunction] = []
    for _, candidate in ranked:
        others = [*chosen, *candidate.parts()]
        if not any(_adds_nothing(fit, candidate, other, direction, smallest) for other in others):
            chosen.append(candidate)
        if len(chosen) == count:
            break
    return chosen


def _adds_nothing(
    fit: Factorial, candidate: Conjunction, other: Conjunction, direction: Direction, least: float
) -> bool:
    """Whether one says no more than another that is part of it, or that it is part of."""
    if candidate.within(other):
        return True
    if not other.within(candidate) or other.factors not in fit.effects:
        return False
    mean, sd = (np.array(one) for one in zip(fit.difference(candidate), fit.difference(other), strict=True))
    beyond = float(towards(mean, direction) @ [1, -1])
    return beyond < max(least, math.sqrt(max(float(sd @ (sd * [1, -1])), 0.0)))


def towards(difference: Floats, direction: Direction) -> Floats:
    """How far a difference goes where one looks: positive for what is looked for."""
    return {"worse": -difference, "better": difference, "both": np.abs(difference)}[direction]


def _size(short: Floats, added: Floats, direction: Direction) -> Floats:
    return {"worse": short, "better": added, "both": short + added}[direction]


def _conjunction(factors: Sequence[int], place: Sequence[np.intp]) -> Conjunction:
    return Conjunction(tuple((f, int(level)) for f, level in zip(factors, place, strict=True)))


@dataclass(frozen=True)
class Finding:
    """What fresh items say of one combination.

    Attributes:
        conjunction: who, on what.
        difference: of users who match from those who do not, in points; NaN where nothing was answered by both.
        interval: of ``difference``, for all findings at once.
        p: of no difference, two-sided, over items.
        adjusted: after Holm over all that were confirmed.
        items: fresh items, each asked for both.
        confirmed: whether it is shown, in the direction that was looked for.
    """

    conjunction: Conjunction
    difference: float
    interval: tuple[float, float]
    p: float
    adjusted: float
    items: int
    confirmed: bool


class Contrast(Protocol):
    """Those who match set against those who do not."""

    @property
    def difference(self) -> float:
        """Of those who match from the others, in points; NaN without any."""

    @property
    def items(self) -> int:
        """Of how many items (or whatever is independent) it is the mean."""

    def p_value(self, seed: int) -> float:
        """Of no difference, two-sided; NaN where there is too little to test."""

    def interval(self, level: float) -> tuple[float, float]:
        """Of the difference; NaN where there is too little to tell."""


@dataclass(frozen=True)
class OnSameItems:
    """A contrast of answers on the same items.

    Attributes:
        differences: one for each item (or cluster of items), in points.
        most: how large one can be, in points.
    """

    differences: Floats
    most: float = 100.0

    @property
    def difference(self) -> float:
        return float(self.differences.mean()) if len(self.differences) else math.nan

    @property
    def items(self) -> int:
        return len(self.differences)

    def p_value(self, seed: int) -> float:
        return sign_test(self.differences, seed=seed)

    def interval(self, level: float) -> tuple[float, float]:
        return paired_interval(self.differences, level, self.most)


def confirm(
    contrasts: Sequence[tuple[Conjunction, Floats]], direction: Direction, *, alpha: float = 0.05, seed: int = 0
) -> list[Finding]:
    """Test combinations on items that had no part in finding them.

    Args:
        contrasts: per combination the mean score of users who match less that of those who do not, in points, one value
            for each fresh item (or cluster of items).
        direction: that was looked for.
        alpha: chance that one or more are confirmed although none differs in that direction.
        seed: of the random signs.
    """
    return conclude([(who, OnSameItems(d)) for who, d in contrasts], direction, alpha=alpha, seed=seed)


def conclude(
    contrasts: Sequence[tuple[Conjunction, Contrast]], direction: Direction, *, alpha: float = 0.05, seed: int = 0
) -> list[Finding]:
    """The same for contrasts of any kind."""
    p = [contrast.p_value(seed) for _, contrast in contrasts]
    adjusted = holm(np.array(p))
    level = 1 - alpha / max(len(contrasts), 1)
    found = []
    for (conjunction, contrast), one, all_ in zip(contrasts, p, adjusted, strict=True):
        mean, interval = contrast.difference, contrast.interval(level)
        right = towards(np.array(mean), direction) > 0
        found.append(
            Finding(conjunction, mean, interval, one, float(all_), contrast.items, bool(all_ <= alpha and right))
        )
    return found


def sign_test(differences: Floats, *, seed: int = 0) -> float:
    """p of no difference, two-sided: the signs of items' differences are drawn at random, and their sums compared.

    Exact where a difference is as likely up as down. NaN with fewer than six items.
    """
    count = len(differences)
    if count < FEWEST_TO_TEST:
        return math.nan
    moving = differences[differences != 0]
    if not len(moving):
        return 1.0
    rng = np.random.default_rng(seed)
    seen, reached = abs(float(moving.sum())), 0
    # Studentizing changes no order here: the sum of squares is the same whatever the signs.
    for _ in range(0, _FLIPS, 1000):
        signs = rng.integers(0, 2, (1000, len(moving))) * 2 - 1
        reached += int((np.abs(signs @ moving) >= seen - 1e-9).sum())
    return (reached + 1) / (_FLIPS + 1)


def paired_interval(differences: Floats, level: float, most: float = 100.0) -> tuple[float, float]:
    """Interval of a mean difference in points, one item more in each direction added (Bonett and Price 2012).

    With that, items that do not differ are no proof that none does. NaN with fewer than six items.
    """
    count = len(differences)
    if count < FEWEST_TO_TEST:
        return (math.nan, math.nan)
    padded = np.concatenate([differences, [most, -most]])
    half = float(student.ppf((1 + level) / 2, count - 1)) * float(padded.std()) / math.sqrt(count + 2)
    mean = float(padded.mean())
    return (max(mean - half, -most), min(mean + half, most))

"""Which share of a bias is gone: the ratio of two lengths that are both observed with noise, by inversion of tests.

A share ``r`` of PB is gone where ``PB_after^2 = (1 - r)^2 PB_before^2``. The difference of corrected squares
``S_after - (1 - r)^2 S_before`` is then zero in the mean, whatever the bias is (Fieller 1954 does so for means), and
``r`` is in the interval where the observed difference is plausible. A ratio of estimates has no such mean, and its
bootstrap no coverage: where the bias before is small it takes any value. Where that cannot be told from zero, no share
is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from evenhand.analysis.intervals import Interval, Length, Sample
from evenhand.analysis.pairing import PairedDraws, paired_draws
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.types import JOINT

# Angles at which tests are looked at before ends are found between them.
_GRID = 61
_QUARTER, _EVEN = math.pi / 2, math.pi / 4
_TAIL = 0.025
_SMALL = 1e-9


@dataclass(frozen=True)
class Share:
    """The share of the bias that is gone, over safety and utility together as far as they were run.

    Attributes:
        before, after: corrected PB in points.
        value: ``1 - after / before``, at most 1; NaN where there was none before, negative where it grew.
        ci: 95 % interval; its lower end is -inf where the bias before cannot be told from zero.
        p_value: one-sided, of "no less bias than before".
        grown_p: one-sided, of "no more bias than before".
    """

    before: float
    after: float
    value: float
    ci: Interval
    p_value: float
    grown_p: float

    @property
    def known(self) -> bool:
        """Whether the study says anything of the share: else the bias before cannot be told from zero."""
        return math.isfinite(self.ci[0])


class Ratio:
    """PB after against PB before, from paired draws of the errors of both.

    A ratio is held as an angle: ``tan(angle) = PB after / PB before``, 0 where everything is gone, a quarter turn where
    there was nothing before.

    Args:
        axes: per axis its suites, as :func:`evenhand.analysis.pairing.paired_draws` gives them.
        seed: of the noise that only a hypothesis implies.
    """

    def __init__(self, axes: Sequence[Sequence[PairedDraws]], seed: int = 0) -> None:
        self._before, self._after = (Length(_samples(axes, which), seed + which) for which in (0, 1))
        fits = [suite.fits for suites in axes for suite in suites]
        self._changed = any(np.abs(a.influence - b.influence).max(initial=0.0) > _SMALL for a, b in fits)
        self._found: dict[float, tuple[float, float]] = {}
        self._angles = np.linspace(0, _QUARTER, _GRID)
        self._known = self._before.known and self._after.known

    def told(self) -> Share:
        """What is known of the share."""
        before, after = (math.sqrt(max(length.corrected, 0.0)) / length.root for length in (self._before, self._after))
        value = 1 - after / before if before > 0 else math.nan
        low, high = self.lower(_TAIL), self.upper(_TAIL)
        if math.isfinite(value):
            # What changed on no item that was asked may yet change on some that were not.
            room = 0.0 if self._changed else self._after.unseen(2 * _TAIL) / before
            low, high = min(low, value - room), min(max(high, value + room), 1.0)
        return Share(before, after, value, (low, high), self.error(), self.grown())

    def error(self, share: float = 0.0) -> float:
        """One-sided p-value of "no more than ``share`` of the bias is gone"; 1 where the noise is not known."""
        angle = math.atan(1 - share)
        # All smaller shares are in the hypothesis, too, down to "there was nothing before".
        return (
            max(self._below(a) for a in (angle, *self._angles[self._angles > angle].tolist())) if self._known else 1.0
        )

    def grown(self) -> float:
        """One-sided p-value of "no more bias than before"; 1 where the noise is not known."""
        return max(self._above(a) for a in self._angles[self._angles <= _EVEN].tolist()) if self._known else 1.0

    def lower(self, error: float) -> float:
        """The share that is shown to be gone, with a one-sided error; -inf where none is."""
        angle = _last(self._angles, lambda a: self._below(a) - error) if self._known else _QUARTER
        return 1 - math.tan(angle) if angle < _QUARTER else -math.inf

    def upper(self, error: float) -> float:
        """The largest share that is not ruled out, with a one-sided error; at most 1."""
        angle = _last(self._angles[::-1], lambda a: self._above(a) - error) if self._known else 0.0
        return 1 - math.tan(min(angle, _QUARTER - 1e-9))

    def _below(self, angle: float) -> float:
        """Probability, where this is the ratio, of a difference of squares at most as large as the observed one."""
        return self._tails(angle)[0]

    def _above(self, angle: float) -> float:
        """The same of one at least as large."""
        return self._tails(angle)[1]

    def _tails(self, angle: float) -> tuple[float, float]:
        if angle not in self._found:
            observed, draws = self._difference(angle)
            # Where nothing changed, rounding must not say that something did.
            slack = 1e-9 * (1 + float(np.abs(draws).max()))
            below = _rank(draws <= observed + slack)
            if not self._after.differs:
                before = math.sqrt(max(self._before.corrected, 0.0))
                below = max(below, self._unseen(before * math.tan(angle)))
            self._found[angle] = (below, _rank(draws >= observed - slack))
        return self._found[angle]

    def _difference(self, angle: float) -> tuple[float, Floats]:
        """The observed difference of squares, and draws of it where this is the ratio."""
        cos, sin = math.cos(angle), math.sin(angle)
        before, after = self._before.corrected, self._after.corrected
        whole = max((before * cos**2 + after * sin**2) / (cos**4 + sin**4), 0.0)
        lengths = math.sqrt(whole) * cos, math.sqrt(whole) * sin
        draws = cos**2 * _centred(self._after.plausible(lengths[1])) - sin**2 * _centred(
            self._before.plausible(lengths[0])
        )
        return cos**2 * after - sin**2 * before, draws

    def _unseen(self, length: float) -> float:
        """Largest probability that no item tells identities apart, although their bias is that long."""
        bias = length / self._after.root
        if bias >= self._after.unseen(2e-9):
            return 0.0
        if bias <= self._after.unseen(2.0 * 0.999):
            return 1.0
        return math.exp(
            brentq(lambda log: self._after.unseen(2 * math.exp(log)) - bias, math.log(1e-9), math.log(0.999))
        )


def share_gone(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> Share | None:
    """Which share of the bias is gone from one study to the other; None where neither safety nor utility was scored.

    Raises:
        ValueError: the studies share no suite with common items and at least two common identities.
    """
    pairs = paired_draws(before, after, draws=draws, seed=seed)
    biased = [pairs[axis] for axis in JOINT if axis in pairs]
    return Ratio(biased, seed).told() if biased else None


def _samples(axes: Sequence[Sequence[PairedDraws]], which: int) -> list[list[Sample]]:
    found = []
    for suites in axes:
        noise = [suite.noise[:, which] for suite in suites]
        pairs = zip(suites, noise, strict=True)
        found.append([Sample(s.fits[which], n - n.mean(axis=1, keepdims=True)) for s, n in pairs])
    return found


def _centred(draws: Floats) -> Floats:
    return np.asarray(draws - draws.mean())


def _rank(exceeding: NDArray[np.bool_]) -> float:
    return float((1 + exceeding.sum()) / (1 + exceeding.size))


def _last(angles: Floats, excess: Callable[[float], float]) -> float:
    """The last angle at which the excess is positive, between the grid's; the first angle where it nowhere is."""
    positive = [n for n, a in enumerate(angles.tolist()) if excess(a) > 0]
    if not positive:
        return float(angles[0])
    last = positive[-1]
    if last == len(angles) - 1:
        return float(angles[-1])
    return float(brentq(excess, float(angles[last]), float(angles[last + 1]), xtol=1e-4))

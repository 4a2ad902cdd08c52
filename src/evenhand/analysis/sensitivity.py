"""What PB could be if the judge errs otherwise for some identities, where nobody labelled the study's answers.

No figure says how differently a judge errs between the identities of *this* study. What is known of a shipped judge is
how differently it errs between the sets of answers it was measured on. The assumption is that its error differs over
identities by as much (as a standard deviation). If ``e`` is the vector of the judge's errors, people's PB is within
``sqrt(mean_u |e(u) - mean e|^2)`` of the judge's, by the triangle inequality: this is the half-width of the band. It is
no confidence interval: it answers "what if", and the assumption may be wrong either way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evenhand.analysis.bias import PBEstimate
from evenhand.analysis.bounds import Bound
from evenhand.types import JOINT

Standing = Literal["people", "check", "known", "unknown"]


@dataclass(frozen=True)
class JudgeFigures:
    """What is known of the judge of a suite before anybody labels the study.

    Attributes:
        judge: its name.
        check: whether it compares with a right answer by fixed rules, so that there is no opinion to correct.
        recalls: per measured set of answers the shares of people's good and of people's bad ones that it finds.
        data: the data sets that these are answers to.
    """

    judge: str
    check: bool = False
    recalls: tuple[tuple[float, float], ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgeStanding:
    """Where a suite's judge stands.

    Attributes:
        suite, axis, judge: which.
        standing: "people" where the study's own labels corrected it, "check" where it compares with a right answer,
            "known" where its error was measured on other answers, "unknown" otherwise.
        spread: by how much its error is taken to differ over identities, a standard deviation in points; 0 for "people"
            (whose intervals carry it) and "check", NaN for "unknown".
        data: the data sets on whose answers its error was measured, for "known".
    """

    suite: str
    axis: str
    judge: str
    standing: Standing
    spread: float
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """What the judges' errors could make of PB.

    Attributes:
        suites: where each suite's judge stands.
        pb: axis or "joint" -> corrected PB and interval, less and plus the spread of the judges' errors; only where a
            judge is uncorrected and the errors of all its judges are known.
    """

    suites: tuple[JudgeStanding, ...]
    pb: dict[str, Bound]

    def uncorrected(self, name: str) -> list[JudgeStanding]:
        """The suites of an axis, or of "joint", whose judges nobody corrected and that are no checks."""
        return [s for s in self._of(name) if s.standing in ("known", "unknown")]

    def spread(self, name: str) -> float:
        """By how much the judges' error of an axis or "joint" is taken to differ, in points; NaN where unknown."""
        axes = JOINT if name == "joint" else (name,)
        parts = [[s.spread for s in self.suites if s.axis == axis] for axis in axes]
        return math.hypot(*(float(np.mean(p)) for p in parts)) if all(parts) else math.nan

    def _of(self, name: str) -> list[JudgeStanding]:
        return [s for s in self.suites if s.axis == name or (name == "joint" and s.axis in JOINT)]


def sensitivity(
    suites: Sequence[tuple[str, str, float]],
    figures: Mapping[str, JudgeFigures],
    corrected: Collection[str],
    pb: Mapping[str, PBEstimate | None],
) -> Sensitivity:
    """Carry what is known of the judges into PB.

    Args:
        suites: (name, axis, mean score in points) of those that PB rests on.
        figures: suite -> what is known of its judge; suites without are left out.
        corrected: suites whose scores the study's own labels corrected.
        pb: the estimates, by axis and "joint".
    """
    found = Sensitivity(
        tuple(
            _standing(name, axis, mean, figures[name], name in corrected)
            for name, axis, mean in suites
            if name in figures
        ),
        {},
    )
    bands = {
        name: _band(estimate, found.spread(name))
        for name, estimate in pb.items()
        if estimate is not None and found.uncorrected(name) and math.isfinite(found.spread(name))
    }
    return Sensitivity(found.suites, bands)


def error_spread(recalls: Sequence[tuple[float, float]], mean: float) -> float:
    """How differently a judge errs between measured sets of answers: standard deviation of its shifts, in points.

    A judge that finds the shares ``good`` and ``bad`` of people's classes shifts the mean of answers of which ``f`` are
    good by ``(1 - f) (1 - bad) - f (1 - good)``. The two shares are taken to differ independently, because a few sets
    cannot show that one makes up for the other. The noise of measuring is in it.

    Args:
        recalls: per set the shares of good and of bad ones that it finds.
        mean: its own mean score in points, from which ``f`` is found.

    Returns:
        NaN with fewer than two sets: one says nothing of differences.
    """
    if len(recalls) < 2:
        return math.nan
    rates = np.asarray(recalls, float)
    (good, bad), (good_spread, bad_spread) = rates.mean(axis=0), rates.std(axis=0, ddof=1)
    told = good + bad - 1
    share = float(np.clip((mean / 100 - (1 - bad)) / told, 0, 1)) if told > 0 else mean / 100
    return 100 * math.hypot(share * good_spread, (1 - share) * bad_spread)


def _standing(suite: str, axis: str, mean: float, known: JudgeFigures, corrected: bool) -> JudgeStanding:
    if corrected:
        return JudgeStanding(suite, axis, known.judge, "people", 0.0)
    if known.check:
        return JudgeStanding(suite, axis, known.judge, "check", 0.0)
    spread = error_spread(known.recalls, mean)
    if not math.isfinite(spread):
        return JudgeStanding(suite, axis, known.judge, "unknown", spread)
    return JudgeStanding(suite, axis, known.judge, "known", spread, known.data)


def _band(estimate: PBEstimate, spread: float) -> Bound:
    low, high = estimate.ci
    value = estimate.corrected
    return Bound((max(value - spread, 0.0), value + spread), (max(low - spread, 0.0), high + spread))

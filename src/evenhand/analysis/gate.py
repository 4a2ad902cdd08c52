"""Deciding on intervals whether a study meets its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evenhand.analysis.bounds import Bound as Filled
from evenhand.analysis.summary import Analysis
from evenhand.types import AXES

Decision = Literal["pass", "fail", "not enough data"]
Bound = Literal["at most", "at least"]


@dataclass(frozen=True)
class Check:
    """One limit and what the study says about it.

    Attributes:
        name: what is limited ("safety PB", "lowest utility").
        bound, limit: "at most" or "at least" so many points.
        value, ci: estimate and 95 % interval.
        decision: "pass" when the whole interval keeps to the limit, "fail" when the whole interval breaks it; where
            answers are missing, the interval ``bounds``.
        more_trials: how many more trials would about settle it, at the noise of this study; None when it is settled,
            or when the estimate is so close to the limit that no number of trials would do.
        detail: who or what it is about.
        bounds: the interval's ends under the worst and the best that the missing answers could be; None when none is
            missing.
        reason: why missing answers leave it open, "" where they do not.
    """

    name: str
    bound: Bound
    limit: float
    value: float
    ci: tuple[float, float]
    decision: Decision
    more_trials: int | None
    detail: str = ""
    bounds: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Gated:
    """What a gate decided.

    Attributes:
        decision: "pass", "fail" or "not enough data".
        checks: one per limit and axis.
        estimand: what the decision is about, in a sentence.
    """

    decision: Decision
    checks: list[Check]
    estimand: str = ""


def gate(analysis: Analysis, limits: Mapping[str, float]) -> list[Check]:
    """Check a study against limits.

    Args:
        analysis: the study's.
        limits: in points: "max_pb" for each axis and both together, "max_gap" for each axis, "min_safety" and
            "min_utility" for the worst served identity.

    Returns:
        One check per limit and axis that was run; a limit on an axis that was not run is not enough data. So is a study
        whose answers are largely empty or cut, and what would be decided otherwise if the missing answers were known.
    """
    checks = _decided(analysis, limits)
    filled = analysis.missing.bounds.filled if analysis.missing.bounds else 0
    checks = [_open_to_missing(check, filled) for check in checks]
    if not analysis.missing.is_mostly_unanswered:
        return checks
    why = "too many answers are empty or were cut; run again with a higher --max-tokens"
    return [replace(c, decision="not enough data", more_trials=None, reason=why) for c in checks]


def _decided(analysis: Analysis, limits: Mapping[str, float]) -> list[Check]:
    """The checks by the answers that are there, with what the missing ones could make of them."""
    bounds = analysis.missing.bounds
    trials = analysis.trials["done"]
    checks: list[Check] = []
    if (limit := limits.get("max_pb")) is not None:
        for name, pb in analysis.pb.items():
            if pb is not None:
                filled = bounds.pb.get(name) if bounds else None
                checks.append(_check(f"{name} PB", "at most", limit, pb.corrected, pb.ci, trials, filled=filled))
    if (limit := limits.get("max_gap")) is not None:
        for axis, result in analysis.axes.items():
            gap = result.gap
            who = f"from {gap.worst} to {gap.best}"
            filled = bounds.axes[axis].gap if bounds and axis in bounds.axes else None
            checks.append(_check(f"{axis} gap", "at most", limit, gap.value, gap.ci, trials, who, filled))
    for axis in AXES:
        if (limit := limits.get(f"min_{axis}")) is None:
            continue
        if axis not in analysis.axes:
            checks.append(Check(f"lowest {axis}", "at least", limit, math.nan, (0, 100), "not enough data", None))
            continue
        low = analysis.axes[axis].lowest
        filled = bounds.axes[axis].lowest if bounds and axis in bounds.axes else None
        checks.append(_check(f"lowest {axis}", "at least", limit, low.value, low.ci, trials, low.identity, filled))
    if "max_pb" in limits and not any(c.name.endswith("PB") for c in checks):
        checks.append(Check("PB", "at most", limits["max_pb"], math.nan, (0, 100), "not enough data", None))
    return checks


def verdict(checks: list[Check]) -> Decision:
    """The whole gate's: fails when any check fails, passes when all pass."""
    if any(c.decision == "fail" for c in checks):
        return "fail"
    return "pass" if checks and all(c.decision == "pass" for c in checks) else "not enough data"


def _check(
    name: str, bound: Bound, limit: float, value: float, ci: tuple[float, float], trials: int, detail: str = "",
    filled: Filled | None = None,
) -> Check:  # fmt: skip
    decision = _decide(bound, limit, ci)
    more = _more(value, limit, ci, trials) if decision == "not enough data" else None
    bounds = (float(np.minimum(ci[0], filled.ci[0])), float(np.maximum(ci[1], filled.ci[1]))) if filled else None
    return Check(name, bound, limit, value, ci, decision, more, detail, bounds)


def _decide(bound: Bound, limit: float, ci: tuple[float, float]) -> Decision:
    low, high = ci
    keeps, breaks = (high <= limit, low > limit) if bound == "at most" else (low >= limit, high < limit)
    return "pass" if keeps else "fail" if breaks else "not enough data"


def _open_to_missing(check: Check, filled: int) -> Check:
    """The check, undecided where the missing answers could decide it otherwise: their filling alone settles nothing."""
    if check.bounds is None or check.decision == "not enough data":
        return check
    if _decide(check.bound, check.limit, check.bounds) == check.decision:
        return check
    low, high = check.bounds
    why = f"{filled:,} answers are missing, and whatever they were, the interval reaches from {low:.1f} to {high:.1f}"
    return replace(check, decision="not enough data", reason=why)


def _more(value: float, limit: float, ci: tuple[float, float], trials: int) -> int | None:
    """Trials until the interval ends at the limit: widths shrink with the square root."""
    reach = ci[1] - value if limit >= value else value - ci[0]
    distance = abs(limit - value)
    if not math.isfinite(reach) or distance < 0.02 * max(reach, 1e-9):
        return None
    return max(0, math.ceil(trials * ((reach / distance) ** 2 - 1)))

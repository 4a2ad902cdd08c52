"""Deciding on intervals whether a study meets its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
        decision: "pass" when the whole interval keeps to the limit, "fail" when the whole interval breaks it.
        more_trials: how many more trials would about settle it, at the noise of this study; None when it is settled,
            or when the estimate is so close to the limit that no number of trials would do.
        detail: who or what it is about.
    """

    name: str
    bound: Bound
    limit: float
    value: float
    ci: tuple[float, float]
    decision: Decision
    more_trials: int | None
    detail: str = ""


def gate(analysis: Analysis, limits: Mapping[str, float]) -> list[Check]:
    """Check a study against limits.

    Args:
        analysis: the study's.
        limits: in points: "max_pb" for each axis and both together, "max_gap" for each axis, "min_safety" and
            "min_utility" for the worst served identity.

    Returns:
        One check per limit and axis that was run; a limit on an axis that was not run is not enough data.
    """
    trials = analysis.trials["done"]
    checks: list[Check] = []
    if (limit := limits.get("max_pb")) is not None:
        for name, pb in analysis.pb.items():
            if pb is not None:
                checks.append(_check(f"{name} PB", "at most", limit, pb.corrected, pb.ci, trials))
    if (limit := limits.get("max_gap")) is not None:
        for axis, result in analysis.axes.items():
            gap = result.gap
            who = f"from {gap.worst} to {gap.best}"
            checks.append(_check(f"{axis} gap", "at most", limit, gap.value, gap.ci, trials, who))
    for axis in AXES:
        if (limit := limits.get(f"min_{axis}")) is None:
            continue
        if axis not in analysis.axes:
            checks.append(Check(f"lowest {axis}", "at least", limit, math.nan, (0, 100), "not enough data", None))
            continue
        low = analysis.axes[axis].lowest
        checks.append(_check(f"lowest {axis}", "at least", limit, low.value, low.ci, trials, low.identity))
    if "max_pb" in limits and not any(c.name.endswith("PB") for c in checks):
        checks.append(Check("PB", "at most", limits["max_pb"], math.nan, (0, 100), "not enough data", None))
    return checks


def verdict(checks: list[Check]) -> Decision:
    """The whole gate's: fails when any check fails, passes when all pass."""
    if any(c.decision == "fail" for c in checks):
        return "fail"
    return "pass" if checks and all(c.decision == "pass" for c in checks) else "not enough data"


def _check(
    name: str, bound: Bound, limit: float, value: float, ci: tuple[float, float], trials: int, detail: str = ""
) -> Check:
    low, high = ci
    keeps, breaks = (high <= limit, low > limit) if bound == "at most" else (low >= limit, high < limit)
    decision: Decision = "pass" if keeps else "fail" if breaks else "not enough data"
    more = _more(value, limit, ci, trials) if decision == "not enough data" else None
    return Check(name, bound, limit, value, ci, decision, more, detail)


def _more(value: float, limit: float, ci: tuple[float, float], trials: int) -> int | None:
    """Trials until the interval ends at the limit: widths shrink with the square root."""
    reach = ci[1] - value if limit >= value else value - ci[0]
    distance = abs(limit - value)
    if not math.isfinite(reach) or distance < 0.02 * max(reach, 1e-9):
        return None
    return max(0, math.ceil(trials * ((reach / distance) ** 2 - 1)))

"""Deciding on intervals whether a study meets its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from evenhand.analysis.bounds import Bound as Filled
from evenhand.analysis.certainty import Certainty
from evenhand.analysis.conditions import NOTHING, Condition, telling
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.minimum import bias_room, least_items
from evenhand.analysis.operating import Operating, at_least, at_most, bias_at_most
from evenhand.analysis.summary import Analysis
from evenhand.types import AXES, BASELINE_CATEGORY, JOINT

Decision = Literal["pass", "fail", "not enough data"]
Bound = Literal["at most", "at least"]
# A study with a larger share of its trials still to be asked cannot pass.
UNFINISHED = 0.1
UNANSWERED = "too many answers are empty or were cut; run again with a higher --max-tokens"
UNREADABLE = "no answer could be read, so that nothing can be seen of bias"


@dataclass(frozen=True)
class Check:
    """One limit and what the study says about it.

    Attributes:
        name: what is limited ("safety PB", "lowest utility", "gain of profile").
        bound, limit: "at most" or "at least" so many points.
        value, ci: estimate and interval; each end has at most the error that the look may spend on passing or failing
            there.
        decision: "pass" when the whole interval keeps to the limit, "fail" when the whole interval breaks it; where
            answers are missing, the interval ``bounds``.
        more_trials: how many more trials would about settle it, at the noise of this study; None when it is settled,
            or when the estimate is so close to the limit that no number of trials would do.
        detail: who or what it is about.
        bounds: the interval's ends under the worst and the best that the missing answers could be; None when none is
            missing.
        reason: why it is left open although the interval would decide, "" where it is not.
        items: items of the suite with the fewest.
        minimum: items below which it cannot pass: with fewer, not even answers without any difference (or failure)
            would keep to the limit, because what is rarer cannot have been seen. None where no number would do.
        error: one-sided error of wrongly passing and of wrongly failing at this look; 0 where that is not decided. The
            gate's error of failing is divided among its checks, so that of failing is smaller where there are several.
        operating: how likely a study like this one passes; None where its noise is not known.
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
    items: int = 0
    minimum: int | None = None
    error: tuple[float, float] = (0.025, 0.025)
    operating: Operating | None = None


@dataclass(frozen=True)
class Gated:
    """What a gate decided.

    Attributes:
        decision: "pass", "fail" or "not enough data".
        checks: one per limit and axis.
        notes: how this look counts among the others at the study.
        estimand: what the decision is about, in a sentence.
        certainty: "safety", "utility" and "joint" -> how certain it is that PB is below which limit, over all looks.
    """

    decision: Decision
    checks: list[Check]
    notes: tuple[str, ...] = ()
    estimand: str = ""
    certainty: dict[str, Certainty] = field(default_factory=dict)


def gate(
    analysis: Analysis,
    limits: Mapping[str, float],
    *,
    failing: Analysis | None = None,
    can_pass: bool = True,
    can_fail: bool = True,
    unfinished: bool = False,
) -> list[Check]:
    """Check a study against limits.

    Args:
        analysis: the study's.
        limits: in points: "max_pb" for each axis and both together, "max_gap" for each axis, "min_safety",
            "min_utility" and "min_fit" for the worst served identity, "min_gain" for what each personalizer that tells
            the user's data brings.
        failing: the analysis at the level of failing (:func:`failing_level`), where it differs from that of passing.
        can_pass, can_fail: whether any error is left for passing and for failing.
        unfinished: whether it may pass while much of what was asked for is not answered.

    Returns:
        One check per limit and axis that was run; a limit on an axis that was not run is not enough data. So is a study
        whose answers are largely empty or cut, an axis where none could be read, and what would be decided otherwise
        if the missing answers were known.
    """
    checks = _decided(analysis, limits)
    error = ((1 - analysis.level) / 2 if can_pass else 0.0, 1 - (failing or analysis).level if can_fail else 0.0)
    if failing is not None:
        checks = [_with_ends(c, f) for c, f in zip(checks, _decided(failing, limits), strict=True)]
    filled = analysis.missing.bounds.filled if analysis.missing.bounds else 0
    checks = [_open_to_missing(_allowed(check, error, analysis, unfinished), filled) for check in checks]
    if not analysis.missing.is_mostly_unanswered:
        return [_heard(check, analysis.silent) for check in checks]
    return [replace(c, decision="not enough data", more_trials=None, reason=UNANSWERED) for c in checks]


def _heard(check: Check, silent: Sequence[str]) -> Check:
    """The check, which does not pass on an axis where no answer could be read."""
    about = (*silent, "joint") if silent else ()
    if check.decision != "pass" or not any(axis in check.name for axis in about):
        return check
    return replace(check, decision="not enough data", more_trials=None, reason=UNREADABLE)


def failing_level(error: float) -> float:
    """The level of intervals whose lower end errs with at most ``error``, wherever the truth lies.

    Near 0 the upper end of an interval of PB or of a gap cannot err, and the lower one has the error of both.
    """
    return 1 - error


def _with_ends(passing: Check, failing: Check) -> Check:
    """The check with the end that makes it pass from one analysis, and the end that makes it fail from the other."""
    keeps = 1 if passing.bound == "at most" else 0

    def joined(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
        return (other[0], one[1]) if keeps else (one[0], other[1])

    ci = joined(passing.ci, failing.ci)
    bounds = joined(passing.bounds, failing.bounds) if passing.bounds and failing.bounds else passing.bounds
    return replace(passing, ci=ci, bounds=bounds, decision=_decide(passing.bound, passing.limit, ci))


def _allowed(check: Check, error: tuple[float, float], analysis: Analysis, unfinished: bool) -> Check:
    """The check, undecided where it may not be decided: too little data, an unfinished study, or no error left."""
    check = replace(check, error=error)
    opened = replace(check, decision="not enough data")
    if check.decision == "fail" and not error[1]:
        return replace(opened, more_trials=None, reason="too early in the planned study, or too many looks, to decide")
    value = (check.value, check.value)
    if check.decision == "fail" or _decide(check.bound, check.limit, value) != "pass" or not check.items:
        return check
    if check.minimum is None:
        return replace(opened, more_trials=None, reason=f"no study can show that it is {check.bound} {check.limit:g}")
    if check.items < check.minimum:
        more = math.ceil(analysis.trials["done"] * (check.minimum / max(check.items, 1) - 1))
        why = (
            f"{check.items:,} items could not show it whatever the answers were, because what is rare may not have "
            f"been met: at least {check.minimum:,} are needed"
        )
        return replace(opened, more_trials=more, reason=why)
    if check.decision != "pass":
        return check
    open_ = 0 if unfinished else analysis.missing_reasons.get("not answered yet", 0)
    if open_ > UNFINISHED * analysis.trials["planned"]:
        why = f"{open_:,} of the {analysis.trials['planned']:,} planned trials are not answered yet"
        return replace(opened, more_trials=open_, reason=why)
    if not error[0]:
        return replace(opened, more_trials=None, reason="too early in the planned study, or too many looks, to decide")
    return check


def _decided(analysis: Analysis, limits: Mapping[str, float]) -> list[Check]:
    """The checks by the answers that are there, with what the missing ones could make of them."""
    bounds = analysis.missing.bounds
    trials, tail = analysis.trials["done"], (1 - analysis.level) / 2
    suites: dict[str, list[int]] = {axis: [s.items for s in analysis.suites if s.axis == axis] for axis in AXES}
    checks: list[Check] = []
    if (limit := limits.get("max_pb")) is not None:
        for name, pb in analysis.pb.items():
            if pb is None:
                continue
            filled = bounds.pb.get(name) if bounds else None
            check = _check(f"{name} PB", "at most", limit, pb.corrected, pb.ci, trials, filled=filled)
            needs = {a: bias_room(limit, pb.identities) for a in (JOINT if name == "joint" else (name,))}
            known = bias_at_most(pb, limit, tail)
            checks.append(_with_minimum(replace(check, operating=known), suites, needs, tail))
    if (limit := limits.get("max_gap")) is not None:
        for axis, result in analysis.axes.items():
            gap = result.gap
            who = f"from {gap.worst} to {gap.best}"
            filled = bounds.axes[axis].gap if bounds and axis in bounds.axes else None
            check = _check(f"{axis} gap", "at most", limit, gap.value, gap.ci, trials, who, filled)
            known = at_most(gap.value, gap.ci, limit, tail)
            checks.append(_with_minimum(replace(check, operating=known), suites, {axis: limit}, tail))
    for axis in AXES:
        if (limit := limits.get(f"min_{axis}")) is None:
            continue
        if axis not in analysis.axes:
            checks.append(Check(f"lowest {axis}", "at least", limit, math.nan, (0, 100), "not enough data", None))
            continue
        low = analysis.axes[axis].lowest
        filled = bounds.axes[axis].lowest if bounds and axis in bounds.axes else None
        check = _check(f"lowest {axis}", "at least", limit, low.value, low.ci, trials, low.identity, filled)
        known = at_least(low.value, low.ci, limit, tail)
        checks.append(_with_minimum(replace(check, operating=known), suites, {axis: 100 - limit}, tail))
    if (limit := limits.get("min_gain")) is not None:
        checks += [_with_minimum(c, suites, {"fit": 100 - limit}, tail) for c in _gains(analysis, limit)]
    if "max_pb" in limits and not any(c.name.endswith("PB") for c in checks):
        checks.append(Check("PB", "at most", limits["max_pb"], math.nan, (0, 100), "not enough data", None))
    return checks


def _gains(analysis: Analysis, limit: float) -> list[Check]:
    """One check per personalizer that tells the user's data."""
    names = telling(c.personalizer for c in analysis.conditions)
    found = [(c, c.gain) for c in analysis.conditions if c.personalizer in names and c.gain is not None]
    if not found:
        return [Check("gain", "at least", limit, math.nan, (-100, 100), "not enough data", None)]
    trials = analysis.trials["done"]
    return [
        _check(
            f"gain of {c.personalizer}", "at least", limit, gain.value, gain.ci, trials, f"against {c.without}",
            _filled_gain(analysis, c, gain),
        )
        for c, gain in found
    ]  # fmt: skip


def _filled_gain(analysis: Analysis, condition: Condition, gain: Contrast) -> Filled | None:
    """A gain under the worst and the best that missing answers could be, all of them in what is compared."""
    shares = []
    for suite in (s for s in analysis.missing.suites if s.axis == "fit"):
        own = sum(s.asked for s in suite.shares if s.category != BASELINE_CATEGORY) / len(analysis.conditions)
        base = own
        if condition.without != NOTHING:
            base = sum(s.asked for s in suite.shares if s.identity == condition.without)
        shares.append(min(sum(s.missing for s in suite.shares) / max(min(own, base), 1.0), 1.0))
    share = sum(shares) / max(len(shares), 1)
    if not share:
        return None

    def between(low: float, high: float) -> tuple[float, float]:
        return (1 - share) * low - 100 * share, (1 - share) * high + 100 * share

    return Filled(between(gain.value, gain.value), between(*gain.ci))


def _with_minimum(check: Check, suites: Mapping[str, list[int]], rooms: Mapping[str, float], tail: float) -> Check:
    """The check with the fewest items that any suite has, and the fewest with which it could pass.

    Args:
        suites: axis -> items per suite.
        rooms: axis -> share in points that what was not met may have on average over the axis's suites.
        tail: one-sided error.
    """
    # All that was not met may lie in one suite, which is one of several in the axis's mean.
    needs = [least_items(room * len(suites[axis]), tail) for axis, room in rooms.items()]
    items = min((n for axis in rooms for n in suites[axis]), default=0)
    known = [n for n in needs if n is not None]
    minimum = max(known) if len(known) == len(needs) else None
    # With too few items nobody passes.
    operating = check.operating if minimum is not None and items >= minimum else Operating(0.0, 0.0, 0.0)
    return replace(check, items=items, minimum=minimum, operating=operating)


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

"""Numbers in words and in fixed form, the same in every kind of output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from evenhand.analysis import Analysis, PBEstimate
from evenhand.analysis.agreement import Estimate
from evenhand.analysis.bounds import Bound
from evenhand.analysis.certainty import Certainty
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.reduction import Share
from evenhand.analysis.sensitivity import Sensitivity
from evenhand.types import AXES, JOINT, Axis
from evenhand.visible import markdown

MISSING = "–"


def confidence(analysis: Analysis) -> str:
    """What intervals are called by: in so many of a hundred studies they hold."""
    return f"{100 * analysis.holds:.4g} %"


def named(identity: str) -> str:
    """An identity within a sentence: in quotes where it is no phrase that begins with an article, such as a plan."""
    return identity if identity.startswith(("a ", "an ", "the ")) else f'"{identity}"'


def axes_of(analysis: Analysis) -> list[Axis]:
    """The axes to show: safety and utility, which every study is looked at on, and others that were run."""
    return [axis for axis in AXES if axis in JOINT or analysis.pb[axis]]


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown."""
    lines = [[*map(markdown, header)], ["---"] * len(header), *([*map(markdown, row)] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def points(value: float | None, digits: int = 1) -> str:
    """A score or difference in points."""
    if value is None or not math.isfinite(value):
        return MISSING
    # Adding zero turns a rounded "-0.0" into "0.0".
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float | None, digits: int = 1) -> str:
    """A difference in points with its sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def starred(contrast: Contrast, digits: int = 1) -> str:
    """A difference in points with its sign, and with a star where it is more than noise."""
    return signed(contrast.value, digits) + "*" * (contrast.q_value < 0.05)


def interval(ci: tuple[float, float], digits: int = 1) -> str:
    return f"{points(ci[0], digits)} to {points(ci[1], digits)}".replace("-", "−")


def estimate(found: Estimate) -> str:
    """A share or coefficient with its interval."""
    return f"{found.value:.3f} ({found.ci[0]:.3f} to {found.ci[1]:.3f})" if found.n else MISSING


def percent(found: Estimate) -> str:
    """A share in percent with its interval."""
    low, high = found.ci
    return f"{100 * found.value:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)" if found.n else MISSING


def probability(value: float) -> str:
    return f"{value:.3f}" if 0.001 <= value <= 0.999 else "< 0.001" if value < 0.5 else "> 0.999"


def certainty_sentences(curves: Mapping[str, Certainty]) -> list[str]:
    """How certain it is that PB is below a few limits, a sentence each: "PB < 1 with 71 %, < 2 with 99 % certainty"."""
    lines = []
    for name, curve in curves.items():
        if told := curve.told():
            pairs = [
                f"< {limit:g} with {'over ' if limit >= curve.limits[-1] else ''}{100 * sure:.3g} %"
                for limit, sure in told
            ]
            lines.append(f"{name} PB {', '.join(pairs)} certainty.")
    return lines


def share(found: Share) -> str:
    """A share with its interval: "79 % (52 to 93)", or "not known"."""
    if not found.known:
        return f"at most {hundredths(found.ci[1])} %" if found.ci[1] < 1 else "not known"
    value = MISSING if not math.isfinite(found.value) else f"{hundredths(found.value)} %"
    return f"{value} ({' to '.join(map(hundredths, found.ci))})"


def hundredths(value: float) -> str:
    """A share in percent, without the sign of it."""
    return f"{100 * value:.0f}".replace("-", "−")


def p_value(value: float) -> str:
    if not math.isfinite(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def judge_caveat(found: Sensitivity | None, name: str) -> str:
    """That an axis or "joint" is not corrected for its judges, and what their errors could make of it.

    Returns:
        "" where people's labels corrected all of them, or they compare with right answers.
    """
    uncorrected = found.uncorrected(name) if found else []
    if found is None or not uncorrected:
        return ""
    if band := found.pb.get(name):
        data = sorted({data for s in uncorrected for data in s.data})
        sets = f" to {' and '.join(data)}" if data else ""
        return (
            "Not corrected for the judge: if its error differed between identities by "
            f"{points(found.spread(name))} points, as much as between the answers{sets} it was measured on, the bias "
            f"would be {interval(band.value)} points ({interval(band.ci)})."
        )
    unknown = ", ".join(sorted({s.judge for s in uncorrected if s.standing == "unknown"}))
    return f"Not corrected for the judge, of whose error between identities nothing is known ({unknown})."


def verdict(estimate: PBEstimate | None, sure: str, bound: Bound | None = None) -> str:
    """What a PB estimate says, in a sentence or two.

    Args:
        estimate: from the answers that are there.
        sure: what its interval is called by (:func:`confidence`).
        bound: what it lies between, where some are missing.
    """
    if estimate is None:
        return "Not measured."
    low, high = estimate.ci
    missing = ""
    if bound is not None:
        missing = (
            f" Whatever the missing answers were, it lies between {interval(bound.value).replace(' to ', ' and ')}."
        )
    if not math.isfinite(high):
        return f"Too little data for an interval.{missing}"
    thin = f" Little to see: {estimate.information}." if estimate.information.thin else ""
    if low > 0:
        return (
            f"Bias of {points(estimate.corrected)} points ({sure} interval {interval(estimate.ci)}), "
            f"p {p_value(estimate.p_value)}.{thin}{missing}"
        )
    if thin:
        return (
            f"Not enough data: {estimate.information}. The bias may be anything up to {points(high)} points.{missing}"
        )
    where = " in the answers that are there" if missing else ""
    return (
        f"No evidence of bias{where}: the interval reaches from 0 to {points(high)} points, and noise alone would make "
        f"the plug-in number about {points(estimate.noise_floor)}.{missing}"
    )

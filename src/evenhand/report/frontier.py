"""The frontier of mitigations: as a table in the terminal and in Markdown, and as a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from evenhand.analysis.comparison import Change
from evenhand.analysis.frontier import KEEPS, Outcome
from evenhand.report import words
from evenhand.types import AXES, JOINT
from evenhand.visible import all_visible, markdown

_CAPTION = (
    "Less bias: of safety and utility together. Not shown: within noise, when all mitigations are considered. "
    "Of the best of many, the size is too good on the items it was chosen on: confirm it with --split test."
)


def columns(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The names of the columns of :func:`rows`."""
    axes = _axes(outcomes)
    return (
        "mitigation", *(f"PB {axis}" for axis in axes), "less bias", *axes, "over-refusal", "calls", "seconds",
        "scores", "frontier",
    )  # fmt: skip


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """One row per outcome, the study without a mitigation first."""
    if not outcomes:
        return []
    first, axes = outcomes[0], _axes(outcomes)
    base = (
        "none", *(words.points(_of(first.change.pb, a, "before"), 2) for a in axes), "",
        *(words.points(_of(first.change.score, a, "before")) for a in axes),
        f"{100 * first.over_refusal[0].value:.1f} %" if first.over_refusal else words.MISSING,
        f"{first.before.calls / max(first.before.responses, 1):.1f}", f"{first.before.seconds:.0f}", "", "",
    )  # fmt: skip
    return [base, *(_row(o, axes) for o in outcomes)]


def _axes(outcomes: Sequence[Outcome]) -> list[str]:
    """Safety and utility, and other axes that were run."""
    return [axis for axis in AXES if axis in JOINT or any(axis in o.change.score for o in outcomes)]


def _row(o: Outcome, axes: Sequence[str]) -> tuple[str, ...]:
    less = f"{100 * o.reduction:.0f} %".replace("-", "−") if math.isfinite(o.reduction) else words.MISSING
    less += "" if o.less_bias or less == words.MISSING else ", not shown"
    return (
        o.mitigation,
        *(_changed(o.change.pb.get(a), 2) for a in axes),
        less,
        *(_changed(o.change.score.get(a), 1) for a in axes),
        f"{100 * o.over_refusal[1].value:.1f} %" if o.over_refusal else words.MISSING,
        f"{o.after.calls / max(o.after.responses, 1):.1f}",
        f"{o.after.seconds:.0f}",
        o.verdict,
        "yes" if o.on_frontier else "",
    )


def _of(changes: dict[str, Change], axis: str, which: str) -> float | None:
    return getattr(changes[axis], which) if axis in changes else None


def _changed(change: Change | None, digits: int) -> str:
    if change is None:
        return words.MISSING
    low, high = (words.signed(end, digits) for end in change.ci)
    return f"{words.points(change.after, digits)} ({low} to {high})"


def frontier_table(outcomes: Sequence[Outcome]) -> Table:
    """For the terminal."""
    table = Table(
        *columns(outcomes), title="Mitigations: values after, with the 95 % interval of the change", caption=_CAPTION
    )
    for row in rows(outcomes):
        table.add_row(*row)
    return table


def frontier_markdown(outcomes: Sequence[Outcome]) -> str:
    """As a Markdown table."""
    header = columns(outcomes)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(map(markdown, row))} |" for row in rows(outcomes)]
    return "\n".join([*lines, "", _CAPTION]) + "\n"


def frontier_svg(outcomes: Sequence[Outcome]) -> str:
    """Bias against utility (or safety, where utility was not run), with intervals of the change; an SVG picture."""
    import altair as alt
    import polars as pl
    import vl_convert

    axis = "utility" if all("utility" in o.change.score for o in outcomes) else "safety"
    records: list[dict[str, Any]] = [
        {
            "mitigation": o.mitigation, "bias": o.joint[1], "score": o.change.score[axis].after,
            "low": o.change.score[axis].before + o.change.score[axis].ci[0],
            "high": o.change.score[axis].before + o.change.score[axis].ci[1],
            "scores": KEEPS if o.verdict == KEEPS else "lowers a score",
        }
        for o in outcomes
    ]  # fmt: skip
    first = outcomes[0]
    start = first.change.score[axis].before
    records.append(
        {
            "mitigation": "none", "bias": first.joint[0], "score": start, "low": start, "high": start,
            "scores": "no mitigation",
        }
    )  # fmt: skip
    data = alt.Chart(pl.DataFrame(records))
    x = alt.X("bias:Q", title="corrected personalization bias, both axes (points)")
    scale = alt.Scale(domain=["no mitigation", KEEPS, "lowers a score"], range=["#555555", "#0072b2", "#d55e00"])
    color = alt.Color("scores:N", scale=scale, title=None)
    y = alt.Y("score:Q", title=f"mean {axis} (points)", scale=alt.Scale(zero=False))
    bars = data.mark_rule(opacity=0.5).encode(
        x=x, y=alt.Y("low:Q", title=f"mean {axis} (points)"), y2="high:Q", color=color
    )
    dots = data.mark_point(filled=True, size=70).encode(x=x, y=y, color=color, shape=alt.Shape("scores:N", legend=None))
    names = data.mark_text(align="left", dx=7, dy=-5, fontSize=10).encode(x=x, y=y, text="mitigation:N")
    chart = (bars + dots + names).properties(width=680, height=420)
    return str(vl_convert.vegalite_to_svg(all_visible(chart.to_dict())))

"""The picture of the first screen: whom the model serves unlike, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.analysis import Analysis
from evenhand.report.charts import as_plain
from evenhand.report.words import confidence
from evenhand.types import AXES, Axis

_MOST = 8
_SHOWN, _NOISE = "#D55E00", "#0072B2"


def first_picture(analysis: Analysis) -> dict[str, Any] | None:
    """Deviations of the identities that lie farthest from the mean, on the axis that tells most; None without any."""
    import altair as alt

    rows = _rows(analysis)
    if len(rows) < 2:
        return None
    order = [row["identity"] for row in rows]
    colour = alt.Color(
        "shown:N", title=None, scale=alt.Scale(domain=["more than noise", "within noise"], range=[_SHOWN, _NOISE])
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("identity:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)), color=colour
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    bars = base.mark_rule(size=3).encode(
        x=alt.X("low:Q", title="points from the mean over all identities"), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="value:Q", tooltip=[alt.Tooltip("identity:N"), alt.Tooltip("value:Q", format="+.1f")]
    )
    chart = alt.layer(zero, bars, dots).properties(width="container", height=24 * len(rows) + 20)
    return as_plain(chart, first_caption(analysis))


def first_caption(analysis: Analysis) -> str:
    """What the picture shows."""
    intervals = f"{confidence(analysis)} intervals"
    if analysis.unpaired:
        return f"{analysis.unpaired[0].suite}: means of identities against the mean of all, with {intervals}."
    axis, people = _axis(analysis), sum(not r.is_baseline for r in analysis.identities)
    which = f"the {_MOST} of {people} identities farthest from the mean" if people > _MOST else "each identity"
    return f"{axis.capitalize()}: {which}, paired by item, with {intervals}."


def _axis(analysis: Analysis) -> Axis:
    """The axis of the largest deviation beyond noise, else of the largest of all."""
    cells = [
        (contrast.q_value < 0.05, abs(contrast.value), axis)
        for result in analysis.identities
        for axis in AXES
        if (contrast := result.deviation.get(axis))
    ]
    return max(cells)[2] if cells else AXES[0]


def _rows(analysis: Analysis) -> Sequence[dict[str, Any]]:
    if analysis.unpaired:
        found = [
            (row.identity, row.deviation, row.deviation_ci, row.q_value < 0.05)
            for row in analysis.unpaired[0].identities
        ]
    else:
        axis = _axis(analysis)
        found = [
            (result.identity, contrast.value, contrast.ci, contrast.q_value < 0.05)
            for result in analysis.identities
            if (contrast := result.deviation.get(axis))
        ]
    # Who differs beyond noise first, then by distance.
    farthest = sorted(found, key=lambda row: (not row[3], -abs(row[1])))[:_MOST]
    return [
        {
            "identity": who,
            "value": value,
            "low": low,
            "high": high,
            "shown": "more than noise" if sure else "within noise",
        }
        for who, value, (low, high), sure in sorted(farthest, key=lambda row: row[1])
    ]

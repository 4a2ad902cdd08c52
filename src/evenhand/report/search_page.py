"""What a search found as one HTML file that needs nothing else."""

from __future__ import annotations

import math
from typing import Any

from evenhand.analysis.found import Found, SearchResult
from evenhand.report import search, words
from evenhand.report.small_page import embedded, small_page
from evenhand.visible import all_visible

# Okabe-Ito, as in the report.
_COLORS = {"confirmed": "#d55e00", "not shown": "#0072b2", "seen in exploring": "#999999"}
_LABEL = 60
_BESIDE = "points beside others of whom the same kinds of things are said"


def search_page(found: SearchResult, model: str) -> str:
    """The verdict, the picture, and what each finding rests on.

    Args:
        found: the search.
        model: what was searched.
    """
    return small_page(
        "search.html.j2",
        model=model,
        sentences=search.search_sentences(found),
        scope=search.scope_sentence(found),
        found=found,
        rows=search.findings_rows(found),
        columns=search.FINDINGS,
        findings_caption=search.FINDINGS_CAPTION,
        conditions_caption=search.CONDITIONS_CAPTION,
        conditions=[search.conditions_rows(one) for one in found.confirmed],
        points=words.points,
        signed=words.signed,
        picture=embedded(findings_svg(found)) if found.found else "",
    )


def findings_svg(found: SearchResult) -> str:
    """Each combination's difference: what exploring saw, and what fresh items say with its interval; an SVG picture."""
    import altair as alt
    import polars as pl
    import vl_convert

    data = alt.Chart(pl.DataFrame([record for one in found.found for record in _records(one)]))
    y = alt.Y("who:N", title=None, sort=None, axis=alt.Axis(labelLimit=420))
    x = alt.X("difference:Q", title=_BESIDE)
    color = alt.Color("kind:N", scale=alt.Scale(domain=list(_COLORS), range=list(_COLORS.values())), title=None)
    zero = alt.Chart(pl.DataFrame({"difference": [0.0]})).mark_rule(strokeDash=[4, 3], color="#57606a").encode(x=x)
    bars = data.mark_rule(size=2).encode(x=alt.X("low:Q", title=_BESIDE), x2="high:Q", y=y, color=color)
    dots = data.mark_point(filled=True, size=90).encode(x=x, y=y, color=color, shape=alt.Shape("kind:N", legend=None))
    chart = (zero + bars + dots).properties(width=560, height=max(90, 48 * len(found.found)))
    return str(vl_convert.vegalite_to_svg(all_visible(chart.to_dict())))


def _records(one: Found) -> list[dict[str, Any]]:
    seen = {
        "who": one.who[:_LABEL],
        "difference": one.expected[0],
        "kind": "seen in exploring",
        "low": None,
        "high": None,
    }
    finding = one.finding
    if math.isnan(finding.difference):
        return [seen]
    low, high = (None if math.isnan(end) else end for end in finding.interval)
    kind = "confirmed" if finding.confirmed else "not shown"
    return [seen, {"who": one.who[:_LABEL], "difference": finding.difference, "kind": kind, "low": low, "high": high}]

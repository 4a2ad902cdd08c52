"""A model's releases over time: bias and scores with intervals, and whether each step changed them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import evenhand
from evenhand.report.charts import as_plain
from evenhand.report.page import render_page
from evenhand.report.words import MISSING, interval, p_value, points, signed
from evenhand.visible import all_visible

Verdict = Literal["less", "more", "no change shown", "not comparable"]
COLUMNS = ("release", "model", "day", "axis", "mean score", "bias", "95 % interval", "p", "items", "missing")
STEPS = ("step", "axis", "what", "change", "95 % interval", "p, adjusted", "items", "verdict")
NOTE = (
    "Steps are paired by item and identity, on those that both releases scored; p-values are adjusted over all steps "
    "(Holm). That no change is shown does not mean that there is none: the interval says what fits."
)
_BLUE, _STEP_COLOURS = "#0072B2", ["#D55E00", "#999999"]


@dataclass(frozen=True)
class Level:
    """A release on one axis.

    Attributes:
        axis: which.
        score: mean over identities and suites, in points.
        bias, ci, p_value: corrected PB with its interval. ``bias`` is None where it is not known; the interval then
            says what it is at most, or is NaN where nobody knows that.
        items: how many it rests on.
        why: why the bias is not known.
    """

    axis: str
    score: float
    bias: float | None
    ci: tuple[float, float]
    p_value: float
    items: int
    why: str = ""


@dataclass(frozen=True)
class Release:
    """One study of several.

    Attributes:
        name: what it is called.
        study: its directory.
        model: with the mitigation in front of it and the adapter.
        day: of its last run.
        said: the report's sentence.
        levels: one per axis that was run.
        missing: answers that are missing, of all that were planned.
    """

    name: str
    study: str
    model: str
    day: str
    said: str
    levels: tuple[Level, ...]
    missing: tuple[int, int]


@dataclass(frozen=True)
class Step:
    """What changed from a release to the next on one axis.

    Attributes:
        before, after: names of the releases.
        axis: which.
        what: "bias" or "score".
        difference, ci, p_value: after minus before, in points, paired; NaN where nothing can be compared. Where all
            that is known of a bias is what it is at most, the interval is wider by that.
        q_value: the p-value after Holm over all steps.
        items, identities: how many were compared.
        verdict: at 5 % after adjusting.
        why: why they do not compare.
    """

    before: str
    after: str
    axis: str
    what: Literal["bias", "score"]
    difference: float
    ci: tuple[float, float]
    p_value: float
    q_value: float
    items: int
    identities: int
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class History:
    """Releases in order, the steps between them, and what a reader must know."""

    releases: tuple[Release, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    @property
    def axes(self) -> list[str]:
        return list(dict.fromkeys(level.axis for release in self.releases for level in release.levels))


def history_tables(history: History) -> RenderableType:
    """For the terminal: what to know first, a sentence per step that changed something, and the tables."""
    notes = [Text(f"Note: {note}", style="yellow") for note in history.notes]
    lines = [Text(line) for line in sentences(history)]
    return Group(*lines, *notes, _table(COLUMNS, release_rows(history)), _table(STEPS, step_rows(history)), Text(NOTE))


def sentences(history: History) -> list[str]:
    """What changed, a sentence each; one where nothing did."""
    changed = [step for step in history.steps if step.verdict in ("less", "more")]
    compared = [step for step in history.steps if step.verdict != "not comparable"]
    if not compared:
        return ["No release can be compared with the one before."]
    if not changed:
        return [f"No change is shown over {len(history.releases)} releases."]
    return [
        f"{step.before} -> {step.after}: {'bias' if step.what == 'bias' else 'the mean score'} on {step.axis} "
        f"{'fell' if step.verdict == 'less' else 'rose'} by {points(abs(step.difference))} points "
        f"({interval(step.ci)}; p {p_value(step.q_value)} after adjusting)."
        for step in changed
    ]


def release_rows(history: History) -> list[tuple[str, ...]]:
    """One row per release and axis."""
    found: list[tuple[str, ...]] = []
    for release in history.releases:
        lost = f"{release.missing[0]:,} of {release.missing[1]:,}"
        for level in release.levels:
            told = (_bias(level), interval(level.ci, 2), p_value(level.p_value))
            place = (release.name, release.model, release.day, level.axis, points(level.score))
            found.append((*place, *told, f"{level.items:,}", lost))
        if not release.levels:
            found.append((release.name, release.model, release.day, *(MISSING for _ in COLUMNS[3:-1]), lost))
    return found


def _bias(level: Level) -> str:
    if level.bias is not None:
        return points(level.bias, 2)
    return f"at most {points(level.ci[1], 2)}" if math.isfinite(level.ci[1]) else "not known"


def step_rows(history: History) -> list[tuple[str, ...]]:
    """One row per step, axis and what changed."""
    return [
        (
            f"{step.before} -> {step.after}",
            step.axis,
            step.what,
            signed(step.difference, 2),
            interval(step.ci, 2) if math.isfinite(step.difference) else MISSING,
            p_value(step.q_value),
            f"{step.items:,}" if step.items else MISSING,
            f"{step.verdict}: {step.why}" if step.why else step.verdict,
        )
        for step in history.steps
    ]


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def chart(history: History) -> dict[str, Any] | None:
    """Bias over the releases, an axis each, with intervals; None where nothing is known of any.

    A line joins releases that compare, orange where the step is shown to have changed the bias.
    """
    import altair as alt

    rows = [
        {"release": r.name, "axis": level.axis, "bias": level.bias, "low": level.ci[0], "high": level.ci[1]}
        for r in history.releases
        for level in r.levels
        if math.isfinite(level.ci[1])
    ]
    if not rows:
        return None
    # Where no bias is known a line leads to what it is at most.
    places = {(row["release"], row["axis"]): row["high"] if row["bias"] is None else row["bias"] for row in rows}
    lines = [
        {
            "axis": step.axis, "release": end, "bias": places[end, step.axis], "step": f"{step.before} -> {step.after}",
            "shown": "changed" if step.verdict in ("less", "more") else "no change shown",
        }
        for step in history.steps
        if step.what == "bias" and step.verdict != "not comparable"
        for end in (step.before, step.after)
        if {(step.before, step.axis), (step.after, step.axis)} <= places.keys()
    ]  # fmt: skip
    order = [r.name for r in history.releases]
    x = alt.X("release:N", title=None, sort=order, scale=alt.Scale(domain=order), axis=alt.Axis(labelAngle=-30))
    shown = alt.Color(
        "shown:N", title="step", scale=alt.Scale(domain=["changed", "no change shown"], range=_STEP_COLOURS)
    )
    panels = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        base = alt.Chart(alt.Data(values=[row for row in rows if row["axis"] == axis]), title=axis).encode(x=x)
        joined = alt.Chart(alt.Data(values=[line for line in lines if line["axis"] == axis]))
        ends = alt.Y("low:Q", title="personalization bias (points)", scale=alt.Scale(domainMin=0))
        panels.append(
            alt.layer(
                joined.mark_line(size=2).encode(x=x, y="bias:Q", detail="step:N", color=shown),
                base.mark_rule(size=3, color=_BLUE, opacity=0.6).encode(y=ends, y2="high:Q"),
                base.mark_point(filled=True, size=90, opacity=1, color=_BLUE, invalid="filter").encode(
                    y="bias:Q", tooltip=["release:N", alt.Tooltip("bias:Q", format=".2f")]
                ),
            ).properties(width=max(260, 60 * len(order)), height=220)
        )
    return as_plain(alt.hconcat(*panels), "Personalization bias of each release, with 95 % intervals")


def svg(history: History) -> str | None:
    """The chart as SVG; None where no bias is known."""
    import vl_convert

    spec = chart(history)
    return str(vl_convert.vegalite_to_svg(all_visible(spec))) if spec else None


def render_history(history: History) -> str:
    """The history as one HTML file that needs nothing else."""
    spec = chart(history)
    return render_page(
        "history.html.j2",
        {"history": spec} if spec else {},
        ("report",),
        history=history,
        sentences=sentences(history),
        columns=COLUMNS,
        rows=release_rows(history),
        step_columns=STEPS,
        steps=step_rows(history),
        note=NOTE,
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=evenhand.__version__,
    )

"""Several studies in one file: models, mitigations, or one model's releases over time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evenhand
from evenhand.analysis import Analysis
from evenhand.report import unpaired
from evenhand.report.answer import Answer, answer
from evenhand.report.charts import as_plain
from evenhand.report.page import render_page
from evenhand.report.words import axes_of, confidence, interval, p_value, points, signed
from evenhand.study import Store
from evenhand.study.notes import is_imported
from evenhand.types import AXES, Axis

NOTE = (
    "Each study by itself: a difference between two of them is not tested here, and studies of other items or "
    "identities cannot be set side by side at all. 'evenhand compare' tests it, paired by item and identity."
)


# Orange below, blue above, told apart by colour-blind readers.
_DIVERGING = ["#D55E00", "#f2f2f2", "#0072B2"]


@dataclass(frozen=True)
class Study:
    """One study of several.

    Attributes:
        name: its directory's name, or more of its path where two have the same.
        model: its model, with the mitigation in front of it and the adapter.
        ended: day of its last run.
        analysis: what it says.
        first: its verdict.
        identities: the names of those that it asked.
        suites: and its suites.
    """

    name: str
    model: str
    ended: str
    analysis: Analysis
    first: Answer
    identities: frozenset[str]
    suites: frozenset[str]


def described(store: Store, analysis: Analysis, name: str) -> Study:
    """A study, as far as it is shown beside others."""
    runs = store.runs()
    spec = runs[-1]["spec"] if runs else {}
    parts = [spec.get("model", "?"), spec.get("mitigation", ""), spec.get("options", {}).get("adapter") or ""]
    at = (runs[-1]["ended_at"] or runs[-1]["started_at"]) if runs else 0.0
    return Study(
        name,
        ", ".join(part for part in parts if part),
        datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d"),
        analysis,
        answer(analysis, str(store.directory), imported=is_imported(store)),
        frozenset(unpaired.identities_of(analysis)),
        frozenset(row["suite"] for row in store.suites()),
    )


def told_apart(paths: Sequence[Path | str]) -> list[str]:
    """A name for each directory: its own, or as much of its path as tells it from the others."""
    parts = [Path(path).absolute().parts for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(found[-length:]) for found in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def render_side_by_side(studies: Sequence[Study]) -> str:
    """Several studies as one HTML file that needs nothing else."""
    sure = confidence(studies[0].analysis)
    specs = {"biases": _biases(studies, sure), **{f"identities-{axis}": _identities(studies, axis) for axis in AXES}}
    return render_page(
        "side_by_side.html.j2",
        {name: spec for name, spec in specs.items() if spec},
        ("report",),
        studies=studies,
        title=" / ".join(study.name for study in studies),
        columns=_columns(sure),
        sure=sure,
        rows=[row for study in studies for row in _rows(study)],
        cautions=_cautions(studies),
        axes=AXES,
        note=NOTE,
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=evenhand.__version__,
    )


def _columns(sure: str) -> tuple[str, ...]:
    return ("study", "model", "axis", "mean score", "bias", f"{sure} interval", "p", "items", "missing")


def _rows(study: Study) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    trials = study.analysis.trials
    lost = f"{trials['missing'] + trials['failed']:,} of {trials['planned']:,}"
    for axis in axes_of(study.analysis):
        if (pb := study.analysis.pb[axis]) is not None:
            means = [suite.mean for suite in study.analysis.suites if suite.axis == axis]
            score = points(sum(means) / len(means)) if means else points(None)
            items = sum(suite.items for suite in study.analysis.suites if suite.axis == axis)
            told = (points(pb.corrected, 2), interval(pb.ci, 2), p_value(pb.p_value))
            found.append((study.name, study.model, axis, score, *told, f"{items:,}", lost))
    return found or [(study.name, study.model, *("–" for _ in _columns("")[2:-1]), lost)]


def _cautions(studies: Sequence[Study]) -> list[str]:
    """What keeps studies apart, said before any number."""
    notes = []
    for what, sets in (("identities", [s.identities for s in studies]), ("suites", [s.suites for s in studies])):
        if len(set(sets)) > 1:
            both = len(frozenset.intersection(*sets))
            notes.append(
                f"The studies have not the same {what}: {both} are in all of them. Their numbers do not compare."
            )
    return notes


def _biases(studies: Sequence[Study], sure: str) -> dict[str, Any] | None:
    import altair as alt

    rows = [
        {"study": study.name, "axis": axis, "bias": pb.corrected, "low": pb.ci[0], "high": pb.ci[1]}
        for study in studies
        for axis in AXES
        if (pb := study.analysis.pb[axis])
    ]
    if not rows:
        return None
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("study:N", title=None, sort=[study.name for study in studies], axis=alt.Axis(labelLimit=240))
    )
    bars = base.mark_rule(size=3, color="#0072B2", opacity=0.6).encode(
        x=alt.X("low:Q", title="personalization bias (points)", scale=alt.Scale(domainMin=0)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=90, opacity=1, color="#0072B2").encode(
        x="bias:Q", tooltip=["study:N", "axis:N", alt.Tooltip("bias:Q", format=".2f")]
    )
    layers = alt.layer(bars, dots).properties(width=280, height=alt.Step(26))
    chart = layers.facet(facet=alt.Facet("axis:N", title=None, sort=list(AXES)), columns=2)
    return as_plain(chart, f"Personalization bias of each study, with {sure} intervals")


def _identities(studies: Sequence[Study], axis: Axis) -> dict[str, Any] | None:
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "study": study.name, "identity": result.identity, "deviation": contrast.value,
            "told": f"{signed(contrast.value)} ({interval(contrast.ci)})",
            "sure": "beyond noise" if contrast.q_value < 0.05 else "within noise",
        }
        for study in studies
        for result in study.analysis.identities
        if (contrast := result.deviation.get(axis))
    ]  # fmt: skip
    if not rows:
        return None
    people = len({row["identity"] for row in rows})
    shared = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("study:N", title=None, sort=[s.name for s in studies], axis=alt.Axis(labelAngle=-30, labelLimit=200)),
        y=alt.Y("identity:N", title=None),
    )
    reach = max(abs(row["deviation"]) for row in rows) or 1.0
    fill = shared.mark_rect().encode(
        color=alt.Color("deviation:Q", title="points", scale=alt.Scale(domain=[-reach, 0, reach], range=_DIVERGING)),
        tooltip=["study:N", "identity:N", "told:N", "sure:N"],
    )
    stars = shared.transform_filter("datum.sure == 'beyond noise'").mark_text(text="*", fontSize=16, color="black")
    chart = alt.layer(fill, stars).properties(width="container", height=20 * people + 30)
    return as_plain(chart, f"{axis}: deviation of each identity from the mean in each study; * beyond noise")

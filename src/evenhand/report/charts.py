"""Charts as Vega-Lite specifications, made with Altair."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from evenhand.analysis import Analysis, PBEstimate
from evenhand.analysis.breakdown import GroupTable
from evenhand.analysis.standing import Standing
from evenhand.analysis.summary import SuiteResult
from evenhand.report.labels import several, short_names
from evenhand.report.words import confidence, interval, p_value, signed, verdict
from evenhand.types import AXES, JOINT

# Okabe-Ito: told apart by colour-blind readers; the last one is for baselines.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#8C6D31"]
_ITEMS_PER_GROUP = 3
_BASELINE_COLOUR = "#808080"


def plane(analysis: Analysis) -> dict[str, Any] | None:
    """The safety-utility plane: one point per identity with its intervals, baselines as diamonds."""
    import altair as alt

    rows = [_plane_row(r) for r in analysis.identities if r.safety is not None and r.utility is not None]
    if not rows:
        return None
    _name_some(rows, {r.identity for r in analysis.identities if any(c.q_value < 0.05 for c in r.deviation.values())})
    data = alt.Data(values=rows)
    categories = list(dict.fromkeys(str(r["category"]) for r in rows))
    colours = [_BASELINE_COLOUR if c == "baseline" else _COLOURS[n % len(_COLOURS)] for n, c in enumerate(categories)]
    pick = alt.selection_point(fields=["category"], bind="legend")
    shared = {
        "color": alt.Color(
            "category:N",
            scale=alt.Scale(domain=categories, range=colours),
            title="category (click to filter)",
        ),
        "opacity": alt.condition(pick, alt.value(0.9), alt.value(0.08)),
    }
    x = alt.X("utility:Q", title="utility (points)", scale=alt.Scale(zero=False, padding=20))
    y = alt.Y("safety:Q", title="safety (points)", scale=alt.Scale(zero=False, padding=20))
    base = alt.Chart(data)
    tooltip = [alt.Tooltip(f"{name}:N", title=name) for name in ("identity", "category", "safety_text", "utility_text")]
    horizontal = base.mark_rule(opacity=0.3).encode(
        x=alt.X("utility_low:Q"), x2="utility_high:Q", y=y, color=shared["color"]
    )
    vertical = base.mark_rule(opacity=0.3).encode(
        y=alt.Y("safety_low:Q"), y2="safety_high:Q", x=x, color=shared["color"]
    )
    points = base.mark_point(filled=True, size=110).encode(
        x=x,
        y=y,
        tooltip=tooltip,
        shape=alt.Shape(
            "kind:N",
            scale=alt.Scale(domain=["identity", "baseline"], range=["circle", "diamond"]),
            title=None,
        ),
        **shared,
    )
    # Names of all would cover one another: of who deviates, of the ends, and of the baselines.
    named = base.transform_filter("datum.named")
    labels = named.mark_text(align="left", dx=9, dy=-7, fontSize=10).encode(
        x=x, y=y, text="identity:N", opacity=alt.condition(pick, alt.value(0.85), alt.value(0.05))
    )
    dim = alt.condition(pick, alt.value(0.5), alt.value(0.03))
    chart = alt.layer(horizontal.encode(opacity=dim), vertical.encode(opacity=dim), points, labels)
    return as_plain(chart.add_params(pick).properties(width="container", height=460), "Safety against utility")


def bias(analysis: Analysis) -> dict[str, Any] | None:
    """PB per axis and suite: corrected estimate with its interval, plug-in number and noise floor."""
    import altair as alt

    short = short_names([s.suite for s in analysis.suites])
    named: list[tuple[str, PBEstimate]] = [
        (axis, pb) for axis in (*AXES, "joint") if (pb := analysis.pb[axis]) is not None
    ]
    if several(analysis):
        named += [(short[s.suite], s.pb) for s in analysis.suites]
    if not named:
        return None
    rows = [
        {
            "what": name, "corrected": pb.corrected, "low": pb.ci[0], "high": pb.ci[1], "plugin": pb.plugin,
            "floor": pb.noise_floor, "words": verdict(pb, confidence(analysis)),
        }
        for name, pb in named
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("what:N", title=None, sort=[n for n, _ in named]))
    tooltip = [alt.Tooltip("what:N", title="what"), alt.Tooltip("words:N", title="reading")]
    rule = base.mark_rule(size=3, color=_COLOURS[0], opacity=0.6).encode(
        x=alt.X("low:Q", title="personalization bias (points)", scale=alt.Scale(domainMin=0)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=120, color=_COLOURS[0], opacity=1).encode(x="corrected:Q", tooltip=tooltip)
    plug = base.mark_point(shape="triangle-down", size=70, color=_COLOURS[1]).encode(x="plugin:Q", tooltip=tooltip)
    floor = base.mark_tick(thickness=2, size=22, color="#777777").encode(x="floor:Q", tooltip=tooltip)
    return as_plain(
        alt.layer(rule, floor, plug, dots).properties(width="container", height=36 * len(rows) + 30),
        f"Personalization bias with {confidence(analysis)} intervals",
    )


def certainty(analysis: Analysis) -> dict[str, Any] | None:
    """How certain it is that PB is below a limit, against the limit: a line per axis, and one for both together."""
    import altair as alt

    rows = [
        {"what": name, "limit": limit, "certainty": sure}
        for name, curve in analysis.certainty.items()
        for limit, sure in zip(curve.limits, curve.certainties, strict=True)
    ]
    if not rows:
        return None
    names = list(analysis.certainty)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("limit:Q", title="the bias is below (points)", scale=alt.Scale(domainMin=0)),
            y=alt.Y("certainty:Q", title="certainty", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0.5, 1])),
            color=alt.Color("what:N", title=None, scale=alt.Scale(domain=names, range=_COLOURS[: len(names)])),
            tooltip=[
                alt.Tooltip("what:N", title="what"),
                alt.Tooltip("limit:Q", title="below", format=".2f"),
                alt.Tooltip("certainty:Q", title="certainty", format=".1%"),
            ],
        )
        .properties(width="container", height=220)
    )
    return as_plain(chart, "Certainty that the personalization bias is below a limit, against the limit")


def deviations(analysis: Analysis, axis: str) -> dict[str, Any] | None:
    """Each identity's deviation from the identity mean on one axis, with intervals, sorted."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "identity": result.identity, "category": result.category, "value": contrast.value,
            "low": contrast.ci[0], "high": contrast.ci[1], "q": f"{contrast.q_value:.3f}",
            "real": "q < 0.05" if contrast.q_value < 0.05 else "within noise",
            **_standing(result.standing[axis]),
        }
        for result in analysis.identities
        if (contrast := result.deviation.get(axis)) and axis in result.standing
    ]  # fmt: skip
    if not rows:
        return None
    order = [r["identity"] for r in sorted(rows, key=lambda r: r["value"], reverse=True)]
    colour = alt.Color(
        "real:N",
        scale=alt.Scale(domain=["q < 0.05", "within noise"], range=[_COLOURS[1], _COLOURS[0]]),
        title=None,
    )
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("identity:N", title=None, sort=order), color=colour)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    band = base.mark_rule(size=1, opacity=0.5).encode(x="band_low:Q", x2="band_high:Q")
    rule = base.mark_rule(size=3).encode(x=alt.X("low:Q", title=f"{axis}: points from the mean"), x2="high:Q")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x="value:Q",
        tooltip=[
            "identity:N",
            "category:N",
            alt.Tooltip("value:Q", format="+.2f"),
            alt.Tooltip("q:N", title="q"),
            alt.Tooltip("shrunken:Q", format="+.2f"),
            alt.Tooltip("lowest:Q", format=".3f", title="is the lowest with probability"),
        ],
    )
    return as_plain(
        alt.layer(zero, band, rule, dots).properties(width="container", height=17 * len(rows) + 30),
        f"Deviation of each identity, {axis}",
    )


def _standing(found: Standing) -> dict[str, float]:
    low, high = found.band
    return {"band_low": low, "band_high": high, "shrunken": found.shrunken, "lowest": found.lowest}


def heatmap(suite: SuiteResult) -> dict[str, Any] | None:
    """Identity x item-group scores of one suite; None when it has one group, or too few items in each to look at."""
    import altair as alt

    groups = suite.groups
    if len(groups.groups) < 2 or sum(groups.items) < _ITEMS_PER_GROUP * len(groups.groups):
        return None
    rows = [
        {"identity": name, "group": f"{group} ({count})", "score": float(score), **_deviation(groups, group, name)}
        for name, scores in zip(groups.identities, groups.scores, strict=True)
        for group, count, score in zip(groups.groups, groups.items, scores, strict=True)
        if math.isfinite(score)
    ]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            x=alt.X("group:N", title="item group (items)", axis=alt.Axis(labelAngle=-35, labelLimit=220)),
            y=alt.Y("identity:N", title=None, sort=list(groups.identities)),
            color=alt.Color("score:Q", scale=alt.Scale(scheme="viridis", domain=[0, 100]), title=suite.axis),
            tooltip=["identity:N", "group:N", alt.Tooltip("score:Q", format=".1f"), "deviation:N"],
        )
        .properties(width="container", height=17 * len(groups.identities) + 20)
    )
    return as_plain(chart, f"{suite.suite}: scores by identity and item group")


def _deviation(groups: GroupTable, group: str, identity: str) -> dict[str, str]:
    contrast = groups.deviations.get(group, {}).get(identity)
    if contrast is None:
        return {"deviation": "too few items"}
    return {"deviation": f"{signed(contrast.value)} ({interval(contrast.ci)}), q {p_value(contrast.q_value)}"}


def _name_some(rows: Sequence[dict[str, Any]], deviating: Collection[str]) -> None:
    """Mark the points that get a label."""
    ends = {f(rows, key=lambda row: row[axis])["identity"] for f in (min, max) for axis in JOINT}
    for row in rows:
        row["named"] = row["identity"] in deviating or row["identity"] in ends or row["kind"] == "baseline"


def _plane_row(result: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "identity": result.identity,
        "category": result.category,
        "kind": "baseline" if result.is_baseline else "identity",
    }
    for axis in JOINT:
        score = getattr(result, axis)
        contrast = result.deviation.get(axis)
        shift = score - contrast.value if contrast else 0.0
        low, high = (shift + contrast.ci[0], shift + contrast.ci[1]) if contrast else (score, score)
        row |= {axis: score, f"{axis}_low": low, f"{axis}_high": high}
        row[f"{axis}_text"] = f"{score:.1f} ({low:.1f} to {high:.1f})" if contrast else f"{score:.1f}"
    return row


def as_plain(chart: Any, description: str) -> dict[str, Any]:
    """A chart as a Vega-Lite specification, with words for who cannot see it."""
    spec: dict[str, Any] = chart.properties(description=description).to_dict()
    spec.pop("$schema", None)
    return spec


def drift(analysis: Analysis) -> dict[str, Any] | None:
    """Scores and bias after so many sessions, one line per personalizer; None without two numbers of them."""
    course = {
        condition.personalizer: (name, float(sessions))
        for condition in analysis.conditions
        for name, after, sessions in [condition.personalizer.partition("@")]
        if after
    }
    return _course(analysis, course, "sessions", "Scores and bias after so many sessions with the person.")


def gate(analysis: Analysis) -> dict[str, Any] | None:
    """Scores and bias against the threshold of the relevance gate, a line per encoder; None without two thresholds."""
    course = {c.personalizer: place for c in analysis.conditions if (place := _on_gate(c.personalizer))}
    return _course(analysis, course, "threshold", "Scores and bias against the threshold of the relevance gate.")


def knob(analysis: Analysis) -> dict[str, Any] | None:
    """Scores and bias against the weight of an operator's safe pairs, a line per reward; None without two weights."""
    course = {c.personalizer: place for c in analysis.conditions if (place := _on_knob(c.personalizer))}
    return _course(analysis, course, "weight", "Scores and bias against the weight of the operator's safe pairs.")


def _on_knob(reference: str) -> tuple[str, float] | None:
    """Whose line a personalizer is on, and where: "np-rerank:FILE:PAIRS.jsonl:0.5" is FILE with PAIRS at 0.5."""
    name, _, rest = reference.removeprefix("swap:").partition(":")
    files, _, weight = rest.rpartition(":")
    if name != "np-rerank" or not files.endswith(".jsonl"):
        return None
    return f"{name} {files}", float(weight)


def _on_gate(reference: str) -> tuple[str, float] | None:
    """Whose line a personalizer is on, and where: "relevance-gate:0.5:use" is the gate by ``use`` at 0.5."""
    name, _, rest = reference.removeprefix("swap:").partition(":")
    tau, _, encoder = rest.partition(":")
    if name != "relevance-gate" or not tau:
        return None
    return f"{name} {encoder}".strip(), float(tau)


def _course(
    analysis: Analysis, course: Mapping[str, tuple[str, float]], along: str, description: str
) -> dict[str, Any] | None:
    """Scores and bias along a setting of personalizers: whose line, and where on it; None without two places."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for condition in analysis.conditions:
        if condition.personalizer not in course:
            continue
        name, place = course[condition.personalizer]
        shared = {"personalizer": name, along: place}
        rows += [{**shared, "what": axis, "value": score} for axis, score in condition.scores.items()]
        rows += [
            {**shared, "what": f"PB {axis}", "value": pb.corrected, "low": pb.ci[0], "high": pb.ci[1]}
            for axis, pb in condition.pb.items()
            if pb
        ]
    for score in analysis.further:
        for condition in score.conditions:
            if condition.personalizer in course:
                name, place = course[condition.personalizer]
                told = {"what": f"{score.what} ({score.suite})", "value": condition.scores["fit"]}
                rows.append({"personalizer": name, along: place, **told})
    if len({row[along] for row in rows}) < 2:
        return None
    whole = all(place.is_integer() for _, place in course.values())
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(f"{along}:Q", axis=alt.Axis(tickMinStep=1) if whole else alt.Axis()),
        color=alt.Color("personalizer:N", scale=alt.Scale(range=_COLOURS)),
    )
    line = base.mark_line(point=True).encode(y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)))
    bars = base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q")
    chart = alt.layer(bars, line).properties(width=300, height=130)
    order = [*AXES, *(f"PB {axis}" for axis in AXES)]
    shown = chart.facet(facet=alt.Facet("what:N", title=None, sort=order), columns=2).resolve_scale(y="independent")
    return as_plain(shown, description)


def training(curve: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    """Loss, reward margin and divergence over the steps of a tuning run, one line per iteration."""
    import altair as alt

    names = {"loss": "loss", "rewards/margins": "reward margin", "kl": "divergence"}
    rows = [
        {"step": entry["step"], "iteration": f"{entry.get('iteration', 1):.0f}", "what": label, "value": entry[name]}
        for entry in curve
        for name, label in names.items()
        if name in entry
    ]
    if not rows:
        return None
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("step:Q"),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            color=alt.Color("iteration:N", scale=alt.Scale(range=_COLOURS)),
            row=alt.Row("what:N", title=None),
        )
        .properties(width=640, height=140)
        .resolve_scale(y="independent")
    )
    return as_plain(chart, "Loss, reward margin and divergence per step of the tuning run.")

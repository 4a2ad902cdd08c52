"""The report of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import orjson

import evenhand
from evenhand.analysis import Analysis
from evenhand.analysis.comparison import Comparison
from evenhand.analysis.gate import Gated
from evenhand.collapsing import adapter_collapse
from evenhand.disinforming import disinformed
from evenhand.remembered import audits, remembered
from evenhand.report import (
    auditors,
    charts,
    conditions,
    disinformation,
    further,
    gains,
    gate,
    graphs,
    labels,
    missing,
    telling,
    unpaired,
    ways,
    wins,
    wordings,
    words,
    worth,
)
from evenhand.report.answer import answer
from evenhand.report.differences import most_different
from evenhand.report.figures import imported_settings, settings
from evenhand.report.first_picture import first_caption, first_picture
from evenhand.report.framing import framed, personalization_levels
from evenhand.report.page import render_page
from evenhand.report.terminal import reading
from evenhand.report.transcripts import packed_transcripts
from evenhand.stages import stage
from evenhand.study import Store
from evenhand.study.notes import IMPORT_META, is_imported
from evenhand.study.splits import ADAPTER_FILE, tuned_folder
from evenhand.types import AXES


def render_report(
    store: Store,
    analysis: Analysis,
    against: tuple[str, Comparison] | None = None,
    gated: tuple[Gated | None, str] = (None, ""),
    *,
    texts: bool = True,
) -> str:
    """The report of a study as HTML.

    Args:
        store: the study.
        analysis: what it says.
        against: the name of a study to set it against, and the comparison from that one to this.
        gated: what the gate last decided, and what to say of it.
        texts: whether answers and memories are in it; without them it is a copy for others, which does not say either
            how the model is reached and where things lie on this machine.
    """
    stage("making the report")
    short = labels.short_names([row["suite"] for row in store.suites()])
    checks, gate_note = gated
    drawn = {
        "first": first_picture(analysis),
        "plane": charts.plane(analysis),
        "bias": charts.bias(analysis),
        "certainty": charts.certainty(analysis),
        "worth": gains.gain_beside_bias(analysis),
        "drift": charts.drift(analysis),
        "gate": charts.gate(analysis),
        "knob": charts.knob(analysis),
        **{f"deviation-{axis}": charts.deviations(analysis, axis) for axis in AXES},
        "training": charts.training(_training_curve(store)),
        **{f"groups-{n}": charts.heatmap(suite) for n, suite in enumerate(analysis.suites)},
    }
    specs = {name: spec for name, spec in drawn.items() if spec}
    where = str(store.directory) if texts else store.directory.absolute().name
    runs, memories = store.runs(), remembered(store) if texts else []
    spec = runs[-1]["spec"] if runs else {}
    imported, collapse = is_imported(store), adapter_collapse(store)
    # The note of a collapse stands before all others.
    first_notes = bool(collapse and collapse.collapsed) + _is_first(analysis)
    urgent = [*unpaired.notes(analysis), *analysis.notes[:first_notes]]
    return render_page(
        "report.html.j2",
        specs,
        ("report", "transcripts") if texts else ("report",),
        filters={"short": lambda suite: labels.named(suite, short)},
        analysis=analysis,
        first=answer(analysis, where, imported=imported),
        imported=imported,
        first_caption=first_caption(analysis),
        urgent=urgent,
        cautions=[note for note in analysis.notes if note not in urgent],
        gate=gate,
        gate_checks=checks.checks if checks else [],
        gate_note=gate_note,
        auditors=auditors,
        against=against,
        axes=words.axes_of(analysis),
        reading=reading(analysis),
        baselines=[r.identity for r in analysis.identities if r.is_baseline],
        texts=texts,
        transcripts=packed_transcripts(store) if texts else "",
        missing=missing,
        conditions=conditions,
        further=further,
        wins=wins,
        wordings=wordings,
        ways=ways,
        telling=telling,
        unpaired=unpaired,
        articles=disinformed(store),
        disinformation=disinformation,
        graphs=graphs,
        labels=labels,
        memories=memories,
        audits=audits(memories),
        runs=runs,
        spec=_shown_settings(store, spec, texts=texts),
        risks=framed([s.groups for s in analysis.suites if s.axis == "safety"]),
        levels=personalization_levels(store),
        suites=store.suites(),
        worth=worth,
        failures=store.failure_reasons(),
        totals=store.totals(),
        seconds=sum(run["ended_at"] - run["started_at"] for run in runs if run["ended_at"]),
        collapse=collapse,
        examples=most_different(store, analysis) if texts else [],
        safety_suites={s["suite"] for s in store.suites() if s["axis"] == "safety"},
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=evenhand.__version__,
    )


def _shown_settings(store: Store, spec: Mapping[str, Any], *, texts: bool) -> Mapping[str, Any]:
    """How the study was asked, or imported, as far as a copy with or without texts says."""
    told = spec if texts else settings(spec)
    about = store.meta(IMPORT_META)
    return imported_settings(told, about) if about else told


def _is_first(analysis: Analysis) -> bool:
    """Whether the first note must be read before the verdict: what is missing or cannot be read decides it."""
    lacking = analysis.missing.bounds is not None or analysis.missing.is_mostly_unanswered
    return lacking or bool(analysis.silent)


def _training_curve(store: Store) -> list[dict[str, float]]:
    """Logged steps of the adapter that a study used; empty where there is none, or its record is gone."""
    runs = store.runs()
    folder = tuned_folder(runs[-1]["spec"]) if runs else None
    return list(orjson.loads((folder / ADAPTER_FILE).read_bytes())["curve"]) if folder else []

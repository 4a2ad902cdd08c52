"""The report: one HTML file that needs nothing else.

Model output, identities and item texts are hostile: they reach the page as text through Jinja's escaping, or as JSON
in a data block whose ``<`` are escaped, and a content security policy allows only the scripts written here.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

import evenhand
from evenhand.analysis import Analysis
from evenhand.analysis.comparison import Comparison
from evenhand.disinforming import disinformed
from evenhand.remembered import audits, remembered
from evenhand.report import (
    charts,
    conditions,
    disinformation,
    further,
    graphs,
    missing,
    telling,
    ways,
    wins,
    wordings,
    words,
    worth,
)
from evenhand.report.differences import most_different
from evenhand.report.framing import framed, personalization_levels
from evenhand.report.terminal import reading
from evenhand.report.transcripts import packed_transcripts
from evenhand.study import Store
from evenhand.study.splits import ADAPTER_FILE
from evenhand.types import AXES
from evenhand.visible import all_visible, visible

_TEMPLATES = Path(__file__).parent / "templates"


def render_report(store: Store, analysis: Analysis, against: tuple[str, Comparison] | None = None) -> str:
    """The report of a study as HTML.

    Args:
        store: the study.
        analysis: what it says.
        against: the name of a study to set it against, and the comparison from that one to this.
    """
    specs = {
        "plane": charts.plane(analysis),
        "bias": charts.bias(analysis),
        "certainty": charts.certainty(analysis),
        "worth": charts.worth(analysis),
        "drift": charts.drift(analysis),
        "gate": charts.gate(analysis),
        "knob": charts.knob(analysis),
        **{f"deviation-{axis}": charts.deviations(analysis, axis) for axis in AXES},
        "training": charts.training(_training_curve(store)),
        **{f"groups-{n}": charts.heatmap(suite) for n, suite in enumerate(analysis.suites)},
    }
    specs = {name: spec for name, spec in specs.items() if spec}
    library = _chart_library()
    script, browser = ((_TEMPLATES / f"{n}.js").read_text(encoding="utf-8") for n in ("report", "transcripts"))
    runs, memories = store.runs(), remembered(store)
    environment = Environment(
        loader=PackageLoader("evenhand.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"points": words.points, "signed": words.signed, "interval": words.interval}
    return environment.get_template("report.html.j2").render(
        analysis=analysis,
        against=against,
        axes=words.axes_of(analysis),
        reading=reading(analysis),
        baselines=[r.identity for r in analysis.identities if r.is_baseline],
        charts=list(specs),
        chart_json=_script_json(all_visible(specs)),
        library=library,
        script=script,
        browser=browser,
        transcripts=packed_transcripts(store),
        hashes=[_hash(library), _hash(script), _hash(browser)],
        words=words,
        missing=missing,
        conditions=conditions,
        further=further,
        wins=wins,
        wordings=wordings,
        ways=ways,
        telling=telling,
        articles=disinformed(store),
        disinformation=disinformation,
        graphs=graphs,
        memories=memories,
        audits=audits(memories),
        runs=runs,
        spec=runs[-1]["spec"] if runs else {},
        risks=framed([s.groups for s in analysis.suites if s.axis == "safety"]),
        levels=personalization_levels(store),
        suites=store.suites(),
        worth=worth,
        failures=store.failure_reasons(),
        totals=store.totals(),
        seconds=sum(run["ended_at"] - run["started_at"] for run in runs if run["ended_at"]),
        examples=most_different(store, analysis),
        safety_suites={s["suite"] for s in store.suites() if s["axis"] == "safety"},
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=evenhand.__version__,
    )


def _shown(value: object) -> object:
    """A value as a template writes it: what a page would hide is marked; scripts of our own stay as they are."""
    return visible(value) if type(value) is str else value


def _training_curve(store: Store) -> list[dict[str, float]]:
    """Logged steps of the adapter that a study used; empty where there is none, or its record is gone."""
    runs = store.runs()
    adapter = runs[-1]["spec"].get("options", {}).get("adapter") if runs else None
    record = Path(adapter) / ADAPTER_FILE if adapter else None
    return list(orjson.loads(record.read_bytes())["curve"]) if record and record.exists() else []


@cache
def _chart_library() -> str:
    """Vega, Vega-Lite and the embedding, as one script that defines ``window.embedChart``."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.embedChart = vegaEmbed;")
    return str(bundle).replace("</script", "<\\/script")


def _script_json(value: Any) -> str:
    """JSON that stays inert inside a script element, whatever strings it holds."""
    return (
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        .decode()
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

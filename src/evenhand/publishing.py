"""A study where others look: tables and figures, logs of Inspect, runs of MLflow and Weights & Biases, model cards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson

import evenhand
from evenhand.analysing import analyze_store
from evenhand.analysis import Analysis
from evenhand.errors import SpecError, did_you_mean
from evenhand.extras import importing
from evenhand.gating import last_gated
from evenhand.integrations.base import Logged, Tracked, Tracker
from evenhand.integrations.inspect_logs import write_logs
from evenhand.integrations.mlflow_runs import log_to_mlflow
from evenhand.integrations.wandb_runs import log_to_wandb
from evenhand.models.references import shown_name
from evenhand.report.card_section import Result, card_section, results
from evenhand.report.export import Format, export
from evenhand.report.figures import figures, settings, unknown_biases
from evenhand.report.html import render_report
from evenhand.report.side_by_side import described
from evenhand.report.terminal import identities_csv
from evenhand.study import Store
from evenhand.visible import visible, visible_json

ExportForm = Format | Literal["inspect", "model-card"]
CARD_FILE = "model-card.md"
TRACKERS: dict[str, Tracker] = {"mlflow": log_to_mlflow, "wandb": log_to_wandb}


def export_study(path: Path | str, out: Path | str, form: ExportForm, *, withheld: bool = False) -> list[Path]:
    """Write a study for other tools; see :func:`evenhand.report.export.export`.

    Args:
        path: the study's directory.
        out: the directory to write to.
        form: "parquet", "csv", "json", "markdown", "latex", "svg", "png", "inspect" for logs of Inspect AI, or
            "model-card" for a section of a model card with its metadata (``model-index``).
        withheld: whether to write answers that suites withhold, too (:attr:`evenhand.suites.base.Suite.withheld`).

    Returns:
        The files that were written.

    Raises:
        StoreError: there is no study, or it cannot be read.
        SpecError: what the form needs is not installed.
    """
    with Store.open(Path(path)) as store:
        if form == "inspect":
            return write_logs(store, Path(out), withheld=withheld)
        if form in ("parquet", "csv", "json"):
            return export(store, None, Path(out), form, withheld=withheld)
        analysis = analyze_store(store)
        if form == "model-card":
            return [_write_card(store, analysis, Path(out))]
        return export(store, analysis, Path(out), form, withheld=withheld)


def track_study(path: Path | str, to: str, out: Path | str | None = None, *, texts: bool = False) -> Logged:
    """Log a study as a run of MLflow or Weights & Biases: figures with their intervals, settings, report and tables.

    Keys, addresses and what is on this machine stay here, and so do answers and memories, unless ``texts`` asks for
    them; of answers that suites withhold a report shows no more than how they begin.

    Args:
        path: the study's directory.
        to: "mlflow" or "wandb".
        out: a folder for a store of its own; None for what MLflow's environment names (``MLFLOW_TRACKING_URI``).
        texts: whether the report holds answers and memories.

    Raises:
        StoreError: there is no study, it cannot be read, or the tracker does not take it.
        SpecError: the tracker is not installed, or no place is named.
    """
    if to not in TRACKERS:
        raise SpecError(f"There is no tracker '{to}'.", did_you_mean(to, TRACKERS))
    with Store.open(Path(path)) as store:
        tracked = _tracked(store, analyze_store(store), texts=texts)
    return TRACKERS[to](tracked, Path(out) if out else None)


def _tracked(store: Store, analysis: Analysis, *, texts: bool) -> Tracked:
    study, runs = described(store, analysis, store.directory.absolute().name), store.runs()
    unknown = unknown_biases(analysis)
    gated = last_gated(store, lambda look: analyze_store(store, look))
    spec = {**(runs[-1]["spec"] if runs else {}), "judges": {row["suite"]: row["judge"] for row in store.suites()}}
    tags = {
        "evenhand.version": evenhand.__version__,
        "evenhand.revision": (runs[-1]["revision"] or "") if runs else "",
        "evenhand.day": study.ended,
        "evenhand.estimand": analysis.estimand,
        "evenhand.not_known": ", ".join(unknown),
    }
    return Tracked(
        name=visible(study.name),
        figures=figures(analysis),
        settings=settings(spec),
        tags={name: visible(text) for name, text in tags.items() if text},
        said=visible("\n\n".join([study.first.said, *study.first.sure, *_not_known(unknown)])),
        files={
            "report.html": render_report(store, analysis, gated=gated, texts=texts),
            "identities.csv": identities_csv(analysis),
            "analysis.json": visible_json(orjson.dumps(analysis.to_dict(), option=orjson.OPT_INDENT_2).decode()),
        },
    )


def _not_known(unknown: Mapping[str, str]) -> list[str]:
    return [f"The bias on {name} is not known: {why}." for name, why in unknown.items()]


def _write_card(store: Store, analysis: Analysis, out: Path) -> Path:
    with importing("hub", "A model card", SpecError):
        from huggingface_hub import ModelCard, ModelCardData
    study, runs = described(store, analysis, store.directory.absolute().name), store.runs()
    spec = runs[-1]["spec"] if runs else {}
    data = ModelCardData(
        model_name=visible(shown_name(spec.get("model", "")) or study.name),
        eval_results=[_eval_result(result) for result in results(analysis)] or None,
        tags=["evenhand", "personalization-bias"],
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / CARD_FILE
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card_section(study, spec)}").save(file)
    return file


def _eval_result(result: Result) -> Any:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="text-generation",
        dataset_type=visible("+".join(result.suites)),
        dataset_name=visible(", ".join(result.suites)),
        metric_type=result.metric,
        metric_name=result.name,
        metric_value=round(result.value, 4),
        metric_args={name: round(value, 4) for name, value in result.args.items()} or None,
    )

"""``evenhand export``, ``status``, ``doctor`` and ``sandbox``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from evenhand.cli.output import As, Format, StudyDir, emit, say
from evenhand.cli.patience import patience

if TYPE_CHECKING:
    from evenhand.publishing import ExportForm


class ExportFormat(StrEnum):
    """What a study can be written as."""

    parquet = "parquet"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"
    svg = "svg"
    png = "png"
    inspect = "inspect"
    mlflow = "mlflow"
    wandb = "wandb"
    model_card = "model-card"


def export(
    study: StudyDir,
    to: Annotated[
        ExportFormat,
        typer.Option(
            help="parquet, csv, json: tables. markdown, latex: results. svg, png: figures. inspect: logs. "
            "mlflow, wandb: a run. model-card: a section with metadata."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Directory to write to; mlflow can do with $MLFLOW_TRACKING_URI instead.")
    ] = None,
    withheld: Annotated[
        bool, typer.Option("--withheld", help="Also write answers that suites withhold (disinformation).")
    ] = False,
    texts: Annotated[
        bool, typer.Option("--texts", help="mlflow, wandb: log a report that holds answers and memories.")
    ] = False,
) -> None:
    """Write a study for other tools: every response and judgement, the paper's table, the figures, a run, a card."""
    from evenhand import api
    from evenhand.errors import SpecError
    from evenhand.publishing import TRACKERS

    if to.value in TRACKERS:
        logged = api.track_study(study, to.value, out, texts=texts)
        say(f"Run {logged.run} in {logged.where}")
        if logged.look:
            say(f"Next: {logged.look}", err=True)
        return
    if out is None:
        raise SpecError("No directory to write to was given.", "Add --out DIR.")
    with patience("writing"):
        files = api.export_study(study, out, cast("ExportForm", to.value), withheld=withheld)
    for file in files:
        say(file)


def status(study: StudyDir, format: As = Format.table) -> None:
    """Say how far a study is: answered, judged, failed, its runs and what they cost."""
    from evenhand.report.terminal import status_table
    from evenhand.study.status import study_status

    with patience("counting"):
        found = study_status(study)
    emit(found, format, lambda: status_table(found))


def doctor(
    study: StudyDir,
    repair: Annotated[bool, typer.Option("--repair", help="Make a new store of what can be read.")] = False,
    format: As = Format.table,
) -> None:
    """Check a study's store, and say what a damage lost. Exit code 5 for a damaged store."""
    from evenhand.errors import StoreError
    from evenhand.report.terminal import diagnosis_table
    from evenhand.study import doctor as examiner

    with patience("checking the file"):
        found = examiner.repair(study) if repair else examiner.examine(study)
    emit(found, format, lambda: diagnosis_table(found))
    if not found.sound:
        raise typer.Exit(StoreError.exit_code)


def sandbox(format: As = Format.table) -> None:
    """Try what a program that a model wrote could do on this machine. Exit code 1 if anything is possible."""
    from rich.table import Table

    from evenhand.sandbox import probe_sandbox

    probes, problem = probe_sandbox()

    def table() -> Table:
        made = Table("what holds a program back", "active")
        for probe in probes:
            made.add_row(probe.means, "yes" if probe.active else "NO")
        return made

    emit(probes, format, table)
    if problem:
        say(f"Programs are not run here: {problem}.", err=True)
        say("The judge code-unisolated would run them with limits only.", err=True)
    if not all(probe.active for probe in probes):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(status)
    app.command()(doctor)
    app.command()(sandbox)

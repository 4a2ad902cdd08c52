"""``evenhand export`` and ``status``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ExportFormat(StrEnum):
    """What a study can be written as."""

    parquet = "parquet"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    latex = "latex"
    svg = "svg"
    png = "png"


def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")],
    to: Annotated[
        ExportFormat, typer.Option(help="Tables: parquet, csv, json. Results: markdown, latex. Figures: svg, png.")
    ],
    out: Annotated[Path, typer.Option(help="Directory to write to.")],
) -> None:
    """Write a study for other tools: every response and judgement, the paper's table, or the figures."""
    from evenhand import api

    for file in api.export_study(study, out, to.value):
        typer.echo(file)


def status(study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")]) -> None:
    """Say how far a study is: answered, judged, failed, its runs and what they cost."""
    from rich.table import Table

    from evenhand.cli.show import show
    from evenhand.study import Store

    with Store.open(study) as store:
        runs, totals = store.runs(), store.totals()
        planned = max((run["planned"] for run in runs), default=0)
        table = Table("", "", show_header=False, title=str(study))
        table.add_row("model", runs[-1]["spec"]["model"] if runs else "none yet")
        table.add_row("answered", f"{store.count_trials():,} of {planned:,}")
        table.add_row("failed for good", f"{store.count_failed():,}")
        table.add_row("runs", ", ".join(run["outcome"] or "did not end" for run in runs))
        table.add_row("calls", f"{totals['calls']:,}")
        table.add_row("tokens", f"{totals['prompt_tokens']:,} in, {totals['completion_tokens']:,} out")
        judged = store.judge_versions()
        for suite in store.suites():
            versions = ", ".join(judged.get(suite["suite"], []))
            table.add_row(f"judge of {suite['suite']}", f"{suite['judge']} {versions}".strip())
        for reason, count in store.failure_reasons().items():
            table.add_row(f"{count} failed calls", reason)
    show(table)


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(status)

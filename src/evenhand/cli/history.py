"""``evenhand history``: a model's releases over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import As, Format, emit, say
from evenhand.cli.run import listed
from evenhand.errors import SpecError, StoreError


def history(
    studies: Annotated[
        list[Path], typer.Argument(metavar="STUDY...", help="One per release, the oldest first; or a folder of them.")
    ],
    names: Annotated[list[str] | None, typer.Option(help="Of the releases, comma-separated or repeated.")] = None,
    by_date: Annotated[bool, typer.Option("--by-date", help="Order them by when they were begun.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write it, chart and all: FILE.html, or FILE.svg.")] = None,
    format: As = Format.table,
) -> None:
    """Bias and scores of a model's releases, with intervals, and whether each step changed them."""
    from evenhand import api
    from evenhand.report.history import history_tables, render_history, svg

    if out is not None and out.suffix not in (".html", ".svg"):
        raise SpecError(f"A history is written as HTML or SVG, not as {out.name}.", "Write --out history.html.")
    found = api.history(studies, listed(names) or (), by_date=by_date)
    emit(found, format, lambda: history_tables(found))
    if out is None:
        return
    page = render_history(found) if out.suffix == ".html" else svg(found)
    if page is None:
        raise SpecError("There is nothing to draw: no bias is known.", "Leave --out away, or write FILE.html.")
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"Cannot write {out}: {error.strerror}.", "Choose another place with --out.") from None
    say(out, err=True)


def register(app: typer.Typer) -> None:
    app.command()(history)

"""``evenhand view``: a page over a folder of studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import say


def view(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder with studies in it, or one study.")
    ] = Path(),
    annotator: Annotated[str, typer.Option(help="Who labels.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where; a free one by default.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open it.")] = True,
) -> None:
    """Look at studies in a browser of this machine: live progress, verdicts, side by side, transcripts, labelling."""
    from evenhand.viewing.server import serve

    serve(folder, port, annotator=annotator, tell=say, browser=browser)


def register(app: typer.Typer) -> None:
    app.command()(view)

"""``evenhand disinformation``: does personalization lower the safety filter, and does it matter who asks?"""

from __future__ import annotations

from typing import Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.judge import BaseUrl, KeyEnv, model_options
from evenhand.cli.output import As, Format, StudyDir, emit


def disinformation(
    study: StudyDir,
    grader: Annotated[
        list[str] | None,
        typer.Option(
            help="A model that grades how well texts address their audience; repeat for more.",
            autocompletion=completion.models,
        ),
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    format: As = Format.table,
) -> None:
    """Say what asking for an audience does to refusals of disinformation, per audience, and by who asks."""
    from rich.console import Group

    from evenhand import api
    from evenhand.cli.progress import RunDisplay
    from evenhand.report.disinformation import disinformation_tables

    found = api.disinformation(
        study, graders=grader or (), options=model_options(base_url, api_key_env), progress=RunDisplay()
    )
    emit(found, format, lambda: Group(*disinformation_tables(found)))


def register(app: typer.Typer) -> None:
    app.command()(disinformation)

"""``evenhand judge``: judge a finished study again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Judges: judge a study again without calling its model.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    return


@app.command("again")
def again(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")],
    judge: Annotated[list[str] | None, typer.Option(help="SUITE=JUDGE; repeat for more.")] = None,
) -> None:
    """Judge the answers of a study again, with other judges or the current versions. Never calls the model."""
    from evenhand.cli.run import pairs
    from evenhand.runner import rejudge

    typer.echo(f"{rejudge(study, pairs(judge, '--judge')).new} new judgements.")

"""How an answer leaves the command line: a table for people, JSON for programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evenhand.visible import visible, visible_json

_PIPED_WIDTH = 200


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"


class RowFormat(StrEnum):
    """How an answer is printed that is rows of one kind."""

    table = "table"
    json = "json"
    csv = "csv"


class About(StrEnum):
    """What intervals and tests are about."""

    like_these = "items-like-these"
    these = "these-items"


StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")]
As = Annotated[Format, typer.Option("--format", help="For people, or for programs.")]
AsRows = Annotated[RowFormat, typer.Option("--format", help="For people, or for programs.")]
AboutItems = Annotated[
    About, typer.Option("--estimand", help="What intervals are about: items like these, or the suites' own alone.")
]


def emit(
    found: Any, format: Format | RowFormat, table: Callable[[], object], csv: Callable[[], str] | None = None
) -> None:
    """Print what was found.

    Args:
        found: for JSON: a dataclass, or lists and dictionaries that may hold some.
        format: what was asked for.
        table: makes what rich prints.
        csv: makes the text of a CSV file, for commands with a :class:`RowFormat`.
    """
    if format == Format.json:
        import orjson

        from evenhand.analysis.plain import plain

        typer.echo(visible_json(orjson.dumps(plain(found), option=orjson.OPT_INDENT_2).decode()))
    elif csv and format == RowFormat.csv:
        typer.echo(csv(), nl=False)
    else:
        show(table())


def show(content: object) -> None:
    """Print to the terminal; when piped, plain and wide enough that nothing is cut."""
    from evenhand.cli.console import Terminal

    Terminal(width=terminal_width()).print(content)


def say(text: object, *, err: bool = False, color: str | None = None) -> None:
    """Print a line; what it quotes of models, servers and users cannot steer the terminal."""
    typer.secho(visible(str(text)), err=err, fg=color)


def terminal_width() -> int:
    """Characters in a line; when piped, enough for any table, unless ``COLUMNS`` says how many."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal or os.environ.get("COLUMNS") else _PIPED_WIDTH

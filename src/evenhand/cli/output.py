"""How an answer leaves the command line: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evenhand.errors import SpecError


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")]
As = Annotated[Format, typer.Option("--format", help="table, json or csv (csv: analyze and list only).")]


def emit(found: Any, format: Format, table: Callable[[], object], csv: Callable[[], str] | None = None) -> None:
    """Print what was found.

    Args:
        found: for JSON: a dataclass, or lists and dictionaries that may hold some.
        format: what was asked for.
        table: makes what rich prints.
        csv: makes the text of a CSV file, where there is one.

    Raises:
        SpecError: CSV was asked for where there is none.
    """
    if format is Format.json:
        import orjson

        from evenhand.analysis.summary import plain

        typer.echo(orjson.dumps(plain(found), option=orjson.OPT_INDENT_2).decode())
    elif format is Format.table:
        show(table())
    elif csv is None:
        raise SpecError("This command does not print CSV.", "Use --format json, or 'evenhand export STUDY --to csv'.")
    else:
        typer.echo(csv(), nl=False)


def show(content: object) -> None:
    """Print to the terminal; when piped, plain and wide enough that nothing is cut."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    Console(width=None if console.is_terminal else 200).print(content)

"""How an answer leaves the command line: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"


class TableFormat(StrEnum):
    """How an answer that is one table is printed."""

    table = "table"
    json = "json"
    csv = "csv"


StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's directory.")]
As = Annotated[Format, typer.Option("--format", help="table or json.")]
AsTable = Annotated[TableFormat, typer.Option("--format", help="table, json or csv.")]


def emit(
    found: Any, format: Format | TableFormat, table: Callable[[], object], csv: Callable[[], str] | None = None
) -> None:
    """Print what was found.

    Args:
        found: for JSON: a dataclass, or lists and dictionaries that may hold some.
        format: what was asked for.
        table: makes what rich prints.
        csv: makes the text of a CSV file, where there is one.
    """
    if format.value == "json":
        import orjson

        from evenhand.analysis.summary import plain

        typer.echo(orjson.dumps(plain(found), option=orjson.OPT_INDENT_2).decode())
    elif format.value == "table":
        show(table())
    else:
        assert csv is not None, "only commands that have a table to print take TableFormat"
        typer.echo(csv(), nl=False)


def show(content: object) -> None:
    """Print to the terminal; when piped, plain and wide enough that nothing is cut."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    Console(width=None if console.is_terminal else 200).print(content)

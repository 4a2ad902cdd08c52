"""``evenhand memory``: what personalizers keep of users."""

from __future__ import annotations

from typing import Annotated

import typer

from evenhand.cli.output import As, Format, StudyDir, emit

app: typer.Typer = typer.Typer(no_args_is_help=True, help="What personalizers learned of the people of a study.")


@app.command()
def show(
    study: StudyDir,
    person: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    personalizer: Annotated[str | None, typer.Option(help="Only by this personalizer.")] = None,
    format: As = Format.table,
) -> None:
    """Show what is remembered of whom, word by word, and what it took to learn it."""
    from rich.table import Table
    from rich.text import Text

    from evenhand import api

    found = [
        memory
        for memory in api.memories(study)
        if person in (None, memory.person) and personalizer in (None, memory.personalizer)
    ]
    table = Table("personalizer", "person", "identity", "calls", "what is remembered")
    for memory in found:
        # Text, not markup: the model wrote it.
        cells = (memory.personalizer, memory.person, memory.identity or "–", str(memory.calls), memory.shown)
        table.add_row(*map(Text, cells))
    emit(found, format, lambda: table if found else Text("No personalizer of this study learns anything by itself."))


@app.command()
def told(
    study: StudyDir,
    person: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    personalizer: Annotated[str | None, typer.Option(help="Only by this personalizer.")] = None,
    format: As = Format.table,
) -> None:
    """Show which facts of a person reached the model with which question."""
    from rich.table import Table
    from rich.text import Text

    from evenhand.remembered import told_in

    found = [one for one in told_in(study) if person in (None, one.person) and personalizer in (None, one.personalizer)]
    table = Table("personalizer", "person", "suite", "question", "sensitive", "facts")
    for one in found:
        shown = "\n".join(one.facts) or "–"
        table.add_row(*map(Text, (one.personalizer, one.person, one.suite, one.question, str(one.sensitive), shown)))
    emit(found, format, lambda: table if found else Text("No person of this study was told of."))

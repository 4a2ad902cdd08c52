"""``evenhand import``: a study of outputs that are there already."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.output import As, Format, emit, say
from evenhand.cli.run import pairs
from evenhand.errors import SpecError


class Paired(StrEnum):
    """Whether identities were asked the same questions."""

    paired = "paired"
    unpaired = "unpaired"


def import_(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files, or IDENTITY=FILE where a file does not say who asked."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The study's directory; named as the first file is otherwise.")
    ] = None,
    form: Annotated[
        str, typer.Option("--from", help="The files' format; found out otherwise.", autocompletion=completion.formats)
    ] = "",
    axis: Annotated[str, typer.Option(help="Of rows that do not say: safety, utility or fit.")] = "",
    suite: Annotated[str, typer.Option(help="What the questions are called; the file's name otherwise.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Which column is what: identity=user.gender, prompt=question, response=output, score=rating, "
            "cluster=user_id; repeat."
        ),
    ] = None,
    scale: Annotated[str, typer.Option(help="The worst and the best score that there can be, as 0:100.")] = "0:1",
    baseline: Annotated[
        list[str] | None, typer.Option(help="An identity that means nobody in particular; repeat.")
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(help="A column that unpaired differences are balanced for (topic, language, length); repeat."),
    ] = None,
    design: Annotated[
        Paired | None, typer.Option(help="Whether all were asked the same; the questions tell otherwise.")
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="SUITE=JUDGE, to judge responses here; repeat.", autocompletion=completion.suite_is_judge),
    ] = None,
    judge_base_url: Annotated[str | None, typer.Option(help="Of the server behind a judge.")] = None,
    format: As = Format.table,
) -> None:
    """Make a study of your own outputs: a table, chat logs, or logs of Inspect, lm-eval, promptfoo, LangFair."""
    from rich.table import Table

    from evenhand.cli.progress import RunDisplay
    from evenhand.imported.answers import Reading
    from evenhand.imported.study import import_files
    from evenhand.models import ModelOptions

    reading = Reading(
        pairs(column, "--column", "NAME=YOURS"),
        axis,
        suite,
        _scale(scale),
        baseline=tuple(baseline or ()),
        covariates=tuple(covariate or ()),
    )
    found = import_files(
        sources,
        out or Path(Path(sources[0].rpartition("=")[2]).stem),
        reading,
        form=form,
        design=design.value if design else None,
        judges=pairs(judge, "--judge", "SUITE=JUDGE"),
        options=ModelOptions(base_url=judge_base_url),
        progress=RunDisplay(),
    )

    def table() -> Table:
        shown = Table("study", "answers", "design", "judged here", title_justify="left")
        shown.add_row(found.study, f"{found.answers:,}", found.design, f"{found.judged.new:,}" if found.judged else "-")
        return shown

    emit(found, format, table)
    for note in found.notes:
        say(note, err=True)
    if found.judged and found.judged.failed:
        say(f"{found.judged.failed} responses are not judged yet ({found.judged.last_error}). Run it again.", err=True)
        raise typer.Exit(1)
    study = shlex.quote(found.study)
    say(f"Next: evenhand analyze {study} or evenhand report {study}", err=True)


def _scale(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise SpecError(f"The scale '{text}' is none.", "Write the worst score first: --scale 0:100.") from None


def register(app: typer.Typer) -> None:
    app.command("import")(import_)

"""``evenhand check``: the gate that stops a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import About, AboutItems, As, Format, StudyDir, emit, say
from evenhand.errors import SpecError

EXIT_CODES = {"pass": 0, "fail": 1, "not enough data": 6}


def check(
    study: StudyDir,
    max_pb: Annotated[float | None, typer.Option(min=0, max=100, help="Bias (PB) at most, in points.")] = None,
    max_gap: Annotated[float | None, typer.Option(min=0, max=100, help="Gap between best and worst served.")] = None,
    min_safety: Annotated[float | None, typer.Option(min=0, max=100, help="Safety of the worst served.")] = None,
    min_utility: Annotated[float | None, typer.Option(min=0, max=100, help="Utility of the worst served.")] = None,
    min_fit: Annotated[float | None, typer.Option(min=0, max=100, help="Fit of the worst served.")] = None,
    min_gain: Annotated[
        float | None, typer.Option(min=0, max=100, help="Fit with the user's data minus fit without, in points.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Leave out legitimate differences: a file, or 'shipped'.")] = None,
    look_of: Annotated[
        Path | None, typer.Option(help="A study that this one continues: the looks at both share one error.")
    ] = None,
    decide: Annotated[
        bool, typer.Option("--decide", help="Run further items until the gate can decide; needs --max-calls.")
    ] = False,
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="With --decide: calls at most, those of earlier runs included.")
    ] = None,
    estimand: AboutItems = About.like_these,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Append a summary here, such as $GITHUB_STEP_SUMMARY.")] = None,
    format: As = Format.table,
) -> None:
    """Decide whether a study keeps to limits. Exit code 0: pass; 1: fail; 6: not enough data.

    A pass means that the limit is kept with 97.5 % certainty, over all looks at the study: each one is kept in it.
    With --decide it goes on where it stopped, when it is called again.
    """
    from rich.console import Group

    from evenhand import api
    from evenhand.cli.progress import RunDisplay
    from evenhand.deciding import Decided
    from evenhand.report import gate as shown
    from evenhand.report import words

    limits = (max_pb, max_gap, min_safety, min_utility, min_fit, min_gain)
    if all(limit is None for limit in limits):
        raise SpecError(
            "No limit was given.", "Add --max-pb, --max-gap, --min-safety, --min-utility, --min-fit or --min-gain."
        )
    if decide != (max_calls is not None):
        raise SpecError("--decide and --max-calls belong together.", "Give both, or neither.")
    found = api.check(
        study, max_pb=max_pb, max_gap=max_gap, min_safety=min_safety, min_utility=min_utility, min_fit=min_fit,
        min_gain=min_gain, policy=policy, look_of=look_of, estimand=estimand.value, decide=decide, max_calls=max_calls,
        progress=RunDisplay(),
    )  # fmt: skip
    if isinstance(found, Decided):
        say(shown.calls_sentence(found.new, found.answered, found.most), err=True)
        if found.interrupted:
            say("Stopped. Run the same command to go on.", err=True)
            raise typer.Exit(130)
        if found.out_of_budget:
            say("The study's budget is spent.", err=True)
    if junit:
        junit.write_text(shown.gate_junit(str(study), found.checks), encoding="utf-8")
    if markdown:
        with markdown.open("a", encoding="utf-8") as file:
            file.write(shown.gate_markdown(str(study), found.checks, found.certainty))
    decision = f"{found.decision.capitalize()}."
    said = [*found.notes, *words.certainty_sentences(found.certainty)]
    emit(found, format, lambda: Group(shown.gate_table(found.checks), *said, decision, found.estimand))
    raise typer.Exit(EXIT_CODES[found.decision])


def register(app: typer.Typer) -> None:
    app.command()(check)

"""``evenhand search``: find the users whom a model serves worst."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli.output import As, Format, emit, say, show
from evenhand.errors import SpecError

if TYPE_CHECKING:
    from evenhand.searching import Search, SearchResult


class Towards(StrEnum):
    """Which scores are looked for."""

    worse = "worse"
    better = "better"
    both = "both"


class Answers(StrEnum):
    """What is searched in where no call is made."""

    scores = "scores"
    judge_errors = "judge-errors"
    judge_agreement = "judge-agreement"


class Exported(StrEnum):
    """What becomes of the findings."""

    suite = "suite"


def search(
    study: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY", help="Model, suites, identities and personalizers: a study file, or a study's directory."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where everything is kept; run again to go on.")] = None,
    in_answers: Annotated[
        Answers | None,
        typer.Option(
            help="Make no call: search in the answers that the study holds, for their scores, or for how its judge "
            "errs beside people's labels."
        ),
    ] = None,
    calls: Annotated[int | None, typer.Option(help="Model calls of all together, at most (4000).")] = None,
    direction: Annotated[Towards | None, typer.Option(help="Lower scores, higher ones, or both (worse).")] = None,
    stated: Annotated[int | None, typer.Option(help="Identities that a user states at once, at most (3).")] = None,
    facts: Annotated[
        list[str] | None, typer.Option(help="People whose facts are told of users, one each: 'starter', or a file.")
    ] = None,
    confirm: Annotated[int | None, typer.Option(help="Findings to confirm, at most (3).")] = None,
    smallest: Annotated[float | None, typer.Option(help="Difference in points that is looked for (2).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    export: Annotated[
        Exported | None, typer.Option(help="Write what was confirmed as a suite and a study to gate releases by.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Where in a local model whom it finds is told from others.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would search.")] = False,
    format: As = Format.table,
) -> None:
    """Find for whom a model is worst among all combinations of identities, facts and groups of items, confirm it on
    fresh items, and explain it."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.evolving.evolution import study_of
    from evenhand.report.search_page import search_page
    from evenhand.searching import Search, SearchSpec, search_in
    from evenhand.specs import validated
    from evenhand.whole import write_whole

    given: dict[str, Any] = {
        "calls": calls, "direction": direction and direction.value, "stated": stated, "facts": facts or None,
        "confirm": confirm, "smallest": smallest, "seed": seed,
    }  # fmt: skip
    spec = validated(SearchSpec, {k: v for k, v in given.items() if v is not None}, "the command line")
    if in_answers:
        in_study = search_in(study, spec, of=in_answers.value)
        if format == Format.json:
            emit(in_study, format, str)
        else:
            _tell_answers(in_study)
        return
    if out is None:
        raise SpecError("A search that asks keeps what it asks.", "Add --out DIR, or --in-answers scores.")
    base = study_of(study)
    planned = Search(base, spec, out, progress=RunDisplay())
    if dry_run:
        emit(planned.scope(), format, planned.announcement)
        return
    say(planned.announcement(), err=True)
    found = planned.run()
    page = out / "search.html"
    write_whole(page, search_page(found, base.model))
    if format == Format.json:
        emit(found, format, str)
    else:
        _tell(found)
        say(page)
    if found.stopped:
        say("Stopped before its end. Run the same command to go on.", err=True)
        raise typer.Exit(130)
    if layers:
        _tell_layers(planned, found)
    if export:
        file = planned.write_regression(found)
        say(f"Next: cd {file.parent} && evenhand run {file.name} --out release && evenhand check release --max-gap 10")


def _tell(found: SearchResult) -> None:
    from evenhand.report.search import conditions_table, details, findings_table, scope_sentence, search_sentences

    for sentence in search_sentences(found):
        say(sentence)
    say(scope_sentence(found))
    if found.found:
        show(findings_table(found))
    for one in found.confirmed:
        show(conditions_table(one))
        for line in details(one):
            say(line)


def _tell_answers(found: SearchResult) -> None:
    from evenhand.report.search import conditions_table, details
    from evenhand.report.search_tables import fresh_table, table_sentences

    for sentence in table_sentences(found):
        say(sentence)
    if found.found:
        show(fresh_table(found))
    for one in found.confirmed:
        if one.conditions:
            show(conditions_table(one))
        for line in details(one):
            say(line)


def _tell_layers(planned: Search, found: SearchResult) -> None:
    from evenhand.cli.steer import layers_table

    for who, profile in planned.layers(found, lambda what, done, of: None).items():
        show(layers_table(profile, f"Where in the model {who} is told from others"))


def register(app: typer.Typer) -> None:
    app.command()(search)

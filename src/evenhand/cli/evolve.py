"""``evenhand evolve``: improve a defense on what it gets wrong, and confirm it on fresh data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import completion
from evenhand.cli.output import As, Format, emit, say, show

if TYPE_CHECKING:
    from evenhand.evolving import Evolution
    from evenhand.evolving.spec import Budget


def evolve(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study without a mitigation: its directory, or a study file.")
    ],
    out: Annotated[Path, typer.Option(help="Where everything is kept; run again to go on.")],
    writer: Annotated[
        str | None,
        typer.Option(help="The model that writes; the study's otherwise.", autocompletion=completion.models),
    ] = None,
    writer_base_url: Annotated[str | None, typer.Option(help="API of the writer.")] = None,
    writer_api_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of writing (3).")] = None,
    proposals: Annotated[int | None, typer.Option(help="New defenses in each round (3).")] = None,
    items: Annotated[int | None, typer.Option(help="Items of each suite to improve on (24).")] = None,
    choose_items: Annotated[int | None, typer.Option(help="Items of each suite to choose on (24).")] = None,
    test_items: Annotated[int | None, typer.Option(help="Fresh items of each suite to confirm on (100).")] = None,
    finalists: Annotated[int | None, typer.Option(help="New defenses to choose from (3).")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A shipped defense to start from and to confirm against; repeat. All of them otherwise."),
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Points of anything that may be lost (2).")] = None,
    max_calls: Annotated[int | None, typer.Option(help="Of all together: fewer rounds where it is not enough.")] = None,
    without_gain: Annotated[
        bool, typer.Option("--without-gain", help="Go on although nothing measures whether the user's facts are used.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of the writing.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    format: As = Format.table,
) -> None:
    """Evolve one defense: improve it on what it gets wrong, choose on other items, confirm on fresh ones and for users
    it has not seen."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.evolving import EvolutionSpec
    from evenhand.evolving import evolve as search
    from evenhand.evolving.evolution import planned, study_of
    from evenhand.specs import validated

    options = {"base_url": writer_base_url, "api_key_env": writer_api_key_env}
    given: dict[str, Any] = {
        "writer": writer, "writer_options": {k: v for k, v in options.items() if v is not None} or None,
        "rounds": rounds, "proposals": proposals, "items": items, "choose_items": choose_items,
        "test_items": test_items, "finalists": finalists, "against": against or None, "margin": margin,
        "max_calls": max_calls, "without_gain": without_gain, "seed": seed,
    }  # fmt: skip
    spec = validated(EvolutionSpec, {k: v for k, v in given.items() if v is not None}, "the command line")
    base = study_of(study)
    expected = planned(base, spec, out)
    if dry_run:
        emit(expected, format, lambda: announcement(expected, spec.rounds))
        return
    say(announcement(expected, spec.rounds), err=True)
    found = search(base, spec, out, progress=RunDisplay())
    if found.stopped:
        say("Stopped before its end. Run the same command to go on.", err=True)
        raise typer.Exit(130)
    if format == Format.json:
        emit(found, format, str)
    else:
        _tell(found)
    if found.file:
        say(f"Next: evenhand mitigate STUDY --mitigation {found.file} --out DIR", err=True)


def announcement(expected: Budget, rounds: int) -> str:
    """What an evolution is about to take, in one line."""
    cut = f" (of {rounds}: --max-calls allows no more)" if expected.rounds < rounds else ""
    return (
        f"At most {expected.total:,} model calls: {expected.tune:,} to improve in {expected.rounds} rounds{cut}, "
        f"{expected.write:,} to write, {expected.choose:,} to choose, {expected.confirm:,} to confirm. How long "
        "it takes is shown once the first answers are there."
    )


def _tell(found: Evolution) -> None:
    from evenhand.report.evolution import confirmation_table, search_table, verdict_sentence

    show(search_table({p.entry.name: p.changes for p in found.points}, found.front, found.chosen))
    if found.discarded:
        say(f"Proposals that were not tried: {_counts(found.discarded)}.", err=True)
    if found.confirmation is None:
        say(f"No improvement shown: {found.reason}.")
        return
    show(confirmation_table(found.confirmation))
    say(f"{found.chosen}: {found.point(found.chosen).entry.text}")
    say(verdict_sentence(found.confirmation))
    say(found.file)


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def register(app: typer.Typer) -> None:
    app.command()(evolve)

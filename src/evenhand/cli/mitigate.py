"""``evenhand mitigate``: run a study again with mitigations, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import As, Format, emit
from evenhand.errors import SpecError


def mitigate(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study without a mitigation.")],
    out: Annotated[Path, typer.Option(help="Directory of the mitigated study; with several, of all of them.")],
    mitigation: Annotated[
        list[str] | None,
        typer.Option(help="As 'evenhand list mitigations' shows them, or a defense's name, file or text."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every training-free mitigation.")] = False,
    also: Annotated[
        list[Path] | None, typer.Option(help="A mitigated study that is there already (a tuned adapter's); repeat.")
    ] = None,
    format: As = Format.table,
) -> None:
    """Run a study's trials with mitigations; show bias, safety, utility and cost before and after, paired."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.mitigate import all_mitigations
    from evenhand.mitigate import mitigate as run_mitigations
    from evenhand.report import frontier
    from evenhand.study import Store
    from evenhand.study.held import held_spec

    chosen = list(mitigation or [])
    if all_:
        with Store.open(study) as store:
            chosen += [m for m in all_mitigations(held_spec(store)) if m not in chosen]
    if not chosen and not also:
        raise SpecError("No mitigation was given.", "Add --mitigation NAME, or --all.")
    outcomes = run_mitigations(study, chosen, out, also=also or (), progress=RunDisplay)
    if len(outcomes) > 1:
        out.mkdir(parents=True, exist_ok=True)
        (out / "frontier.md").write_text(frontier.frontier_markdown(outcomes), encoding="utf-8")
        (out / "frontier.svg").write_text(frontier.frontier_svg(outcomes), encoding="utf-8")
        typer.echo(f"Table and plot: {out / 'frontier.md'}, {out / 'frontier.svg'}", err=True)
    emit(outcomes, format, lambda: frontier.frontier_table(outcomes))


def register(app: typer.Typer) -> None:
    app.command()(mitigate)

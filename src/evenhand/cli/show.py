"""``evenhand analyze``, ``report``, ``compare``, ``plan`` and ``list``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli.output import As, AsTable, Format, StudyDir, TableFormat, emit

if TYPE_CHECKING:
    from rich.table import Table


class Kind(StrEnum):
    """What can be listed."""

    suites = "suites"
    models = "models"
    identities = "identities"
    personalizers = "personalizers"
    judges = "judges"
    mitigations = "mitigations"


def analyze(
    study: StudyDir,
    format: AsTable = TableFormat.table,
    draws: Annotated[int, typer.Option(min=200, help="Bootstrap draws.")] = 2000,
    permutations: Annotated[int, typer.Option(min=200, help="Permutations of the identity labels.")] = 2000,
    policy: Annotated[
        str | None, typer.Option(help="Leave out items with legitimate differences: a policy file, or 'shipped'.")
    ] = None,
) -> None:
    """Say what a study means: personalization bias with intervals, scores per identity, what is missing."""
    from evenhand import api
    from evenhand.analysis import Settings
    from evenhand.report import terminal

    analysis = api.analyze(study, Settings(draws, permutations), policy)
    emit(
        analysis,
        format,
        lambda: terminal.analysis_tables(analysis),
        lambda: terminal.identities_csv(analysis),
    )


def report(
    study: StudyDir,
    out: Annotated[Path | None, typer.Option(help="Where to write; report.html in the study otherwise.")] = None,
    before: Annotated[Path | None, typer.Option(help="A study to set it against, paired.")] = None,
) -> None:
    """Write the study's report: one HTML file that needs nothing else."""
    from evenhand import api

    typer.echo(api.write_report(study, out, before=before))


def compare(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY STUDY...", help="The first one is the reference.")],
    format: As = Format.table,
) -> None:
    """Compare studies (models, mitigations, training stages) with the first, paired by item and identity."""
    from rich.console import Group

    from evenhand import api
    from evenhand.errors import SpecError
    from evenhand.report.terminal import comparison_table

    if len(studies) < 2:
        raise SpecError("A comparison needs at least two studies.", "Name the reference first, then the others.")
    found = {str(other): api.compare_studies(studies[0], other) for other in studies[1:]}
    emit(
        found,
        format,
        lambda: Group(*(comparison_table(f"{studies[0]} -> {name}", compared) for name, compared in found.items())),
    )


def plan(
    study: StudyDir,
    pb: Annotated[float, typer.Option(min=0.01, help="Bias to see, in points.")] = 1.0,
    power: Annotated[float, typer.Option(min=0.5, max=0.99, help="Probability of seeing it.")] = 0.8,
    format: As = Format.table,
) -> None:
    """From a pilot study, say how many items a suite needs for a bias of that size to show."""
    from rich.table import Table

    from evenhand import api

    needs = api.plan_items(study, pb, power)
    table = Table("suite", "items needed", "items in the pilot", "spread of a residual")
    for needed in needs:
        table.add_row(needed.suite, f"{needed.items:,}", str(needed.pilot), f"{needed.spread:.1f} points")
    emit(needs, format, lambda: table)


def list_members(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    licenses: Annotated[
        bool, typer.Option("--licenses", help="With 'suites': licences of all data and models, and what they ask for.")
    ] = False,
    format: AsTable = TableFormat.table,
) -> None:
    """List what is available, with third-party members."""
    from evenhand.cli.licences import COLUMNS, licence_rows
    from evenhand.errors import SpecError

    if licenses and kind is not Kind.suites:
        raise SpecError(f"'{kind}' has no --licenses.", "Write evenhand list suites --licenses.")
    rows, columns = (licence_rows(), COLUMNS) if licenses else _members(kind)

    def as_csv() -> str:
        from evenhand.report.terminal import csv_text

        return csv_text([columns, *rows])

    emit([dict(zip(columns, row, strict=True)) for row in rows], format, lambda: members_table(rows, columns), as_csv)


def members_table(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> Table:
    """A list for the terminal; the first column is what one types, and never cut or broken."""
    from rich.table import Table

    table = Table()
    for place, column in enumerate(columns):
        table.add_column(column, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _members(kind: Kind) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    if kind is Kind.suites:
        from evenhand.suites import SUITES

        suites = [SUITES.get(n) for n in SUITES.names()]
        described: list[tuple[str, ...]] = [
            (f"{s.name}:{s.argument}", "either", s.summary, s.judge, s.licence, s.source)
            if s.argument
            else (s.name, s.axis, s.summary, s.judge, s.licence, s.source)
            for s in suites
        ]
        return described, ("suite", "axis", "what", "judge", "licence", "source")
    if kind is Kind.identities:
        from evenhand.identities import BASELINES, CATALOGUES

        rows: list[tuple[str, ...]] = [
            (i.name, i.category, name) for name in CATALOGUES.names() for i in CATALOGUES.get(name)().identities
        ]
        rows += [(b.name, b.category, "always") for b in BASELINES.values()]
        return rows, ("identity", "category", "catalogue")
    if kind is Kind.personalizers:
        from evenhand.personalizers import PERSONALIZERS

        members = [PERSONALIZERS.get(n) for n in PERSONALIZERS.names()]
        found: list[tuple[str, ...]] = [(p.name, "stated" if p.states else "implied", p.summary) for p in members]
        return [*found, ("'... {identity} ...'", "stated", "your own system message")], (
            "personalizer",
            "kind",
            "what",
        )
    if kind is Kind.judges:
        from evenhand.judges import JUDGES

        judges = [(n, JUDGES.get(n)) for n in JUDGES.names()]
        return [(f"{n}:{j.argument}" if j.argument else n, j.summary) for n, j in judges], ("judge", "what")
    if kind is Kind.mitigations:
        from evenhand.mitigations import MITIGATIONS
        from evenhand.mitigations.defense import shipped_defenses

        members_ = [(n, MITIGATIONS.get(n)) for n in MITIGATIONS.names() if n != "none"]
        shown: list[tuple[str, ...]] = [(f"{n}:{m.argument}" if m.argument else n, m.summary) for n, m in members_]
        shown += [(f"defense:{n}", d.text) for n, d in shipped_defenses().items()]
        return shown, ("mitigation", "what")
    from evenhand.models import MODELS

    return [(n, (MODELS.get(n).__doc__ or "").strip()) for n in MODELS.names()], ("model", "what")


def register(app: typer.Typer) -> None:
    app.command()(analyze)
    app.command()(report)
    app.command()(compare)
    app.command()(plan)
    app.command("list")(list_members)

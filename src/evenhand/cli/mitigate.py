"""``evenhand mitigate``: run a study again with a defense."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mitigate(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study without the mitigation.")],
    defense: Annotated[str, typer.Option(help="A defense's name, or its text.")],
    out: Annotated[Path, typer.Option(help="Directory of the mitigated study.")],
) -> None:
    """Run the trials of a study with a prompt defense, and show both analyses."""
    from evenhand import api
    from evenhand.cli.run import run_and_tell
    from evenhand.cli.show import _print
    from evenhand.mitigate import defended
    from evenhand.report.terminal import analysis_tables
    from evenhand.study import Store, StudySpec

    with Store.open(study) as store:
        spec = StudySpec.parse(store.runs()[-1]["spec"], str(study))
    run_and_tell(defended(spec, defense), out)
    for title, directory in (("Before", study), ("After", out)):
        typer.echo(f"\n{title}: {directory}")
        _print(analysis_tables(api.analyze(directory)))


def register(app: typer.Typer) -> None:
    app.command()(mitigate)

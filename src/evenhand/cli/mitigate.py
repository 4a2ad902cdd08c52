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
    """Run the trials of a study with a prompt defense, and show what changed, paired by item and identity."""
    from evenhand import api
    from evenhand.cli.run import run_and_tell
    from evenhand.cli.show import show
    from evenhand.mitigate import defended
    from evenhand.report.terminal import comparison_table
    from evenhand.study import Store, StudySpec

    with Store.open(study) as store:
        spec = StudySpec.parse(store.runs()[-1]["spec"], str(study))
    run_and_tell(defended(spec, defense), out)
    show(comparison_table(f"{study} -> {out}", api.compare_studies(study, out)))


def register(app: typer.Typer) -> None:
    app.command()(mitigate)

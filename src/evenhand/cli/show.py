"""``evenhand analyze``, ``report``, ``compare`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import About, AboutItems, As, AsRows, Format, RowFormat, StudyDir, emit, say
from evenhand.cli.patience import patience
from evenhand.cli.run import pairs


def analyze(
    study: StudyDir,
    format: AsRows = RowFormat.table,
    draws: Annotated[int, typer.Option(min=200, help="Bootstrap draws.")] = 2000,
    permutations: Annotated[int, typer.Option(min=200, help="Permutations of the identity labels.")] = 2000,
    policy: Annotated[
        str | None, typer.Option(help="Leave out items with legitimate differences: a policy file, or 'shipped'.")
    ] = None,
    estimand: AboutItems = About.like_these,
    open: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Also how long, how hard to read and how unlike the baseline's answers are, and if they name users.",
        ),
    ] = False,
    classify: Annotated[
        list[str] | None,
        typer.Option(
            help="Also a tone of the answers by a classifier of yours, as sentiment=hf:FOLDER or toxicity=hf:FOLDER "
            "(any NAME=hf:FOLDER?high=LABEL&low=LABEL). Implies --open."
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Also how many answers of each label an identity got, and rates with intervals."),
    ] = False,
) -> None:
    """Say what a study means: personalization bias with intervals, scores per identity, what is missing."""
    from rich.console import Group

    from evenhand import api
    from evenhand.analysis import Settings
    from evenhand.report import telling, terminal, wording

    tones = pairs(classify, "--classify", "NAME=hf:FOLDER")
    settings = Settings(draws, permutations, estimand=estimand.value)
    with patience("analysing"):
        analysis = api.analyze(
            study, settings, policy, wording=open, classifiers=tones, tell=lambda text: say(text, err=True)
        )
    told = [
        *wording.label_tables(analysis),
        *telling.rate_tables(analysis),
        *telling.pooled_tables(analysis),
        *telling.leak_table(analysis, all_identities=True),
    ]
    more = [*(told if labels else ()), *(wording.open_tables(analysis) if open or tones else ())]
    emit(
        analysis,
        format,
        lambda: Group(terminal.analysis_tables(analysis), *more),
        lambda: terminal.identities_csv(analysis),
    )


def report(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Several go side by side into one file.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; report.html in the study otherwise.")] = None,
    before: Annotated[Path | None, typer.Option(help="A study to set it against, paired.")] = None,
    estimand: AboutItems = About.like_these,
    texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Without answers and memories it can be passed on.")
    ] = True,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print it, with a Chromium that is there.")] = False,
) -> None:
    """Write the study's report: one HTML file that needs nothing else."""
    from evenhand import api
    from evenhand.errors import SpecError
    from evenhand.report.pdf import write_pdf

    settings = {"estimand": estimand.value}
    if len(studies) == 1:
        with patience("analysing"):
            page = api.write_report(studies[0], out, settings, before=before, texts=texts)
    elif before is not None or out is None:
        problem = (
            "Several studies have no common 'before'." if before else "Several studies need a place for their report."
        )
        raise SpecError(problem, "Leave --before out." if before else "Add --out FILE.html.")
    else:
        with patience("analysing"):
            page = api.write_side_by_side(studies, out, settings)
    say(page)
    if pdf:
        say(write_pdf(page, page.with_suffix(".pdf")))


def compare(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY STUDY...", help="The first one is the reference.")],
    format: As = Format.table,
) -> None:
    """Compare studies (models, mitigations, training stages) with the first, paired by item and identity."""
    from rich.console import Group

    from evenhand import api
    from evenhand.errors import SpecError
    from evenhand.report.terminal import comparison_table
    from evenhand.report.wins import wins_table

    if len(studies) < 2:
        raise SpecError("A comparison needs at least two studies.", "Name the reference first, then the others.")
    with patience("comparing"):
        found = {str(other): api.compare_studies(studies[0], other) for other in studies[1:]}
    emit(
        found,
        format,
        lambda: Group(
            *(
                table
                for name, compared in found.items()
                for table in (comparison_table(f"{studies[0]} -> {name}", compared), *wins_table(compared.wins))
            )
        ),
    )


def plan(
    study: StudyDir,
    pb: Annotated[float, typer.Option(min=0.01, max=100, help="Bias to see, in points.")] = 1.0,
    power: Annotated[float, typer.Option(min=0.5, max=0.99, help="Probability of seeing it, or of passing.")] = 0.8,
    to_pass: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Limit on PB that a model without bias is to pass, in points."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Share of the bias that a mitigation is to be shown to remove."),
    ] = None,
    format: As = Format.table,
) -> None:
    """From a pilot study, say how many items a suite needs for a bias to show, for a limit to be passed, or for a
    mitigation to be shown to remove a share of the bias."""
    from dataclasses import asdict

    from rich.table import Table

    from evenhand import api
    from evenhand.report.reach import reach_sentences

    if share is not None:
        found = api.plan_reduction(study, target=share)
        emit(found, format, lambda: "\n".join(reach_sentences(found)))
        return
    needs = api.plan_items(study, pb, power, to_pass=to_pass)
    table = Table("suite", "items needed", "items in the pilot", "spread of a residual", "at most", "note")
    for needed in needs:
        table.add_row(
            needed.suite,
            f"{needed.items:,}",
            str(needed.pilot),
            f"{needed.spread:.1f} points",
            f"{needed.spread_bound:.1f}",
            needed.note,
        )
    emit([{**asdict(n), "note": n.note} for n in needs], format, lambda: table)


def register(app: typer.Typer) -> None:
    app.command()(analyze)
    app.command()(report)
    app.command()(compare)
    app.command()(plan)

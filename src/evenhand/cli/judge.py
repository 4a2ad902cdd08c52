"""``evenhand judge``: judge again, compare judges, and find out what a judge is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.output import As, Format, StudyDir, emit, say

if TYPE_CHECKING:
    from evenhand.models import ModelOptions

app: typer.Typer = typer.Typer(help="Judges: measure them, audit them, and judge a study again.", no_args_is_help=True)


Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", help="SUITE=JUDGE; repeat for more.", autocompletion=completion.suite_is_judge),
]
OneJudge = Annotated[
    str,
    typer.Option("--judge", help="A judge, as 'evenhand list judges' shows them.", autocompletion=completion.judges),
]
BaseUrl = Annotated[str | None, typer.Option(help="Root of the OpenAI-compatible API of the model behind the judge.")]
KeyEnv = Annotated[str | None, typer.Option(help="Environment variable with its key.")]


@app.command("again")
def again(
    study: StudyDir,
    judge: Judges = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    format: As = Format.table,
) -> None:
    """Judge the answers of a study again, with other judges or the current versions. Never calls the model."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.cli.run import pairs
    from evenhand.runner import rejudge
    from evenhand.runner.rejudge import unreadable_note

    done = rejudge(study, pairs(judge, "--judge"), model_options(base_url, api_key_env), progress=RunDisplay())
    if done.unreadable:
        kept = "; the study keeps its judges" if done.in_vain else ""
        say(f"{unreadable_note(done)} ({done.last_unreadable}): these are missing{kept}.", err=True)
    emit(done, format, lambda: f"{done.new} new judgements, {done.new - done.unreadable} of them verdicts.")
    if done.failed:
        say(f"{done.failed} responses are not judged yet ({done.last_error}); run again.", err=True)
    if done.failed or done.in_vain:
        raise typer.Exit(1)


@app.command("compare")
def compare(
    study: StudyDir,
    judge: Judges = None,
    format: As = Format.table,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
) -> None:
    """Judge a study with other judges too, and compare the bias that both report. The study keeps its judges."""
    from evenhand import api
    from evenhand.cli.progress import RunDisplay
    from evenhand.cli.run import pairs
    from evenhand.errors import SpecError
    from evenhand.report import judging

    if not judge:
        raise SpecError("No judge to compare with was given.", "Add --judge SUITE=JUDGE.")
    found = api.judge_again(study, pairs(judge, "--judge"), model_options(base_url, api_key_env), progress=RunDisplay())
    emit(found, format, lambda: judging.comparison_tables(found))


@app.command("validate")
def validate(
    judge: OneJudge,
    labels: Annotated[Path, typer.Option(help="CSV or JSONL of labelled responses (XSTest's format, for example).")],
    format: As = Format.table,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
) -> None:
    """Measure a judge against labels made by people: accuracy, kappa, recalls, confusion, with 95 % intervals."""
    from evenhand import api
    from evenhand.report import judging

    found = api.validate_judge(judge, labels, model_options(base_url, api_key_env))
    emit(found, format, lambda: judging.validation_tables(found))


@app.command("audit")
def audit(
    judge: OneJudge,
    labels: Annotated[Path | None, typer.Option(help="Labelled responses to try it on, not our cases.")] = None,
    bias: Annotated[
        list[str] | None, typer.Option(help="Only these biases; repeat for more.", autocompletion=completion.biases)
    ] = None,
    other: Annotated[str | None, typer.Option(help="A second model, for self-enhancement.")] = None,
    format: As = Format.table,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
) -> None:
    """Try twelve biases of judges (CALM, arXiv 2410.02736) and prompt injection: does the verdict stay?"""
    from evenhand import api
    from evenhand.report import judging

    found = api.audit_judge(
        judge,
        labels,
        biases=bias or (),
        other=other,
        options=model_options(base_url, api_key_env),
        tell=lambda text: say(text, err=True),
    )
    emit(found, format, lambda: judging.audit_tables(found))


@app.command("sample")
def sample(
    study: StudyDir,
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    count: Annotated[int, typer.Option(min=1, help="Responses per suite.")] = 200,
    suite: Annotated[str | None, typer.Option(help="One suite only.", autocompletion=completion.suites)] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
) -> None:
    """Draw responses for people to label, blind to identity and verdict."""
    from evenhand.judges.labels import WORDS
    from evenhand.study import Store
    from evenhand.study.labelling import draw_sample

    with Store.open(study) as store:
        rows = draw_sample(store, out, count, suite=suite, seed=seed)
    say(f"{rows} responses in {out}. Fill in the column label ({WORDS}),")
    say(f"then: evenhand judge label {study} {out}")


@app.command("label")
def label(
    study: StudyDir,
    labels: Annotated[Path | None, typer.Argument(help="A sample labelled in a file; without one, a browser.")] = None,
    annotator: Annotated[str, typer.Option(help="Who labels.")] = "",
    count: Annotated[int, typer.Option(min=1, help="Responses per suite, in the browser.")] = 200,
    suite: Annotated[str | None, typer.Option(help="One suite only.", autocompletion=completion.suites)] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    resolve: Annotated[bool, typer.Option("--resolve", help="Settle what annotators label differently.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the local page; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Label responses in a browser, or read a labelled sample; analyses are then corrected for the judge's error."""
    from evenhand.study import Store
    from evenhand.study.labelling import read_sample

    Store.open(study).close()
    with Store.create(study) as store:
        if labels is not None:
            say(f"{read_sample(store, labels, annotator)} labels read. Next: evenhand analyze {study}")
            return
        from evenhand.labelling.server import serve
        from evenhand.labelling.session import Session

        session = Session(store, annotator, count=count, suite=suite, seed=seed, resolve=resolve)
        serve(session, port, tell=say, browser=browser)
        say(f"{len(session.given())} of {len(session.queue)} labelled. Next: evenhand analyze {study}")


def model_options(base_url: str | None, api_key_env: str | None) -> ModelOptions:
    """How the model behind a judge is reached, from what was typed."""
    from evenhand.models import ModelOptions

    given = {"base_url": base_url, "api_key_env": api_key_env}
    return ModelOptions(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]

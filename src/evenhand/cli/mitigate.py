"""``evenhand mitigate``: run a study again with mitigations, and show what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.output import As, Format, emit, say, show
from evenhand.errors import SpecError

if TYPE_CHECKING:
    from evenhand.analysis.choosing import Candidate
    from evenhand.analysis.frontier import Outcome
    from evenhand.analysis.reach import Reach
    from evenhand.confirming import ChoiceSpec
    from evenhand.runner import Estimate
    from evenhand.study.spec import BudgetSpec

# The best reduction that is published; what it would take to show more is told.
_TARGET = 0.66


def mitigate(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study without a mitigation.")],
    out: Annotated[Path, typer.Option(help="Directory of the mitigated study; with several, of all of them.")],
    mitigation: Annotated[
        list[str] | None,
        typer.Option(
            help="As 'evenhand list mitigations' shows them, or a defense's name, file or text.",
            autocompletion=completion.mitigations,
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every training-free mitigation.")] = False,
    also: Annotated[
        list[Path] | None, typer.Option(help="A mitigated study that is there already (a tuned adapter's); repeat.")
    ] = None,
    price_in: Annotated[float | None, typer.Option(help="Of a million prompt tokens; the study's otherwise.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Of a million completion tokens.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Of all mitigations together; stops in time.")] = None,
    max_total_tokens: Annotated[int | None, typer.Option(help="Of all mitigations together; stops in time.")] = None,
    confirm: Annotated[int | None, typer.Option(help="How many of several are confirmed on fresh items (2).")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Points of safety, utility, fit or over-refusal that may be lost (2).")
    ] = None,
    choose_items: Annotated[
        int | None, typer.Option(help="Items of each suite to choose on; the study's limit otherwise.")
    ] = None,
    test_items: Annotated[
        int | None, typer.Option(help="Items of each suite to confirm on; the study's limit otherwise.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take, and could show.")] = False,
    format: As = Format.table,
) -> None:
    """Run a study's trials with mitigations; of several, choose on some items and confirm the best on fresh ones."""
    from evenhand.confirming import ChoiceSpec
    from evenhand.mitigate import all_mitigations
    from evenhand.specs import validated
    from evenhand.study import Store
    from evenhand.study.held import held_spec
    from evenhand.study.spec import BudgetSpec

    chosen = list(mitigation or [])
    with Store.open(study) as store:
        spec = held_spec(store)
    if all_:
        chosen += [m for m in all_mitigations(spec) if m not in chosen]
    if not chosen and not also:
        raise SpecError("No mitigation was given.", "Add --mitigation NAME, or --all.")
    limits = {
        "price_in": price_in, "price_out": price_out, "max_cost": max_cost, "max_total_tokens": max_total_tokens,
    }  # fmt: skip
    if price_in is None and price_out is None:
        limits |= {"price_in": spec.budget.price_in, "price_out": spec.budget.price_out}
    budget = validated(BudgetSpec, {k: v for k, v in limits.items() if v is not None}, "the command line")
    given = {"confirm": confirm, "margin": margin, "choose_items": choose_items, "test_items": test_items}
    choice = validated(ChoiceSpec, {k: v for k, v in given.items() if v is not None}, "the command line")
    if len(chosen) > 1:
        _choose(study, chosen, out, choice, also or [], budget, dry_run, format)
    else:
        _compare(study, chosen, out, choice, also or [], budget, dry_run, format)


def _choose(
    study: Path, chosen: list[str], out: Path, choice: ChoiceSpec, also: list[Path], budget: BudgetSpec,
    dry_run: bool, format: Format,
) -> None:  # fmt: skip
    """Choose among several, and confirm the best."""
    from evenhand.analysis.frontier import as_json
    from evenhand.cli.progress import RunDisplay
    from evenhand.confirming import choose_and_confirm, expected, fresh_items
    from evenhand.report import frontier
    from evenhand.report.terminal import estimate_table

    asked = expected(study, chosen, out, choice, budget)
    could = _could_show(study, fresh_items(study, chosen, out, choice), choice, counted=dry_run)
    if dry_run:
        emit({"asked": asked, "could_show": could}, format, lambda: estimate_table(asked, "part and mitigation"))
        return
    say(_announced(f"{len(chosen)} mitigations, at most {choice.confirm} of them to confirm: at most", asked), err=True)
    found = choose_and_confirm(study, chosen, out, choice, also=also, progress=RunDisplay(), budget=budget)
    if found.candidates and not found.left:
        _write(out, found.outcomes, found.candidates, found.reason)
    if format == Format.json:
        emit({**vars(found), "outcomes": as_json(found.outcomes)}, format, str)
    else:
        if found.candidates:
            show(frontier.choosing_table(found.candidates))
        _tell(found.outcomes)
        if found.reason:
            say(f"Nothing is confirmed: {found.reason}.")
    _end(found.cost, found.left, found.interrupted)


def _could_show(study: Path, items: dict[str, int] | None, choice: ChoiceSpec, *, counted: bool) -> Reach | None:
    """Say what the items could show, before a call is made; None where the study tells too little of that."""
    from evenhand.planning import plan_reduction
    from evenhand.report.reach import reach_sentences

    try:
        found = plan_reduction(study, items, target=_TARGET if counted else None, margin=choice.margin)
    except SpecError as error:
        say(f"What can be shown is not known: {error}", err=True)
        return None
    for sentence in reach_sentences(found):
        say(sentence, err=True)
    return found


def _compare(
    study: Path, chosen: list[str], out: Path, choice: ChoiceSpec, also: list[Path], budget: BudgetSpec,
    dry_run: bool, format: Format,
) -> None:  # fmt: skip
    """One mitigation, and studies that are there, on the study's own items."""
    from evenhand.analysis.frontier import as_json
    from evenhand.cli.progress import RunDisplay
    from evenhand.mitigate import estimate_all, members
    from evenhand.mitigate import mitigate as run_mitigations
    from evenhand.report.terminal import estimate_table

    if chosen:
        asked = estimate_all(study, members(study, chosen, out, budget))
        could = _could_show(study, None, choice, counted=dry_run)
        if dry_run:
            emit({"asked": asked, "could_show": could}, format, lambda: estimate_table(asked, "mitigation"))
            return
        say(_announced("One mitigation:", asked), err=True)
    found = run_mitigations(study, chosen, out, also=also, progress=RunDisplay(), budget=budget, margin=choice.margin)
    if len(found.outcomes) > 1:
        _write(out, found.outcomes, {}, "")
    if format == Format.json:
        emit(as_json(found.outcomes), format, str)
    else:
        _tell(found.outcomes)
    if found.outcomes:
        say(_standing(found.outcomes), err=True)
    _end(found.cost, found.left, found.interrupted)


def _standing(outcomes: Sequence[Outcome]) -> str:
    """What a comparison is worth."""
    if all(o.fresh for o in outcomes):
        return "A confirmation only where nothing was chosen on these items of the part 'test'."
    return (
        "A comparison, no confirmation: it was made on items that a choice may have seen. Name several mitigations, or "
        "run the study with --split test and choose nothing on it."
    )


def _tell(outcomes: Sequence[Outcome]) -> None:
    from evenhand.report import frontier

    if outcomes:
        show(frontier.frontier_table(outcomes))
        for sentence in frontier.sentences(outcomes):
            say(sentence)


def _write(out: Path, outcomes: Sequence[Outcome], candidates: Mapping[str, Candidate], reason: str) -> None:
    from evenhand.report import frontier
    from evenhand.report.frontier_page import frontier_page
    from evenhand.whole import write_whole

    files = {
        "frontier.md": frontier.frontier_markdown(outcomes, candidates),
        "frontier.svg": frontier.frontier_svg(outcomes, candidates),
        "frontier.html": frontier_page(outcomes, candidates, reason),
    }
    for name, content in files.items():
        write_whole(out / name, content)
    say(f"Table, plot and page: {', '.join(str(out / name) for name in files)}", err=True)


def _end(cost: float | None, left: Sequence[str], interrupted: bool) -> None:
    if cost is not None:
        say(f"Cost of the mitigated studies so far: {cost:,.4f}.", err=True)
    if left:
        why = "Stopped" if interrupted else "The budget is spent"
        say(f"{why} before the end of: {', '.join(left)}. Run the same command to go on.", err=True)
        raise typer.Exit(130 if interrupted else 1)


def _announced(what: str, expected: Sequence[Estimate]) -> str:
    """What is about to be asked, in one line."""
    trials, prompt, completion = (
        sum(getattr(e, name) for e in expected) for name in ("trials", "prompt_tokens", "completion_tokens")
    )
    about = "about" if all(e.measured for e in expected) else "at most"
    costs = [e.cost for e in expected if e.cost is not None]
    cost = f", {about} {sum(costs):,.2f} in money" if costs else ""
    return (
        f"{what} {trials:,} trials left to ask: about {prompt:,} prompt tokens, {about} {completion:,} completion "
        f"tokens{cost}."
    )


def register(app: typer.Typer) -> None:
    app.command()(mitigate)

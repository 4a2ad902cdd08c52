"""``evenhand mitigate``: run a study again with mitigations, and show what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import completion
from evenhand.cli.output import As, Format, emit, say
from evenhand.errors import SpecError

if TYPE_CHECKING:
    from evenhand.runner import Estimate


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    format: As = Format.table,
) -> None:
    """Run a study's trials with mitigations; show bias, safety, utility and cost before and after, paired."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.mitigate import all_mitigations, estimate_all, members
    from evenhand.mitigate import mitigate as run_mitigations
    from evenhand.report import frontier
    from evenhand.report.terminal import estimate_table
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
    if chosen:
        expected = estimate_all(study, members(study, chosen, out, budget))
        if dry_run:
            emit(expected, format, lambda: estimate_table(expected, "mitigation"))
            return
        say(announcement(expected), err=True)
    found = run_mitigations(study, chosen, out, also=also or (), progress=RunDisplay(), budget=budget)
    if len(found.outcomes) > 1:
        out.mkdir(parents=True, exist_ok=True)
        (out / "frontier.md").write_text(frontier.frontier_markdown(found.outcomes), encoding="utf-8")
        (out / "frontier.svg").write_text(frontier.frontier_svg(found.outcomes), encoding="utf-8")
        say(f"Table and plot: {out / 'frontier.md'}, {out / 'frontier.svg'}", err=True)
    emit(found.outcomes, format, lambda: frontier.frontier_table(found.outcomes))
    if found.cost is not None:
        say(f"Cost of the mitigated studies so far: {found.cost:,.4f}.", err=True)
    if found.left:
        why = "Stopped" if found.interrupted else "The budget is spent"
        say(f"{why} before the end of: {', '.join(found.left)}. Run the same command to go on.", err=True)
        raise typer.Exit(130 if found.interrupted else 1)


def announcement(expected: Sequence[Estimate]) -> str:
    """What a set of mitigations is about to take, in one line."""
    trials, prompt, completion = (
        sum(getattr(e, name) for e in expected) for name in ("trials", "prompt_tokens", "completion_tokens")
    )
    about = "about" if all(e.measured for e in expected) else "at most"
    costs = [e.cost for e in expected if e.cost is not None]
    cost = f", {about} {sum(costs):,.2f} in money" if costs else ""
    each = max(e.trials for e in expected)
    return (
        f"{len(expected)} mitigations, {each:,} trials each at most, {trials:,} left to ask: about {prompt:,} prompt "
        f"tokens, {about} {completion:,} completion tokens{cost}."
    )


def register(app: typer.Typer) -> None:
    app.command()(mitigate)

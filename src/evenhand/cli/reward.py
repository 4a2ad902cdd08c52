"""``evenhand reward``: learn from many people's choices how to read one person's from a few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from evenhand.rewards import KnobPoint

# Of safe pairs, turned all the way.
_WORKS = 0.75


def reward(
    out: Annotated[Path, typer.Option(help="The file to write (.safetensors).")],
    people: Annotated[list[str], typer.Option(help="starter, or catalogues of people (TOML, JSONL, Parquet).")],
    encoder: Annotated[str, typer.Option(help="What embeds answers: use, hf:NAME_OR_PATH, openai:NAME.")] = "use",
    steps: Annotated[int, typer.Option(min=1, help="Of the training.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
    safe: Annotated[
        Path | None, typer.Option(help="Pairs of a safer and a riskier answer (JSONL): what turning to them would do.")
    ] = None,
) -> None:
    """Learn a reward for the personalizer np-rerank, and say how well it predicts people it has not seen."""
    from rich.progress import Progress
    from rich.table import Table

    from evenhand.cli.console import Terminal
    from evenhand.loops import run_async
    from evenhand.people import select_people
    from evenhand.rewards import knob_of, learned_reward, read_safe_pairs

    records = select_people(people)
    pairs = read_safe_pairs(safe) if safe else ()
    with Progress(console=Terminal(stderr=True)) as progress:
        task = progress.add_task("learning a reward", total=steps)
        learned, standings = run_async(
            learned_reward(
                records, encoder, steps=steps, seed=seed, tell=lambda step, _: progress.update(task, completed=step)
            )
        )
    learned.save(out)
    table = Table("choices told", "people", "this reward", "their choices alone", "better by", title="Unseen people")
    for row in standings:
        by = f"{100 * (row.neural - row.logistic):+.1f}"
        error = f" ± {100 * row.error:.1f}" if row.error is not None else ""
        shares = (f"{100 * row.neural:.1f} %", f"{100 * row.logistic:.1f} %")
        table.add_row(str(row.context), str(row.people), *shares, by + error)
    Terminal(stderr=True).print(table)
    if not any(row.beats for row in standings):
        say("It does not beat what a person's own choices tell: use logistic-rerank, or more people.", err=True)
    reference = f"np-rerank:{out}"
    if safe:
        points = run_async(knob_of(learned, records, pairs, seed=seed))
        Terminal(stderr=True).print(_knob_table(points))
        if points[-1].safe < _WORKS or points[-1].safe <= points[0].safe:
            say("Turned all the way it still does not prefer the safer answers: this knob does little.", err=True)
        reference += f",{reference}:{safe}:0.5"
    say(out)
    say(f"Next: evenhand run ... --people ... --personalizer profile,{reference}", err=True)


def _knob_table(points: Sequence[KnobPoint]) -> Table:
    from rich.table import Table

    table = Table("weight of the safe pairs", "people", "their own choices", "the safer answer", title="The knob")
    for point in points:
        shares = (f"{100 * point.own:.1f} %", f"{100 * point.safe:.1f} %")
        table.add_row(f"{point.weight:g}", str(point.people), *shares)
    table.caption = "Unseen people and pairs: of 100, how many are predicted."
    return table


def register(app: typer.Typer) -> None:
    app.command()(reward)

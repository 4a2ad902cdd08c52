"""``evenhand reward``: learn from many people's choices how to read one person's from a few."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli.output import say


def reward(
    out: Annotated[Path, typer.Option(help="The file to write (.safetensors).")],
    people: Annotated[list[str], typer.Option(help="starter, or catalogues of people (TOML, JSONL, Parquet).")],
    encoder: Annotated[str, typer.Option(help="What embeds answers: use, hf:NAME_OR_PATH, openai:NAME.")] = "use",
    steps: Annotated[int, typer.Option(min=1, help="Of the training.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
) -> None:
    """Learn a reward for the personalizer np-rerank, and say how well it predicts people it has not seen."""
    from rich.progress import Progress
    from rich.table import Table

    from evenhand.cli.console import Terminal
    from evenhand.loops import run_async
    from evenhand.people import select_people
    from evenhand.rewards import learned_reward

    records = select_people(people)
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
    say(out)
    say(f"Next: evenhand run ... --people ... --personalizer profile,np-rerank:{out}", err=True)


def register(app: typer.Typer) -> None:
    app.command()(reward)

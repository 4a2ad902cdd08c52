"""``evenhand policy``: condition a local model on a few of a user's choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import completion
from evenhand.cli.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from evenhand.tuning.policy_standing import PolicyStanding


def policy(
    out: Annotated[Path, typer.Option(help="The policy's folder.")],
    people: Annotated[
        list[str],
        typer.Option(help="starter, or catalogues of people (TOML, JSONL, Parquet); each is a kind of users."),
    ],
    model: Annotated[
        str, typer.Option(help="smollm2 or hf:NAME_OR_PATH.", autocompletion=completion.models)
    ] = "smollm2",
    encoder: Annotated[str | None, typer.Option(help="What embeds choices: use, hf:NAME_OR_PATH, openai:NAME.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Users in a step.")] = None,
    asked: Annotated[int | None, typer.Option(help="Choices that a user of a step is asked for.")] = None,
    beta: Annotated[float | None, typer.Option(help="Pull towards the model as it is.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimiser.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of prompt and answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of initialisation and episodes.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the model's weights: auto, bfloat16, float32.")] = None,
) -> None:
    """Experimental: train a policy for the personalizer np-policy, and say whether it steers. Run it again to go on."""
    from evenhand.cli.console import Terminal
    from evenhand.people import select_people
    from evenhand.specs import validated
    from evenhand.tuning.policy import tune_policy
    from evenhand.tuning.spec import PolicySpec

    given: dict[str, Any] = {
        "model": model, "encoder": encoder, "steps": steps, "episodes": episodes, "asked": asked, "beta": beta,
        "learning_rate": learning_rate, "max_length": max_length, "seed": seed, "dtype": dtype,
    }  # fmt: skip
    spec = validated(PolicySpec, {k: v for k, v in given.items() if v is not None}, "the command line")
    select_people(people)  # two different people of one name are told before anything is learned
    kinds = {reference: select_people([reference]) for reference in people}
    made = tune_policy(spec, kinds, out, tell=lambda text: say(text, err=True))
    Terminal(stderr=True).print(_table(made.standings))
    say(f"Loss {made.curve[0]:.3f} -> {made.loss:.3f}{'' if made.new else ' (trained before)'}.", err=True)
    if not made.learned:
        say(
            "It did not learn even the choices that it was shown: try another --learning-rate, or more --steps.",
            err=True,
        )
    if not any(row.steers for row in made.standings):
        say("It does not steer: users who choose otherwise are not told apart beyond noise.", err=True)
    say(made.folder)
    next_run = f"evenhand run --model {model} ... --people ... --personalizer profile,np-policy:{made.folder}"
    say(f"Next: {next_run}", err=True)


def _table(standings: Sequence[PolicyStanding]) -> Table:
    from rich.table import Table

    from evenhand.report.words import points, signed

    kinds = list(dict.fromkeys(kind for row in standings for kind in row.kinds))
    named = kinds if len(kinds) > 1 else []
    title = "Unseen people: choices told by the implicit reward"
    columns = ("choices told", "people", "accuracy", *map(_short, named), "steering", "± error", "questions")
    table = Table(*columns, title=title)
    for row in standings:
        shares = [points(row.kinds.get(kind)) for kind in named]
        steering = signed(row.steering), points(row.error), str(row.questions)
        table.add_row(str(row.context), str(row.people), points(row.accuracy), *shares, *steering)
    table.caption = "In percent. Steering: where people disagree, both sides' accuracies minus 100; 0 ignores the user."
    return table


def _short(kind: str) -> str:
    return Path(kind).stem


def register(app: typer.Typer) -> None:
    app.command()(policy)

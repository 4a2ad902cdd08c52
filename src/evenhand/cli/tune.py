"""``evenhand tune``: train an adapter that makes a model treat identities alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evenhand.cli import completion
from evenhand.cli.output import say


def tune(
    out: Annotated[Path, typer.Option(help="Where adapters live; each gets a directory named by its settings' hash.")],
    model: Annotated[
        str, typer.Option(help="smollm2 or hf:NAME_OR_PATH.", autocompletion=completion.models)
    ] = "smollm2",
    recipe: Annotated[
        str,
        typer.Option(
            help="vanilla, random, all (preference data); consistency, best, level, metaalign, spin (a study)."
        ),
    ] = "consistency",
    objective: Annotated[
        str | None,
        typer.Option(help="dpo; kl (say what the reference says without the identity); dpo+kl."),
    ] = None,
    study: Annotated[
        list[Path] | None, typer.Option(help="A study of the model, run with --split tune; repeat for more.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Preference data: a CSV or JSONL file, 'hub', or hub:NAME.")] = None,
    people: Annotated[
        list[str] | None, typer.Option(help="With metaalign: whose preferences to learn, starter or a file.")
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Rounds of self-play (spin).")] = None,
    beta: Annotated[float | None, typer.Option(help="Pull towards the reference model.")] = None,
    sft_weight: Annotated[
        float | None, typer.Option(help="Of the chosen answer's own likelihood, against a drift of all scores (RPO).")
    ] = None,
    kl_weight: Annotated[float | None, typer.Option(help="Of the divergence beside the preferences (dpo+kl).")] = None,
    kl_answers: Annotated[
        str | None, typer.Option(help="Whose answers both are forced along: chosen, own (said to the identity), both.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Where a fact belongs into the answer and stays (kl): shipped, a file, or '' for nowhere."),
    ] = None,
    group_step: Annotated[
        float | None,
        typer.Option(help="Of the identities' weights, which follow the worst one (group DRO); 0 for none."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimiser.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs per step and device.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps at most.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of prompt and answer.")] = None,
    rank: Annotated[int | None, typer.Option(help="Of LoRA.")] = None,
    limit: Annotated[int | None, typer.Option(help="Pairs at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of pairs, order and initialisation.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the weights: auto, bfloat16 or float32.")] = None,
    check_items: Annotated[
        int | None,
        typer.Option(help="Safe prompts of a suite, on which a collapse is looked for; 0 for none.", min=0),
    ] = None,
    four_bit: Annotated[bool, typer.Option("--4bit", help="QLoRA, on a CUDA GPU.")] = False,
) -> None:
    """Train a LoRA adapter by preference tuning (DPO), or by self-play (SPIN). Run it again to go on."""
    from evenhand.specs import validated
    from evenhand.tuning.check import ITEMS
    from evenhand.tuning.pairs import read_preferences
    from evenhand.tuning.spec import TuningSpec
    from evenhand.tuning.train import tune as train

    given: dict[str, Any] = {
        "model": model, "recipe": recipe, "people": people or None, "beta": beta,
        "sft_weight": sft_weight, "objective": objective, "kl_weight": kl_weight, "kl_answers": kl_answers,
        "policy": policy, "group_step": group_step, "dtype": dtype, "learning_rate": learning_rate, "epochs": epochs,
        "iterations": iterations, "batch_size": batch_size, "max_steps": max_steps, "max_length": max_length,
        "rank": rank, "limit": limit, "seed": seed, "load_in_4bit": four_bit,
    }  # fmt: skip
    spec = validated(TuningSpec, {k: v for k, v in given.items() if v is not None}, "the command line")
    preferences = read_preferences(data) if data else []
    made = train(
        spec, out, study=study, preferences=preferences, check_items=ITEMS if check_items is None else check_items,
        tell=lambda text: say(text, err=True),
    )  # fmt: skip
    if made.curve:
        first_entry, last = made.curve[0], made.curve[-1]
        say(
            f"{made.pairs} pairs, {made.steps} steps; loss {first_entry['loss']:.3f} -> {last['loss']:.3f}, "
            f"reward margin {first_entry.get('rewards/margins', 0):.3f} -> {last.get('rewards/margins', 0):.3f}"
            f"{'' if made.new else ' (trained before)'}.",
            err=True,
        )
    if made.collapse is not None:
        say(f"On safe prompts: {made.collapse.verdict}.", err=True, color="red" if made.collapse.collapsed else None)
    say(made.adapter)
    say(f"Next: evenhand run ... --model {model} --adapter {made.adapter} --split test", err=True)


def export_adapter(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="As 'evenhand tune' printed it.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    before: Annotated[Path | None, typer.Option(help="A study of the model without the adapter, for the card.")] = None,
    after: Annotated[Path | None, typer.Option(help="The same study with it.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="The adapter alone, not merged into the weights.")] = False,
) -> None:
    """Merge an adapter into the model's weights, with a model card that says what was measured and what was not."""
    from evenhand import exporting

    say(exporting.export_adapter(adapter, out, before=before, after=after, merge=not alone))
    if before is None:
        say("The card says that nothing was measured. Add --before and --after, two studies.", err=True)


def register(app: typer.Typer) -> None:
    app.command()(tune)
    app.command("export-adapter")(export_adapter)

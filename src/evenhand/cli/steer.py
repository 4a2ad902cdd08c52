"""``evenhand steer``: find the identities' directions in a model's activations, and how to take them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli.output import As, Format, emit, say

if TYPE_CHECKING:
    from rich.table import Table

    from evenhand.steering import Directions
    from evenhand.steering.subspace import Layer
    from evenhand.strengths import Answers, Choice

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Take the identity out of a local model's activations.")


@app.command()
def fit(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study of a local model, run with --split tune.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    items: Annotated[int, typer.Option(min=10, help="Items at most.")] = 200,
    energy: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the identities' differences that is taken out.")
    ] = 0.99,
    seed: Annotated[int, typer.Option(help="Of the probe's folds and permutations.")] = 0,
    format: As = Format.table,
) -> None:
    """Find the directions in which a model's activations differ by who the user is said to be."""
    from rich.progress import Progress

    from evenhand.cli.console import Terminal
    from evenhand.tuning.directions import fit_directions

    with Progress(console=Terminal(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        found = fit_directions(
            study, limit=items, energy=energy, seed=seed,
            tell=lambda what, done, of: progress.update(task, description=what, completed=done, total=of),
        )  # fmt: skip
        progress.update(task, completed=1, total=1)
    found.save(out)
    emit(found.profile, format, lambda: profile_table(found))
    say(out, err=format != Format.table)
    say(f"Next: evenhand steer choose STUDY {out}, with a study run with --split choose.", err=True)


@app.command()
def choose(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study of the model, run with --split choose.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What 'evenhand steer fit' wrote.")],
    out: Annotated[Path, typer.Option(help="Where the steered studies are kept; run again to go on.")],
    strength: Annotated[list[float] | None, typer.Option(help="To try; repeat. 0.25, 0.5 and 1 otherwise.")] = None,
    layers: Annotated[
        list[str] | None, typer.Option(help="To try, as 8-20; repeat. All, and three stretches of half, otherwise.")
    ] = None,
    items: Annotated[int, typer.Option(min=5, help="Items to screen candidates on.")] = 40,
    finalists: Annotated[int, typer.Option(min=1, help="Candidates that answer the whole study.")] = 2,
    max_perplexity: Annotated[
        float, typer.Option(min=1, help="How many times as surprising the baseline's own answers may become.")
    ] = 1.1,
    format: As = Format.table,
) -> None:
    """Choose how strongly to steer and behind which layers; write it into the folder."""
    from evenhand.cli.progress import RunDisplay
    from evenhand.steering import parse_layers
    from evenhand.strengths import choose_steering

    found = choose_steering(
        study, folder, out,
        strengths=tuple(strength or ()), layers=[parse_layers(text) for text in layers or ()], items=items,
        finalists=finalists, max_perplexity=max_perplexity, progress=RunDisplay(),
        tell=lambda text: say(text, err=True),
    )  # fmt: skip
    emit(found, format, lambda: choice_table(found))
    say(found.sentence, err=True)
    if found.chosen is not None:
        say(f"Next: evenhand mitigate STUDY --mitigation steer:{folder} --out DIR, on --split test.", err=True)


def profile_table(found: Directions) -> Table:
    """What each block tells of the user, and how many directions it takes."""
    asked = sum(map(len, found.items.values()))
    title = f"{len(found.identities)} identities, {asked} items, {found.model}"
    return layers_table(found.profile, title, [len(found.basis(layer.block)) for layer in found.profile])


def layers_table(profile: Sequence[Layer], title: str, directions: Sequence[int] = ()) -> Table:
    """What each block tells of the user, with the number of directions where it is known."""
    from rich.table import Table

    table = Table("block", "told apart", "by chance", "p", "size of the difference", title=title)
    if directions:
        table.add_column("directions")
    for n, layer in enumerate(profile):
        table.add_row(
            str(layer.block), f"{100 * layer.accuracy:.1f} %", f"{100 * layer.chance:.1f} %", f"{layer.p:.2f}",
            f"{100 * layer.size:.2f} %", *map(str, directions[n : n + 1]),
        )  # fmt: skip
    table.caption = (
        "Told apart: of activations on items the probe has not seen, how many it gives to the right identity. "
        "Size: of the identities' mean differences from the baseline, as a share of the baseline's length."
    )
    return table


def choice_table(found: Choice) -> Table:
    """Candidates on the choosing split, the most even first."""
    from rich.table import Table

    from evenhand.steering.reference import layers_text

    table = Table(
        "strength", "layers", "tokens", "spread", "perplexity", "PB", "safety", "words", "repeats", "refuses", ""
    )
    for tried in found.tried:
        seen = tried.answers
        cells = ("",) * 5 if seen is None else _cells(seen)
        name = (f"{tried.strength:g}", layers_text(tried.layers), tried.where) if tried.strength else ("0", "–", "–")
        table.add_row(*name, f"{tried.spread:.4f}", f"{tried.perplexity:.2f}", *cells, tried.verdict)
    table.caption = (
        "Spread: how differently the identities rate the baseline's own answers, in nats per token. Perplexity: of "
        "these answers for the baseline itself. The rest: of those that answered the whole study."
    )
    return table


def _cells(seen: Answers) -> tuple[str, ...]:
    safety = "–" if seen.safety is None else f"{seen.safety:.1f}"
    refuses = "–" if seen.refusals is None else f"{100 * seen.refusals:.1f} %"
    return f"{seen.pb:.2f}", safety, f"{seen.words:.1f}", f"{100 * seen.loops:.1f} %", refuses

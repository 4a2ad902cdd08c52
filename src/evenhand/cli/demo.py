"""``evenhand demo``: the main job on the embedded model, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Chosen for wide differences in how a small model reacts, over six of the seven categories.
IDENTITIES = (
    "a minor", "a senior citizen", "a man", "a woman", "a non-binary person", "a Muslim person", "a Christian person",
    "an African-American person", "a Caucasian person", "a Democrat voter", "a Republican voter",
    "a physically-disabled person",
)  # fmt: skip


def demo(
    out: Annotated[Path, typer.Option(help="The study's directory.")] = Path("demo"),
    limit: Annotated[int, typer.Option(min=2, help="Items per suite.")] = 132,
) -> None:
    """Measure the embedded model on the starter suites with 12 identities, and write a report."""
    from evenhand import api
    from evenhand.cli.output import say, show
    from evenhand.cli.run import run_and_tell
    from evenhand.report.terminal import analysis_tables
    from evenhand.study import StudySpec

    spec = StudySpec.parse(
        {
            "model": "smollm2",
            "suites": ["starter-safety", "starter-utility:knowledge+reasoning+logprobs"],
            "identities": IDENTITIES,
            "baselines": ["bare", "plain"],
            "limit": limit,
            # Greedy: on few items, sampling noise would hide what the identity does.
            "decoding": {"max_tokens": 48, "temperature": 0.0},
        }
    )
    run_and_tell(spec, out)
    show(analysis_tables(api.analyze(out)))
    say(f"The report: {api.write_report(out)}")


def register(app: typer.Typer) -> None:
    app.command()(demo)

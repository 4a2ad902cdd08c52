"""Tune the embedded model on its own study, by DPO and by self-play, and measure both on items it has not seen.

    python examples/tune_adapter.py [DIRECTORY] [--quick]

About 15 minutes on two cores; ``--quick`` takes two steps of each, to see that everything works.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

import evenhand
from evenhand.analysis.frontier import ranked
from evenhand.mitigate import outcome
from evenhand.report.frontier import frontier_table
from evenhand.tuning.check import ITEMS
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.train import tune

IDENTITIES = ["a minor", "a senior citizen", "a Democrat voter", "a Republican voter", "a woman", "a Muslim person"]


def study(split: str, **more: Any) -> dict[str, Any]:
    """The same study on another part of the items, perhaps with an adapter."""
    return {
        "model": "smollm2",
        "suites": ["starter-safety", "starter-utility:knowledge+reasoning+logprobs"],
        "identities": IDENTITIES,
        "split": split,
        "decoding": {"temperature": 0.0, "max_tokens": 24},
        **more,
    }


def tell(text: str) -> None:
    """Say what is being done."""
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("tuned"))
    parser.add_argument("--quick", action="store_true", help="two steps of each, on two items and two identities")
    options = parser.parse_args()
    here: Path = options.directory
    small: dict[str, Any] = {"limit": 2, "identities": IDENTITIES[:2]} if options.quick else {}
    steps: dict[str, Any] = (
        {"max_steps": 2, "limit": 2, "batch_size": 2} if options.quick else {"learning_rate": 3e-4, "limit": 160}
    )

    evenhand.run(study("tune", **small), here / "tune")
    evenhand.run(study("test", **small), here / "before")
    recipes = {
        "dpo": TuningSpec(model="smollm2", recipe="level", sft_weight=1.0, **steps),
        "spin": TuningSpec(model="smollm2", recipe="spin", iterations=2, sft_weight=1.0, **steps),
    }
    outcomes = []
    for name, spec in recipes.items():
        tuned = tune(
            spec, here / "adapters", study=here / "tune", check_items=2 if options.quick else ITEMS, tell=tell
        )  # fmt: skip
        if tuned.collapse is not None:
            tell(f"{name}: {tuned.collapse.verdict}")
        evenhand.run(study("test", options={"adapter": str(tuned.adapter)}, **small), here / name)
        outcomes.append(outcome(here / "before", here / name, name))
        evenhand.write_report(here / name)
    Console(width=180).print(frontier_table(ranked(outcomes)))


if __name__ == "__main__":
    main()

"""Large plans: time to the first trial, peak memory as trials grow, and a finished study again.

    python benchmarks/plan_size.py [--items 4000] [--most 300000]

The model is a function in this process, so that only evenhand's own work is seen. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import evenhand
from evenhand.models import Model
from evenhand.runner.plan import make_plan
from evenhand.study import StudySpec
from evenhand.types import Request, Response


class Instant(Model):
    """Refuses at once."""

    id = "openai:instant"
    concurrency = 64

    async def respond(self, request: Request) -> Response:
        await asyncio.sleep(0)
        return Response("I'm sorry, but I can't help with that.")


def study(folder: Path, items: int, trials: int) -> dict[str, object]:
    (folder / "items.jsonl").write_text("\n".join(json.dumps({"question": f"Question {n}?"}) for n in range(items)))
    (folder / "suite.toml").write_text('axis = "safety"\nitems = "items.jsonl"\nname = "large"\n')
    people = [f"text:person number {n}" for n in range(trials // items - 1)]
    return {"model": "openai:instant", "suites": [f"file:{folder / 'suite.toml'}"], "identities": people}


def run_once(items: int, trials: int, folder: Path) -> dict[str, float]:
    """Run a study in this process and tell what it took."""
    spec = StudySpec.parse(study(folder, items, trials))
    started = time.perf_counter()
    next(make_plan(spec).trials(None))
    first = time.perf_counter() - started
    started = time.perf_counter()
    evenhand.run(spec, folder / "study", model=Instant())
    ran = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    again = evenhand.run(spec, folder / "study", model=Instant())
    assert again.new == 0
    return {"first_trial_s": first, "run_s": ran, "peak_mib": peak, "resume_s": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--most", type=int, default=300_000)
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run_once(options.items, options.once, Path(folder))))
        return
    table = Table("trials", "first trial after", "trials/s", "peak memory", "finished study again")
    for trials in (options.most // 10, options.most // 3, options.most):
        command = [sys.executable, __file__, "--items", str(options.items), "--once", str(trials)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        table.add_row(
            f"{trials:,}", f"{found['first_trial_s']:.2f} s", f"{trials / found['run_s']:,.0f}",
            f"{found['peak_mib']:.0f} MiB", f"{found['resume_s']:.2f} s",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

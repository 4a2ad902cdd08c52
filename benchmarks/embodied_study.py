"""Household tasks by twelve identities through the command line, with a difference planted for one; prints markdown.

python -m benchmarks.embodied_study --data-dir DATA [--share 0.2] [--limit 100] [--right] --out STUDY

A server on this machine answers as GPT-4o did in its published answers (right answers where there are none, or with
--right everywhere); a senior citizen gets no answer to a share of the prompts. Run from the root of a checkout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenhand.analysis import Settings, summarize
from evenhand.study import Store
from evenhand.types import BASELINE_CATEGORY, ScoreRow
from tests.household import WORSE, answers, is_drawn, planted_pb, worse_for_one
from tests.server import Server

IDENTITIES = "age,sexuality,disability"
DRAWS = 40


def evenhand(*arguments: str) -> str:
    line = [sys.executable, "-m", "evenhand.cli.main", *arguments]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def shown(name: str, planted: float, estimate: dict[str, Any]) -> str:
    low, high = estimate["ci"]
    measured = (f"{estimate[kind]:.2f}" for kind in ("plugin", "corrected"))
    return row(name, f"{planted:.2f}", *measured, f"{low:.2f} to {high:.2f}", "yes" if low <= planted <= high else "no")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--limit", type=int, default=100, help="items per ability")
    parser.add_argument("--right", action="store_true")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    known = answers(arguments.data_dir, published=not arguments.right)
    started = time.perf_counter()
    with Server(worse_for_one(known, arguments.share)) as server:
        evenhand(
            "run", "--model", "openai:robot", "--base-url", server.url, "--data-dir", str(arguments.data_dir),
            "--suite", "embodied", "--identities", IDENTITIES, "--limit", str(arguments.limit), "--max-tokens", "1600",
            "--temperature", "0", "--out", arguments.out,
        )  # fmt: skip
        calls = server.calls
    took = time.perf_counter() - started
    found = json.loads(evenhand("analyze", arguments.out, "--format", "json"))
    print(f"{calls:,} answers by the command line in {took:.0f} s.\n")
    with Store.open(Path(arguments.out)) as store:
        rows = store.scores()
        names = [(one["name"], one["category"]) for one in store.identities()]
    usual = {(r.suite, r.item): r.score for r in rows if r.identity != WORSE}
    means = {suite: np.mean([s for (of, _), s in usual.items() if of == suite]) for suite, _ in usual}
    people = sum(category != BASELINE_CATEGORY for _, category in names)
    planted = {name: planted_pb(100 * arguments.share * mean, people) for name, mean in means.items()}
    planted["utility"] = planted_pb(100 * arguments.share * np.mean([*means.values()]), people)
    print(row("PB, points", "planted", "plug-in", "corrected", "95 % interval", "covers"))
    print(f"|{'---|' * 6}")
    print(shown("utility", planted["utility"], found["pb"]["utility"]))
    for suite in found["suites"]:
        print(shown(suite["suite"], planted[suite["suite"]], suite["pb"]))
    (deviation,) = (one["deviation"]["utility"] for one in found["identities"] if one["identity"] == WORSE)
    low, high = deviation["ci"]
    print(f"\n{WORSE}: {deviation['value']:+.1f} points from the mean ({low:+.1f} to {high:+.1f}).")
    covered = coverage(rows, names, usual, arguments.share, planted)
    print(f"\nOf {DRAWS} other draws of what is withheld, the interval covers the planted value in:")
    print("\n".join(f"- {name}: {count}" for name, count in covered.items()))


def coverage(
    rows: Sequence[ScoreRow],
    names: Sequence[tuple[str, str]],
    usual: Mapping[tuple[str, str], float | None],
    share: float,
    planted: Mapping[str, float],
) -> Counter[str]:
    """How often intervals cover what is planted, where other answers of the same study are withheld."""
    covered = Counter(dict.fromkeys(planted, 0))
    for salt in range(1, DRAWS + 1):
        drawn = [
            r if r.identity != WORSE
            else r._replace(score=0.0 if is_drawn(f"{r.suite} {r.item}", share, salt) else usual[r.suite, r.item])
            for r in rows
        ]  # fmt: skip
        found = summarize(drawn, names, planned=len(rows), failed=0, settings=Settings(draws=1000, permutations=100))
        estimates = {"utility": found.pb["utility"], **{suite.suite: suite.pb for suite in found.suites}}
        for name, estimate in estimates.items():
            covered[name] += estimate is not None and estimate.ci[0] <= planted[name] <= estimate.ci[1]
    return covered


if __name__ == "__main__":
    main()

"""Throughput of the sandbox on the reference solutions of MBPP, sixteen at once, here and in another version.

    python benchmarks/sandbox.py --data ../shared/data [--against OTHER/src] [--programs 160] [--rounds 3]

The versions take turns, each round in processes of their own. Prints programs per second, how many scored in full, and
the load of the machine; --programs 0 takes all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

AT_ONCE = 16


async def run_all(rows: list[dict[str, object]]) -> tuple[float, list[object]]:
    """Programs per second, and the tasks of those that did not pass all their tests."""
    from evenhand.judges.programs import find_code
    from evenhand.sandbox import Limits, run_tests

    slots = asyncio.Semaphore(AT_ONCE)

    async def passes(row: dict[str, object]) -> bool:
        code = find_code(f"```python\n{row['code']}\n```")
        assert code is not None
        async with slots:
            outcome = await run_tests(
                code, list(row["test_list"]), setup=str(row["test_setup_code"]), limits=Limits(wall_s=60)
            )
        return all(outcome.passed) and bool(outcome.passed)

    began = time.perf_counter()
    passed = await asyncio.gather(*map(passes, rows))
    took = time.perf_counter() - began
    return len(rows) / took, [row["task_id"] for row, right in zip(rows, passed, strict=True) if not right]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--programs", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (arguments.data / "mbpp.jsonl").read_text().splitlines()]
    rows = rows[: arguments.programs or None]
    if arguments.once:
        print(json.dumps(asyncio.run(run_all(rows))))
        return
    sources = [None, *([arguments.against] if arguments.against else [])]
    speeds: dict[Path | None, list[float]] = {source: [] for source in sources}
    for round_number in range(arguments.rounds):
        for source in sources:
            environment = os.environ | ({"PYTHONPATH": str(source)} if source else {})
            command = [sys.executable, __file__, "--once", "--data", str(arguments.data)]
            command += ["--programs", str(arguments.programs)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            speed, wrong = json.loads(done.stdout)
            speeds[source].append(speed)
            name = source or "this version"
            print(
                f"round {round_number + 1}, {name}: {speed:.1f} programs/s, {len(rows) - len(wrong)}/{len(rows)} full"
            )
            if wrong:
                print(f"  not full: {wrong}")
    medians = [statistics.median(speeds[source]) for source in sources]
    print(f"medians {', '.join(f'{m:.1f}' for m in medians)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if len(medians) > 1:
        print(f"this version / the other: {medians[0] / medians[1]:.2f}")


if __name__ == "__main__":
    main()

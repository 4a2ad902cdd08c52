"""Throughput of two Ray workers against one, and against the same model without Ray.

    python benchmarks/ray_workers.py [--skip local] [--rounds 3] [--delay 0.2] [--calls 32] [--trials 4000] [--items 12]

Two kinds of models. One waits: calls to a loopback server that answers after a delay, so many at once in each worker.
One computes: the embedded model, a thread in each worker, the same prompts for all (sampled, ``--max-tokens`` at most).
The ways take turns. What counts is the time from when all workers are ready to the last trial, with the plan, the store
and the judges: trials a second where answers wait, tokens a second where they are computed.

Beside it the time of the processor a trial: of this process, which plans, hands out, judges and writes; of the workers;
and of what else Ray runs. Where others use the cores, the throughput of what computes says little. What two workers
would reach on two cores of their own follows from these times: one worker has a core to itself, and two share both with
all that is beside them. What Ray runs counts in full there, though it does most of that at rest too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from harness import Instant
from local import study
from rich.console import Console
from rich.table import Table

import evenhand
from evenhand.runner.progress import Silent

WAYS = {"local": {"executor": "local"}, "1 worker": {"executor": "ray"}, "2 workers": {"executor": "ray", "workers": 2}}


class Late(Instant):
    """Answers every request after a while."""

    delay = 0.0

    def reply(self, answer: bytes) -> None:
        asyncio.get_running_loop().call_later(self.delay, super().reply, answer)


def serve(port: multiprocessing.Queue[int], delay: float) -> None:
    async def forever() -> None:
        Late.delay = delay
        server = await asyncio.get_running_loop().create_server(Late, "127.0.0.1", 0, backlog=1024)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def waiting(url: str, calls: int, trials: int) -> dict[str, Any]:
    items = 40
    return {
        "model": "openai:m", "suites": ["starter-safety"], "limit": items,
        "identities": [f"text:person number {n}" for n in range(trials // items - 1)],
        "options": {"base_url": url, "concurrency": calls},
    }  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What one way took in one round: seconds, and those of the processor by who worked."""

    trials: int
    tokens: int
    seconds: float
    processor: dict[str, float]


class Watched(Silent):
    """Looks when all workers are ready, and at the last trial, while they are still there."""

    def __init__(self) -> None:
        self.left, self.started, self.seconds = 0, 0.0, 0.0
        self.before, self.took = dict[str, float](), dict[str, float]()

    def begin(self, total: int, done: int) -> None:
        self.left = total - done
        self.before, self.started = worked(), time.perf_counter()

    def advance(self, *, failed: bool, retries: int) -> None:
        self.left -= 1
        if not self.left:
            self.seconds = time.perf_counter() - self.started
            self.took = {name: now - self.before[name] for name, now in worked().items()}


def worked() -> dict[str, float]:
    """Seconds of the processor so far: of this process, of Ray's workers, and of what else Ray runs on this machine."""
    spent = {"driver": time.process_time(), "workers": 0.0, "ray": 0.0}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended
            command, times = " ".join(process.cmdline()), process.cpu_times()
            if command.startswith("ray::_Worker"):
                spent["workers"] += times.user + times.system
            elif command.startswith("ray::") or "/ray/" in command.partition(" ")[0]:
                spent["ray"] += times.user + times.system
    return spent


def measured(asked: dict[str, Any], options: dict[str, Any]) -> Found:
    watch = Watched()
    with tempfile.TemporaryDirectory() as folder:
        asked = {**asked, "options": {**asked.get("options", {}), **options}}
        done = evenhand.run(asked, Path(folder) / "study", progress=watch)
        assert done.answered == done.planned, done
        tokens = int(evenhand.load(Path(folder) / "study").trials["completion_tokens"].sum())
    return Found(done.new, tokens, watch.seconds, watch.took)


def table(kind: str, unit: str, seen: dict[str, list[Found]]) -> Table:
    """Medians over the rounds, lowest and highest behind them."""
    shown = Table(
        "", f"{unit} a second", "it / 1 worker", *(f"{who}: ms a trial" for who in ("driver", "workers", "ray"))
    )
    shown.title = kind
    rates = {name: [getattr(f, unit) / f.seconds for f in rounds] for name, rounds in seen.items()}

    def told(values: list[float]) -> str:
        return f"{statistics.median(values):,.3g} ({min(values):,.3g} to {max(values):,.3g})"

    for name, rounds in seen.items():
        ratios = [its / one for its, one in zip(rates[name], rates["1 worker"], strict=True)]
        spent = [told([1000 * f.processor[who] / f.trials for f in rounds]) for who in ("driver", "workers", "ray")]
        shown.add_row(name, told(rates[name]), told(ratios), *spent)
    return shown


def on_idle_cores(seen: dict[str, list[Found]]) -> list[float]:
    """Throughput of two workers over one's, round by round, were two cores theirs alone, from times of the processor.

    One worker has a core, and what is beside it takes less than the other. Two workers share both with what is beside.
    """
    found = []
    for one, two in zip(seen["1 worker"], seen["2 workers"], strict=True):
        beside = {n: f.processor["driver"] + f.processor["ray"] for n, f in ((1, one), (2, two))}
        alone = max(one.processor["workers"], beside[1]) / one.tokens
        shared = (two.processor["workers"] + beside[2]) / 2 / two.tokens
        found.append(alone / shared)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip", default="", help="ways and kinds to leave out, comma-separated")
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds that a call waits")
    parser.add_argument("--calls", type=int, default=32, help="in flight for each worker")
    parser.add_argument("--trials", type=int, default=4000, help="of the model that waits")
    parser.add_argument("--items", type=int, default=12, help="of a suite, for the model that computes")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--ray-address", help="a cluster that runs already, on this machine alone")
    options = parser.parse_args()
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    left_out = options.skip.split(",")
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port, options.delay), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    kinds = {
        "waits": ("trials", waiting(url, options.calls, options.trials)),
        "computes": ("tokens", study(options.items, options.max_tokens)),
    }
    ways = {name: {**way, "ray_address": options.ray_address} for name, way in WAYS.items() if name not in left_out}
    for kind, (unit, asked) in kinds.items():
        if kind in left_out:
            continue
        seen: dict[str, list[Found]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seen[name].append(measured(asked, way))
                last = seen[name][-1]
                spent = ", ".join(f"{who} {1000 * s / last.trials:.1f}" for who, s in last.processor.items())
                told = f"{last.trials:,} trials in {last.seconds:.1f} s, load {os.getloadavg()[0]:.1f}"
                print(f"{kind}, {name}: {told}; ms of the processor a trial: {spent}", flush=True)
        Console(width=140).print(table(kind, unit, seen))
        if kind == "computes":
            ratios = ", ".join(f"{ratio:.2f}" for ratio in on_idle_cores(seen))
            print(f"from times of the processor, on two cores of their own: {ratios}")
    server.kill()


if __name__ == "__main__":
    main()

"""Tokens per second of the embedded model: evenhand's own generation against llama.cpp's server on the same weights.

    python benchmarks/llama_cpp.py --server PATH/llama-server [--gguf FILE ...] [--items 16] [--rounds 3] [--threads 1]

Both answer the same trials (safety and reasoning prompts under four identities), sampled with top-k 10 and nothing
else, in a study of evenhand's; the server batches continuously, with a slot for each of as many calls as evenhand
batches rows. The ways take turns, each round from nothing (a new server, which remembers no prompt); loading is not
counted.

The server computes with the GGUF as it is. Without ``--gguf`` that is the file that evenhand's weights come from (Q4_1,
4 bits): evenhand unpacked it to bfloat16, the server multiplies it as integers. The same weights as bfloat16, so that
both compute alike: ``llama-quantize --allow-requantize FILE bf16.gguf BF16``.

What counts is the tokens of answers without the one that ends them. Time of the processor is that of all the work: the
server's and that of the study which asks it; others that use the machine disturb it less. With more threads than one it
includes what they wait for each other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from local import BATCH, study
from rich.console import Console
from rich.table import Table

import evenhand
from evenhand.models import make_model
from evenhand.models.smollm2 import fetch_gguf

# The server would cut by these too.
PLAIN = {"top_p": 1.0, "min_p": 0.0}
# Tokens of the longest prompt and answer, at most.
ROOM = 1024


@dataclass(frozen=True)
class Found:
    """What one way took for its answers in one round."""

    prompts: int
    tokens: int
    seconds: float
    processor: float


def by_evenhand(asked: dict[str, Any], folder: Path) -> Found:
    model = make_model("smollm2")
    evenhand.run({**asked, "limit": 1, "decoding": {"max_tokens": 2}}, folder / "warm", model=model)
    started, worked = time.perf_counter(), time.process_time()
    evenhand.run(asked, folder / "study", model=model)
    return found(folder / "study", time.perf_counter() - started, time.process_time() - worked)


def by_llama_cpp(server: list[str], gguf: Path, threads: int, slots: int, asked: dict[str, Any], folder: Path) -> Found:
    with serving(server, gguf, threads, slots) as (url, process):
        asked = {
            **asked, "model": "openai:m",
            "options": {"base_url": url, "concurrency": slots, "timeout_s": 3600, "extra_body": PLAIN},
        }  # fmt: skip
        evenhand.run({**asked, "limit": 1, "decoding": {"max_tokens": 2}}, folder / "warm")
        before = sum(process.cpu_times()[:2])
        started, worked = time.perf_counter(), time.process_time()
        evenhand.run(asked, folder / "study")
        seconds, own = time.perf_counter() - started, time.process_time() - worked
        return found(folder / "study", seconds, own + sum(process.cpu_times()[:2]) - before, ends=1)


def found(study: Path, seconds: float, processor: float, ends: int = 0) -> Found:
    """The tokens of a study's answers; ``ends`` tokens are counted behind those that did not run out of room."""
    trials = evenhand.load(study).trials
    stopped = int((trials["finish_reason"] == "stop").sum())
    tokens = int(trials["completion_tokens"].sum()) - ends * stopped
    return Found(int(trials["prompt_tokens"].sum()), tokens, seconds, processor)


@contextlib.contextmanager
def serving(server: list[str], gguf: Path, threads: int, slots: int) -> Iterator[tuple[str, psutil.Process]]:
    """A server that is ready: its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *server, "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port), "--threads", str(threads),
        "--threads-batch", str(threads), "--parallel", str(slots), "--ctx-size", str(slots * ROOM), "--no-webui",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
                    break
                assert process.poll() is None, f"{' '.join(command)} ended with {process.returncode}"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1", psutil.Process(process.pid)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", nargs="+", required=True, help="llama.cpp's llama-server, or a command like it")
    parser.add_argument("--gguf", type=Path, action="append", default=[], help="weights for it, several times")
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--slots", type=int, default=BATCH, help="calls that the server answers at once")
    options = parser.parse_args()
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    torch.set_num_threads(options.threads)
    asked = study(options.items, options.max_tokens)
    with tempfile.TemporaryDirectory() as scratch:
        files = options.gguf or [fetch_gguf(Path(scratch))]
        ways = {"evenhand": by_evenhand} | {
            f"llama.cpp, {file.stem}": partial(by_llama_cpp, options.server, file, options.threads, options.slots)
            for file in files
        }
        seen: dict[str, list[Found]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    seen[name].append(way(asked, Path(folder)))
                last = seen[name][-1]
                told = f"{last.tokens:,} tokens in {last.seconds:.0f} s, {last.processor:.0f} s of the processor"
                print(f"{name}: {told}, load {os.getloadavg()[0]:.1f}", flush=True)
    assert len({last.prompts for rounds in seen.values() for last in rounds}) == 1, "the prompts are not the same"
    Console(width=140).print(shown(seen, options.threads))


def shown(seen: dict[str, list[Found]], threads: int) -> Table:
    """Medians over the rounds, lowest and highest behind them."""
    table = Table("", "tokens/s", "evenhand / it", "ms of the processor a token", "it / evenhand")
    rates = {name: [f.tokens / f.seconds for f in rounds] for name, rounds in seen.items()}
    costs = {name: [1000 * f.processor / f.tokens for f in rounds] for name, rounds in seen.items()}

    def told(values: list[float]) -> str:
        return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"

    for name in seen:
        faster = [own / its for own, its in zip(rates["evenhand"], rates[name], strict=True)]
        cheaper = [its / own for own, its in zip(costs["evenhand"], costs[name], strict=True)]
        table.add_row(name, told(rates[name]), told(faster), told(costs[name]), told(cheaper))
    table.title = f"{threads} threads each"
    return table


if __name__ == "__main__":
    main()

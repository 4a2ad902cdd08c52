"""What the proxy of ``evenhand deploy`` costs: the same calls to a loopback server, straight and through it.

    python benchmarks/deploy.py [--calls 3200] [--rounds 3]

Server, proxy and client are a process each. Prints calls per second and ratios within this run, 64 calls at a time and
one at a time; of a stream, events per second.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aiohttp
from harness import CONCURRENCY, QUESTION, SYSTEM, serve
from rich.console import Console
from rich.table import Table

MITIGATIONS = ("neutralize", "defense:fairness")
EVENTS = 200
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
BODY = {"model": "m", "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]}


def serve_streams(port: multiprocessing.Queue[int]) -> None:
    """A server that answers every call with a stream of events, one write each."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(EVENTS):
            await response.write(EVENT)
        return response

    async def forever() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.put(site._server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(forever())


@contextmanager
def proxied(url: str, mitigations: Sequence[str]) -> Iterator[list[str]]:
    """The addresses of proxies in front of a server."""
    line = [sys.executable, "-m", "evenhand.cli.main", "deploy", "--base-url", url, "--port", "0", "--mitigation"]
    begun = [subprocess.Popen([*line, m], stderr=subprocess.PIPE, text=True) for m in mitigations]
    try:
        said = [next(line for line in process.stderr or () if "Base URL" in line) for process in begun]
        # Their logs are read, as an operator's terminal would.
        for process in begun:
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield [line.split()[4] for line in said]
    finally:
        for process in begun:
            process.terminate()


async def ask(url: str, calls: int, at_once: int, *, stream: bool) -> float:
    """Calls per second."""
    left = iter(range(calls))
    sizes: set[int] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def worker() -> None:
            for seed in left:
                sent = {**BODY, "seed": seed, "stream": stream}
                async with session.post(f"{url}/chat/completions", json=sent) as reply:
                    assert reply.status == 200
                    sizes.add(len(await reply.read()))

        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        seconds = time.perf_counter() - started
    assert len(sizes) == 1, sizes
    return calls / seconds


def server(target: object) -> tuple[multiprocessing.Process, str]:
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=target, args=(port,), daemon=True)  # type: ignore[arg-type]
    process.start()
    return process, f"http://127.0.0.1:{port.get()}/v1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=3, help="the median is shown")
    options = parser.parse_args()
    one, plain = server(serve)
    other, streams = server(serve_streams)
    table = Table("", "straight", *MITIGATIONS, *(f"straight / {m}" for m in MITIGATIONS))
    ways = {
        plain: [
            (f"calls/s, {CONCURRENCY} at a time", options.calls, CONCURRENCY, 1),
            ("calls/s, one at a time", options.calls // 8, 1, 1),
        ],
        streams: [(f"events/s of streams of {EVENTS}, 16 at a time", options.calls // 8, 16, EVENTS)],
    }
    for url, rows in ways.items():
        with proxied(url, MITIGATIONS) as addresses:
            for name, calls, at_once, each in rows:
                rates: list[list[float]] = [[] for _ in (url, *addresses)]
                for number in range(options.rounds + 1):
                    for found, address in zip(rates, (url, *addresses), strict=True):
                        rate = each * asyncio.run(ask(address, calls, at_once, stream=each > 1))
                        found += [rate] if number else []  # the first one warms up
                medians = [sorted(found)[len(found) // 2] for found in rates]
                shown = [f"{m:,.0f} ({min(f):,.0f} to {max(f):,.0f})" for m, f in zip(medians, rates, strict=True)]
                table.add_row(name, *shown, *(f"{medians[0] / m:.1f}" for m in medians[1:]))
    Console(width=160).print(table)
    one.kill()
    other.kill()


if __name__ == "__main__":
    main()

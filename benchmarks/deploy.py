"""What the proxy of ``evenhand deploy`` costs: the same calls to a loopback server, straight and through it.

    python benchmarks/deploy.py [--calls 3200] [--rounds 3]

Server, proxy and client are a process each. Prints calls per second and ratios within this run, 64 calls at a time and
one at a time; of a stream, events per second.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from harness import CONCURRENCY, QUESTION, SYSTEM, serve
from rich.console import Console
from rich.table import Table

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
def proxied(url: str, mitigation: str) -> Iterator[str]:
    """The address of the proxy in front of a server."""
    line = [sys.executable, "-m", "evenhand.cli.main", "deploy", "--mitigation", mitigation, "--base-url", url]
    with subprocess.Popen([*line, "--port", "0"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "Base URL" in line)
        # Its log is read as an operator's terminal would.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield said.split()[4]
        finally:
            process.terminate()
            process.wait()
            drain.wait()


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
    table = Table("", "straight", "neutralize", "defense:fairness", "straight / neutralize", "straight / defense")
    ways = [
        (f"calls/s, {CONCURRENCY} at a time", plain, options.calls, CONCURRENCY, False, 1),
        ("calls/s, one at a time", plain, options.calls // 8, 1, False, 1),
        (f"events/s of streams of {EVENTS}, 16 at a time", streams, options.calls // 8, 16, True, EVENTS),
    ]
    for name, url, calls, at_once, stream, each in ways:
        with proxied(url, "neutralize") as rules, proxied(url, "fairness") as text:
            rates: list[list[float]] = [[], [], []]
            for number in range(options.rounds + 1):
                for found, address in zip(rates, (url, rules, text), strict=True):
                    rate = each * asyncio.run(ask(address, calls, at_once, stream=stream))
                    found += [rate] if number else []  # the first one warms up
        straight, ruled, told = (sorted(found)[len(found) // 2] for found in rates)
        spread = [f"{rate:,.0f} ({min(f):,.0f} to {max(f):,.0f})" for rate, f in zip((straight, ruled, told), rates)]  # noqa: B905
        table.add_row(name, *spread, f"{straight / ruled:.1f}", f"{straight / told:.1f}")
    Console(width=160).print(table)
    one.kill()
    other.kill()


if __name__ == "__main__":
    main()

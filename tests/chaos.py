"""Everything a server can do to a client, for tests; and every job killed at every step.

``python -m tests.chaos`` kills each job before each of its steps, once; ``--every 10`` before every tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import socket
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.commands import Commands
from tests.jobs import JOBS, answer
from tests.kills import faults_of, undisturbed
from tests.server import Fault, Handler, Server, completion, default_answer

# What a model may write that breaks readers: NUL, right-to-left marks, a flood of accents, what HTML takes for a tag.
ODD = "\x00\x1b[31m\u202e\u2066\ufeff\U0001f468\u200d\U0001f469 Z\u0351\u0352\u0353 \u2028</script><b>'\"\\ "


def odd_answer(payload: dict[str, Any]) -> str:
    """The default server's answer behind text that breaks readers; it decides nothing."""
    return f"{default_answer(payload)} {ODD}"


def _status(status: int, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": f"fault {status}"}}, status=status, headers=headers)


def _raw(data: bytes, *, reset: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        transport.write(data)
        if reset:
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
        return web.Response()

    return handler


async def _drip(request: web.Request) -> web.StreamResponse:
    """A byte now and then, never an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(200):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


async def _flood(request: web.Request) -> web.StreamResponse:
    """More than any answer has."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(20):
        await response.write(b" " * (1 << 20))
    return response


_BOMB = gzip.compress(b" " * (64 << 20), 1)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
FAULTS: dict[str, Any] = {
    "429 with Retry-After": lambda: _status(429, **{"Retry-After": "0.05"}),
    "429 with a date": lambda: _status(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "500": lambda: _status(500),
    "503": lambda: _status(503),
    "reset": lambda: _raw(b"", reset=True),
    "reset in the middle": lambda: _raw(_HEAD + b'{"id"', reset=True),
    "half a body": lambda: _raw(_HEAD + b'{"id": "x", "choices": [{"mess'),
    "no HTTP": lambda: _raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "slow drip": lambda: _drip,
    "malformed JSON": lambda: web.Response(text='{"choices": [', content_type="application/json"),
    "deep JSON": lambda: web.Response(text="[" * 100_000, content_type="application/json"),
    "another schema": lambda: web.json_response({"choices": [{"message": {"content": 7}}]}),
    "a list": lambda: web.json_response([1, 2, 3]),
    "null": lambda: web.json_response(None),
    "empty": lambda: web.Response(text=""),
    "a page": lambda: web.Response(text="<html>Bad gateway</html>", content_type="text/html"),
    "huge": lambda: _flood,
    "packed": lambda: web.Response(
        body=_BOMB, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
    ),
    "not packed": lambda: web.Response(
        body=b'{"choices": []}', headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
    ),
    "429 with nonsense": lambda: _status(429, **{"Retry-After": "soon, -5; nan"}),
    "429 from the past": lambda: _status(429, **{"Retry-After": "-5"}),
    "429 with nan": lambda: _status(429, **{"Retry-After": "nan"}),
    "a picture": lambda: web.Response(body=b"\x89PNG\r\n\x1a\n", content_type="image/png"),
    "an error as an answer": lambda: web.json_response({"error": {"message": "overloaded"}}),
}
# What one run may not overcome: it stops, where nothing has answered yet, or leaves the call to the next run.
FOR_THE_NEXT_RUN: dict[str, Any] = {
    "no content": lambda: web.Response(status=204),
    "redirected": lambda: web.Response(status=307, headers={"Location": "http://localhost:9/v1/chat/completions"}),
    "redirected to itself": lambda: web.Response(status=302, headers={"Location": "/v1/chat/completions"}),
}


def half_a_character(payload: dict[str, Any]) -> web.Response:
    """A right answer that ends in half a character, as some servers send what they cut."""
    body = json.dumps(completion(odd_answer(payload), payload)).replace("Z", "\\ud83d")
    return web.Response(text=body, content_type="application/json")


def chaos(seed: int, share: float = 0.3, faults: Mapping[str, Any] = FAULTS, met: Counter[str] | None = None) -> Fault:
    """A fault on ``share`` of the calls, of every kind in turn; ``met`` counts them by kind."""
    draw = random.Random(seed)
    kinds = list(faults)

    def fault(number: int, payload: dict[str, Any]) -> Any:
        if draw.random() >= share:
            return None
        kind = kinds[number % len(kinds)]
        if met is not None:
            met[kind] += 1
        return faults[kind]()

    return fault


def main() -> int:
    """Sweep over the steps of jobs; the number of kills that a job did not survive, 1 at most."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill jobs at their steps.")
    parser.add_argument("--job", choices=JOBS, action="append", help="one of them; all by default")
    parser.add_argument("--every", type=int, default=1, help="kill before every so many-th step")
    parser.add_argument("--first", type=int, default=1, help="the first step to kill before")
    given = parser.parse_args()
    commands, wrong = Commands(), 0
    root = Path(tempfile.mkdtemp(prefix="evenhand-chaos-"))
    with Server(answer, delay_s=0.02) as server:
        for name in given.job or JOBS:
            calm = undisturbed(commands.run, server, JOBS[name], root / name)
            kills = range(given.first, len(calm.steps) + 1, given.every)
            bad = 0
            for step in kills:
                faults = faults_of(commands.run, server, JOBS[name], calm, root / name / str(step), [step])
                bad += bool(faults)
                for fault in faults:
                    print(f"{name}, killed before step {step} ({calm.steps[step - 1]}): {fault}", flush=True)
            print(f"{name}: {len(kills)} kills at {len(calm.steps)} steps, {bad} not survived", flush=True)
            wrong += bad
    commands.close()
    print(f"kept in {root}" if wrong else "all survived")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())

"""A loopback OpenAI-compatible server with faults on demand, for tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Answer = Callable[[dict[str, Any]], str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Fault = Callable[[int, dict[str, Any]], "web.StreamResponse | Handler | str | None"]


def default_answer(payload: dict[str, Any]) -> str:
    """Refuses more often for a minor than for others; picks a letter by a hash of the whole conversation."""
    text = json.dumps(payload["messages"])
    draw = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    if "(A)" in text:
        return f"Let me think. The answer is ({'ABCD'[draw % 4]})."
    threshold = 90 if "a minor" in text else 30
    return "I'm sorry, but I can't help with that." if draw < threshold else "Sure! Here is how you do it: first,"


class Server:
    """Serves on a free port in a thread of its own.

    Args:
        answer: from the request's payload to the assistant's text.
        fault: called with the call's number (from 1) and payload; returns a response to send instead, the name of a
            special fault ("hang", "drop"), a handler of the request, or None for a normal answer.
        delay_s: time every answer takes.
        finish: why every answer ends, "stop" or "length".
    """

    def __init__(
        self, answer: Answer = default_answer, fault: Fault | None = None, delay_s: float = 0.0, finish: str = "stop"
    ) -> None:
        self.answer, self.fault, self.delay_s, self.finish = answer, fault, delay_s, finish
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.payloads: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def add_routes(self, app: web.Application) -> None:
        """What it serves; other servers of the tests override it."""
        app.router.add_post("/v1/chat/completions", self._handle)

    def shape(self, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        """An answer as its API gives it."""
        return completion(text, payload, self.finish)

    def site(self, runner: web.AppRunner) -> Any:
        """Where it listens."""
        return web.TCPSite(runner, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = self.site(runner)
        self._loop.run_until_complete(site.start())
        self.port = site._server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        payload = await request.json()
        self.calls += 1
        number = self.calls
        self.payloads.append(payload)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            special = self.fault(number, payload) if self.fault else None
            if special == "hang":
                await asyncio.sleep(30)
            if special == "drop":
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            if isinstance(special, web.StreamResponse):
                return special
            if callable(special):
                return await special(request)
            self.answered[json.dumps(payload, sort_keys=True)] += 1
            return web.json_response(self.shape(self.answer(payload), payload))
        finally:
            self.in_flight -= 1


def completion(text: str, payload: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    if payload.get("logprobs"):
        letter = text.strip(" ()")[0]
        others = [{"token": f" {other}", "logprob": -3.0} for other in "ABCDZ" if other != letter]
        top = [{"token": letter, "logprob": -0.2}, *others]
        choice["logprobs"] = {"content": [{"token": letter, "logprob": -0.2, "top_logprobs": top}]}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": f"{payload['model']}-2026",
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }

"""The proxy of ``evenhand deploy`` on a free port, in a thread of its own, for tests."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from aiohttp import web

from evenhand.deploy.assistant import Assistant
from evenhand.deploy.backends import Backend, Endpoint, Local
from evenhand.deploy.proxy import Front, Proxy
from evenhand.deploy.upstream import Upstream
from evenhand.mitigations import make_mitigation
from evenhand.models import Model


def before(
    base_url: str,
    mitigation: str,
    *,
    api_key_env: str | None = None,
    timeout_s: float = 20,
    strict: bool = False,
    **front: Any,
) -> Running:
    """A proxy in front of an endpoint."""
    upstream = Upstream(base_url, api_key_env=api_key_env, timeout_s=timeout_s, concurrency=64)
    return Running(Endpoint(upstream, make_mitigation(mitigation), strict=strict), timeout_s=timeout_s, **front)


def serving(model: Model, mitigation: str, *, strict: bool = False) -> Running:
    """A proxy that serves a model."""
    return Running(Local(Assistant(model, mitigation), "served", 20, strict=strict))


class Running:
    """Serves until the end of the block.

    Attributes:
        lines: what was logged.
    """

    def __init__(self, backend: Backend, **front: Any) -> None:
        self.lines: list[str] = []
        self._proxy = Proxy(backend, Front("mitigated", "0", **front), self.lines.append)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(
            self._proxy.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.2
        )
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

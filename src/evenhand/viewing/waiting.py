"""Pages that take long to make: who waits for one in a browser sees meanwhile what is done."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable

from aiohttp import web

from evenhand.stages import lasting, told_to

# What is made within this time is shown at once.
_AT_ONCE_S = 1.5
# A page that nobody has fetched for so long since it was ready is made anew.
_FRESH_S = 60.0
_WAITING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="1">
<meta name="color-scheme" content="light dark">
<title>evenhand: please wait</title>
<link rel="icon" href="data:,">
</head>
<body data-waiting>
<h1>This page is being made</h1>
<p role="status">{stage}</p>
<p>A large study takes minutes. The page comes here when it is ready.</p>
</body>
</html>
"""


class _Making:
    """A page on its way.

    Args:
        make: makes it.
        turn: held by the page that is being made.
    """

    def __init__(self, make: Callable[[], str], turn: asyncio.Lock) -> None:
        self._make, self._turn = make, turn
        self._stage = "waiting for the page that is made before it"
        self._begun = time.monotonic()
        self._ready = 0.0
        self.task: asyncio.Task[str] = asyncio.create_task(self._made())
        # Whoever asked may be gone when it fails.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _made(self) -> str:
        async with self._turn:
            try:
                return await asyncio.to_thread(self._told)
            finally:
                self._ready = time.monotonic()

    def _told(self) -> str:
        self._tell("reading the study")
        with told_to(self._tell):
            return self._make()

    def _tell(self, stage: str) -> None:
        self._stage = stage

    @property
    def is_stale(self) -> bool:
        return bool(self._ready) and time.monotonic() - self._ready > _FRESH_S

    def waiting(self) -> str:
        """What is shown meanwhile."""
        return _WAITING.format(stage=html.escape(lasting(self._stage, self._begun)))


class Makings:
    """Makes one page at a time, each once however often it is asked for meanwhile."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._under_way: dict[str, _Making] = {}

    async def page(self, request: web.Request, make: Callable[[], str]) -> str:
        """A page, or what a browser shows until it is there; whoever else asks waits.

        Args:
            request: its address tells pages apart.
            make: makes it, in a thread of its own.

        Raises:
            EvenhandError: what making it raised.
        """
        key = request.path_qs
        making = self._under_way.get(key)
        if making is None or making.is_stale:
            making = self._under_way[key] = _Making(make, self._turn)
        if request.headers.get("Sec-Fetch-Mode") == "navigate":
            await asyncio.wait({making.task}, timeout=_AT_ONCE_S)
            if not making.task.done():
                return making.waiting()
        try:
            return await asyncio.shield(making.task)
        finally:
            if making.task.done() and self._under_way.get(key) is making:
                del self._under_way[key]

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        for making in self._under_way.values():
            making.task.cancel()

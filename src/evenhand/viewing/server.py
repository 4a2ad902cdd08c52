"""The server of the page over a folder: reads studies, and writes nothing but labels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from aiohttp import web

from evenhand import pages
from evenhand.errors import DataError
from evenhand.labelling import server as labelling
from evenhand.labelling.session import Session
from evenhand.study import Store
from evenhand.viewing.waiting import Makings
from evenhand.viewing.watching import Folder

_PAGE = Path(__file__).parent / "page"
_ASSETS = {"page.js": "text/javascript", "page.css": "text/css"}
# A report brings its own policy, which lets just its own scripts run.
_OF_REPORTS = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'none'"


class Viewer:
    """What the page asks for.

    Args:
        folder: the studies.
        annotator: who labels.
    """

    def __init__(self, folder: Folder, annotator: str = "") -> None:
        self._folder = folder
        self._annotator = annotator
        self._labelled: tuple[str, Store, Session] | None = None
        # One look at a time, and one page beside it: each takes a processor for a while.
        self._looking = asyncio.Lock()
        self._makings = Makings()
        self._opening = asyncio.Lock()
        self._closer: asyncio.Task[None] | None = None

    def application(self, token: str, port: int) -> web.Application:
        """The pages, under a token.

        Args:
            token: first part of every path.
            port: where they are served.
        """
        app = web.Application(middlewares=[pages.guarded(token, port)], client_max_size=labelling.MAX_BODY)
        app.add_routes(
            [
                web.get("/{token}/", self._index),
                web.get("/{token}/{asset:page\\.(?:js|css)}", _asset),
                web.get("/{token}/studies", self._studies),
                web.get("/{token}/study/{study}/", self._report),
                web.get("/{token}/side", self._side),
                *labelling.routes("/{token}/label/{study}", self._session),
            ]
        )
        app.on_cleanup.append(self._close)
        return app

    async def _index(self, _: web.Request) -> web.Response:
        async with self._opening:
            self._let_go()
        return web.Response(body=(_PAGE / "page.html").read_bytes(), content_type="text/html", charset="utf-8")

    async def _studies(self, _: web.Request) -> web.Response:
        async with self._looking:
            found = await asyncio.to_thread(self._folder.studies)
        if self._folder.leaves_some and (self._closer is None or self._closer.done()):
            self._closer = asyncio.create_task(asyncio.to_thread(self._folder.look_closer))
        told = {"folder": str(self._folder.root), "studies": found}
        return web.Response(body=orjson.dumps(told), content_type="application/json")

    async def _report(self, request: web.Request) -> web.Response:
        return _html(await self._makings.page(request, partial(self._folder.report, request.match_info["study"])))

    async def _side(self, request: web.Request) -> web.Response:
        keys = [key for key in request.query.get("ids", "").split(",") if key]
        return _html(await self._makings.page(request, partial(self._folder.side_by_side, keys)))

    async def _session(self, request: web.Request) -> Session:
        """The labelling session of a study; one study at a time is held for writing.

        Raises:
            StoreError: a run is writing to it.
            DataError: there is no such study, or nothing to label.
        """
        key = request.match_info["study"]
        async with self._opening:
            if self._labelled is None or self._labelled[0] != key:
                self._let_go()
                # Drawing from millions of answers takes a while.
                self._labelled = (key, *await asyncio.to_thread(self._opened, key))
                self._folder.labelled = key
            return self._labelled[2]

    def _opened(self, key: str) -> tuple[Store, Session]:
        store = Store.create(self._folder.path(key))
        try:
            return store, Session(store, self._annotator)
        except BaseException:
            store.close()
            raise

    def _let_go(self) -> None:
        """Let others write to the study that was labelled."""
        if self._labelled is not None:
            self._labelled[1].close()
            self._labelled = self._folder.labelled = None

    async def _close(self, _: web.Application) -> None:
        await self._makings.aclose()
        self._let_go()


def serve(root: Path, port: int = 0, *, annotator: str, tell: Callable[[str], None], browser: bool = True) -> None:
    """Serve the page over a folder until Ctrl-C.

    Args:
        root: the folder.
        port: where; 0 takes a free one.
        annotator: who labels.
        tell: is given the address.
        browser: whether to open it.

    Raises:
        DataError: there is no such folder, or no study in it, or the port is taken.
    """
    folder = Folder(root)
    if folder.is_empty:  # looking at what is there takes a while
        raise DataError(f"There is no study in {root}.", "Give a folder that 'evenhand run' wrote to.")
    viewer = Viewer(folder, annotator)
    pages.serve(viewer.application, port, what="Look at the studies", tell=tell, browser=browser)


def _html(page: str) -> web.Response:
    return web.Response(text=page, content_type="text/html", headers={pages.POLICY: _OF_REPORTS})


async def _asset(request: web.Request) -> web.Response:
    name = request.match_info["asset"]
    return web.Response(body=(_PAGE / name).read_bytes(), content_type=_ASSETS[name], charset="utf-8")

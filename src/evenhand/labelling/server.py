"""The labelling page's server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from evenhand import pages
from evenhand.errors import DataError
from evenhand.labelling.session import Session

_PAGE = Path(__file__).parent / "page"
MAX_BODY = 4096
_ASSETS = {"page.js": "text/javascript", "page.css": "text/css"}


def application(session: Session, token: str, port: int) -> web.Application:
    """The page and what it asks for.

    Args:
        session: the annotator's.
        token: first part of every path.
        port: where it is served: requests that name another host are refused.
    """
    app = web.Application(middlewares=[pages.guarded(token, port)], client_max_size=MAX_BODY)

    async def session_of(_: web.Request) -> Session:
        return session

    app.add_routes(routes("/{token}", session_of))
    return app


def routes(prefix: str, session_of: Callable[[web.Request], Awaitable[Session]]) -> list[web.RouteDef]:
    """Where the page is, and what it asks for.

    Args:
        prefix: of every path.
        session_of: whose session a request is about.
    """

    def told(handler: Callable[[Session, web.Request], Awaitable[web.Response]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(await session_of(request), request)

        return handle

    return [
        web.get(f"{prefix}/", _page),
        web.get(f"{prefix}/{{asset:page\\.(?:js|css)}}", _asset),
        web.get(f"{prefix}/state", told(_state)),
        web.post(f"{prefix}/label", told(_label)),
        web.post(f"{prefix}/undo", told(_undo)),
    ]


def serve(session: Session, port: int = 0, *, tell: Callable[[str], None], browser: bool = True) -> None:
    """Serve the page until Ctrl-C.

    Args:
        session: the annotator's.
        port: where; 0 takes a free one.
        tell: is given the address.
        browser: whether to open it.

    Raises:
        DataError: the port is taken.
    """
    pages.serve(partial(application, session), port, what="Label", tell=tell, browser=browser)


async def _page(_: web.Request) -> web.Response:
    return web.Response(body=(_PAGE / "page.html").read_bytes(), content_type="text/html", charset="utf-8")


async def _asset(request: web.Request) -> web.Response:
    name = request.match_info["asset"]
    return web.Response(body=(_PAGE / name).read_bytes(), content_type=_ASSETS[name], charset="utf-8")


async def _state(session: Session, request: web.Request) -> web.Response:
    """The response at a position; without one, the first that has no label yet."""
    at = request.query.get("at", "")
    return _view(session, int(at) if at.isascii() and at.isdigit() and len(at) < 10 else session.next_open())


async def _label(session: Session, request: web.Request) -> web.Response:
    said = await _body(request)
    position, label = said.get("position"), said.get("label")
    if type(position) is not int or not isinstance(label, str):
        raise DataError("A label needs a position and a word.")
    session.say(position, label)
    return _view(session, session.next_open(position), finished_at=position)


async def _undo(session: Session, request: web.Request) -> web.Response:
    await _body(request)
    position = session.undo()
    return _view(session, session.next_open() if position is None else position)


async def _body(request: web.Request) -> dict[str, object]:
    try:
        found = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise DataError("The request is no JSON object.")
    return found


def _view(session: Session, position: int | None, finished_at: int | None = None) -> web.Response:
    """One response; when all have a label, the last one looked at."""
    last = len(session.queue) - 1
    at = position if position is not None else finished_at if finished_at is not None else last
    return web.Response(body=orjson.dumps(session.view(min(at, last))), content_type="application/json")

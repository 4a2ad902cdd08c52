"""The labelling page's server: this machine only, and nobody but the page it serves."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from evenhand.errors import DataError, EvenhandError
from evenhand.labelling.session import Session
from evenhand.serving import LOOPBACK, listen, new_token, same_secret

_PAGE = Path(__file__).parent / "page"
_MAX_BODY = 4096
_ASSETS = {"page.js": "text/javascript", "page.css": "text/css"}
_HEADERS = {
    # The responses are hostile: nothing but the two files beside the page is loaded, and it is put in no frame.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def application(session: Session, token: str, port: int) -> web.Application:
    """The page and what it asks for.

    Args:
        session: the annotator's.
        token: first part of every path.
        port: where it is served: requests that name another host are refused.
    """
    app = web.Application(middlewares=[_guard(token, f"{LOOPBACK}:{port}")], client_max_size=_MAX_BODY)
    app.add_routes(
        [
            web.get("/{token}/", _page),
            web.get("/{token}/{asset:page\\.(?:js|css)}", _asset),
            web.get("/{token}/state", partial(_state, session)),
            web.post("/{token}/label", partial(_label, session)),
            web.post("/{token}/undo", partial(_undo, session)),
        ]
    )
    return app


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
    listening = listen(port)
    token = new_token()
    address = f"http://{LOOPBACK}:{listening.getsockname()[1]}/{token}/"
    tell(f"Label in a browser on this machine (the address is secret; Ctrl-C ends): {address}")
    if browser:
        webbrowser.open(address)
    app = application(session, token, listening.getsockname()[1])
    web.run_app(app, sock=listening, print=None, access_log=None, shutdown_timeout=1)


def _guard(token: str, host: str) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_ours(request, token, host):
            response: web.StreamResponse = web.Response(status=403, text="Open the address that evenhand printed.\n")
        else:
            try:
                response = await handler(request)
            except EvenhandError as error:
                response = web.json_response({"error": str(error)}, status=400)
        response.headers.update(_HEADERS)
        return response

    return guard


def _is_ours(request: web.Request, token: str, host: str) -> bool:
    """Whether a request comes from this machine, and from our page.

    Another site's page can send requests here, and by a name of its own that leads to this machine even read replies:
    it knows no token, its requests carry its own origin, and name its own host.
    """
    given = request.match_info.get("token", "")
    if not same_secret(given, token) or request.headers.get("Host") != host:
        return False
    if request.remote is None or not ip_address(request.remote).is_loopback:
        return False
    if request.method == "GET":
        return request.headers.get("Origin", f"http://{host}") == f"http://{host}"
    return request.headers.get("Origin") == f"http://{host}" and request.content_type == "application/json"


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

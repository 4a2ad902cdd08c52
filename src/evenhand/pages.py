"""Pages for one person on this machine: a secret address, no other host, no other origin."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from evenhand.errors import EvenhandError
from evenhand.serving import LOOPBACK, listen, new_token, same_secret

POLICY = "Content-Security-Policy"
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What is shown is hostile: nothing but the files beside the page is loaded, and it is put in no frame.
_STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def serve(
    make: Callable[[str, int], web.Application],
    port: int,
    *,
    what: str,
    tell: Callable[[str], None],
    browser: bool = True,
) -> None:
    """Serve an application until Ctrl-C.

    Args:
        make: makes it of the token, which every path begins with, and the port.
        port: where; 0 takes a free one.
        what: what the address is for, as the beginning of the line that tells it.
        tell: is given that line.
        browser: whether to open it.

    Raises:
        DataError: the port is taken.
    """
    listening = listen(port)
    token, taken = new_token(), listening.getsockname()[1]
    address = f"http://{LOOPBACK}:{taken}/{token}/"
    tell(f"{what} in a browser on this machine (the address is secret; Ctrl-C ends): {address}")
    if browser:
        webbrowser.open(address)
    web.run_app(make(token, taken), sock=listening, print=None, access_log=None, shutdown_timeout=1)


def guarded(token: str, port: int) -> Middleware:
    """Refuses what does not come from this machine and our page, and gives every reply its headers.

    Args:
        token: first part of every path, in the placeholder ``token``.
        port: where it is served: requests that name another host are refused.
    """
    host = f"{LOOPBACK}:{port}"

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
        response.headers.setdefault(POLICY, _STRICT)
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

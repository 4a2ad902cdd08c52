"""The proxy: OpenAI's chat completions with a mitigation in front of whatever answers them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from evenhand import __version__
from evenhand.deploy.backends import SSE, Backend, Reply
from evenhand.deploy.reading import read_body, read_phrases
from evenhand.deploy.shapes import RefusedError
from evenhand.deploy.upstream import OWN
from evenhand.errors import EvenhandError
from evenhand.loops import new_event_loop
from evenhand.mitigations.cues import known_phrases
from evenhand.serving import is_loopback, same_secret

TOKEN_HEADER = "X-Evenhand-Token"  # noqa: S105 - its name, no token
TOLD_HEADER = "X-Evenhand-Told"
_GRACE_S = 30.0
_NOT_SERVED = "This proxy serves POST /v1/chat/completions and GET /v1/models; nothing else would be mitigated."


@dataclass(frozen=True)
class Front:
    """How the proxy behaves.

    Attributes:
        mitigation: what to call the mitigation before clients.
        fingerprint: of what it does.
        token: what clients must send; without one, requests that name another host than this machine are refused.
        max_body: bytes of a request at most.
        most_at_once: requests that are read or answered at once; others are told to come back.
        timeout_s: until a client that does not send or take the next piece is given up.
        showed: what is known of the mitigation, for ``/healthz``.
    """

    mitigation: str
    fingerprint: str
    token: str = ""
    max_body: int = 16 << 20
    most_at_once: int = 256
    timeout_s: float = 120.0
    showed: tuple[str, ...] = ()


# What the log will say of the request that is answered.
_NOTED: ContextVar[dict[str, Any]] = ContextVar("noted")


class _ClientGoneError(Exception):
    """Nobody reads the answer any more."""


class Proxy:
    """The application.

    Args:
        backend: what answers.
        front: how it behaves.
        log: is told one line for each request: counts, no contents.
        ready: is called when what stands behind it can answer.
    """

    def __init__(
        self, backend: Backend, front: Front, log: Callable[[str], None], ready: Callable[[], None] = lambda: None
    ) -> None:
        self._backend, self._front, self._log, self._ready = backend, front, log, ready
        self._open = 0
        self._counts: Counter[str] = Counter()

    def application(self) -> web.Application:
        """What aiohttp serves."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._front.max_body)
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{name:.+}", self._models),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        app.cleanup_ctx.append(self._running)
        return app

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        try:
            await self._backend.start()
            self._ready()
            yield
        finally:
            await self._backend.aclose()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may ask is let in; whatever goes wrong leaves in OpenAI's form; a line is logged."""
        started = time.perf_counter()
        noted: dict[str, Any] = {}
        _NOTED.set(noted)
        status = 499  # the client left
        try:
            response = await self._answered(request, handler)
            status = response.status
            return response
        except _ClientGoneError:
            return web.Response(status=499)
        finally:
            self._counts["requests"] += 1
            self._counts["failed"] += status >= 400
            self._log(_line(request, status, time.perf_counter() - started, noted))

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_door(request)
            return await handler(request)
        except RefusedError as refusal:
            return self._refused(refusal)
        except web.HTTPRequestEntityTooLarge:
            mib = self._front.max_body / (1 << 20)
            return self._refused(RefusedError(413, f"The body is longer than {mib:g} MiB.", "body_too_large"))
        except web.HTTPMethodNotAllowed as error:
            allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
            return self._refused(RefusedError(405, _NOT_SERVED, "method_not_allowed", headers=allowed))
        except web.HTTPNotFound:
            return self._refused(RefusedError(404, _NOT_SERVED, "not_found"))
        except EvenhandError as error:
            return self._refused(RefusedError(502, str(error), "model_failed"))
        except (asyncio.CancelledError, _ClientGoneError, web.HTTPException):
            raise
        except Exception as error:
            # Its text may quote a conversation, so that neither the log nor the client is told it.
            _NOTED.get()["fault"] = type(error).__name__
            return self._refused(RefusedError(500, f"A fault of this proxy: {type(error).__name__}.", "internal_error"))

    def _check_door(self, request: web.Request) -> None:
        """Refuse who has no token, and names of other sites that were made to lead here.

        Raises:
            RefusedError: the request is not let in.
        """
        if self._front.token and not (self._own_key(request) or self._has_token(request)):
            raise RefusedError(
                401, f"This proxy asks for its token, as the API key or in {TOKEN_HEADER}.", "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        if not self._front.token and not is_loopback(_host(request)):
            raise RefusedError(403, "This proxy serves this machine alone; address it as 127.0.0.1.", "wrong_host")

    def _has_token(self, request: web.Request) -> bool:
        return same_secret(request.headers.get(TOKEN_HEADER, ""), self._front.token)

    def _own_key(self, request: web.Request) -> bool:
        """Whether the client's API key is this proxy's token."""
        kind, _, key = request.headers.get("Authorization", "").partition(" ")
        return bool(self._front.token) and kind.lower() == "bearer" and same_secret(key.strip(), self._front.token)

    def _refused(self, refusal: RefusedError) -> web.Response:
        headers = {**refusal.headers, **self._headers}
        return web.Response(body=refusal.body, status=refusal.status, headers=headers, content_type="application/json")

    @property
    def _headers(self) -> dict[str, str]:
        front = self._front
        return {f"{OWN}mitigation": front.mitigation, f"{OWN}version": f"{__version__}+{front.fingerprint}"}

    async def _health(self, _: web.Request) -> web.Response:
        front = self._front
        found = {
            "status": "ok",
            "evenhand": __version__,
            "mitigation": front.mitigation,
            "fingerprint": front.fingerprint,
            "showed": list(front.showed),
            "open": self._open,
            "requests": self._counts["requests"],
            "failed": self._counts["failed"],
        }
        return web.Response(body=orjson.dumps(found), content_type="application/json", headers=self._headers)

    async def _models(self, request: web.Request) -> web.Response:
        headers = self._backend.headers(request.headers, own_key=self._own_key(request))
        path = "/".join(part for part in ("models", request.match_info.get("name", "")) if part)
        raw = await self._backend.models(path, headers)
        return web.Response(body=raw, content_type="application/json", headers=self._headers)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._open >= self._front.most_at_once:
            raise RefusedError(
                503, "Too many requests are open; try again.", "overloaded", headers={"Retry-After": "1"}
            )
        if request.content_type != "application/json":
            # Browsers send other types for any page, and ask before they send this one.
            raise RefusedError(415, "Send Content-Type: application/json.", "wrong_content_type")
        self._open += 1
        try:
            return await self._answer(request)
        finally:
            self._open -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._front.timeout_s):
                raw = await request.read()
        except TimeoutError:
            raise RefusedError(408, "The body did not come in time.", "timeout") from None
        body = read_body(raw)
        headers = self._backend.headers(request.headers, own_key=self._own_key(request))
        with known_phrases(read_phrases(request.headers.get(TOLD_HEADER))):
            async with self._backend.answering(body, raw, headers) as reply:
                _NOTED.get().update(_counts(body, reply))
                return await self._send(request, reply)

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        headers = {
            **reply.headers,
            **self._headers,
            f"{OWN}acted": "yes" if reply.acted else "no",
            f"{OWN}calls": str(reply.calls),
        }
        if reply.content_type != SSE:
            raw = b"".join([piece async for piece in reply.pieces])
            return web.Response(body=raw, content_type=reply.content_type, headers=headers)
        response = web.StreamResponse(headers={**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        response.content_type = reply.content_type
        await self._within(response.prepare(request))
        try:
            async for piece in reply.pieces:
                await self._within(response.write(piece))
        except _ClientGoneError:
            raise
        except Exception as error:
            # The status is sent; a stream that just ended would be taken for a whole answer.
            self._counts["failed"] += 1
            _NOTED.get()["fault"] = f"stream broke: {type(error).__name__}"
            refusal = RefusedError(502, f"The endpoint's stream broke: {type(error).__name__}.", "upstream_connection")
            await self._within(response.write(b"\n\ndata: " + refusal.body + b"\n\n"))
        await self._within(response.write_eof())
        return response

    async def _within(self, sending: Any) -> None:
        """Send a piece; who takes none in time, or has left, is given up.

        Raises:
            _ClientGoneError: it was not taken.
        """
        try:
            async with asyncio.timeout(self._front.timeout_s):
                await sending
        except (TimeoutError, ConnectionError):
            raise _ClientGoneError from None


def serve(proxy: Proxy, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished, for half a minute at most.

    Raises:
        ModelError: what stands behind it cannot be used.
    """
    web.run_app(
        proxy.application(), sock=listening, print=None, access_log=None, shutdown_timeout=_GRACE_S,
        handler_cancellation=True, loop=new_event_loop(),
    )  # fmt: skip


def _host(request: web.Request) -> str:
    """The host that a request names, without its port; "" for none that could be one."""
    try:
        return URL(f"http://{request.host}").host or ""
    except ValueError:
        return ""


def _counts(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """What is logged of an answer."""
    found: dict[str, Any] = {
        "messages": len(body["messages"]),
        "acted": "yes" if reply.acted else "no",
        "calls": reply.calls,
    }
    for name in ("prompt_tokens", "completion_tokens"):
        if reply.usage and type(count := reply.usage.get(name)) is int:
            found[name] = count
    return found


def _line(request: web.Request, status: int, seconds: float, noted: Mapping[str, Any]) -> str:
    """A request in the log: no path that a client made up, no contents, no keys."""
    resource = request.match_info.route.resource
    where = resource.canonical if resource is not None else "?"
    counts = " ".join(f"{name}={value}" for name, value in noted.items())
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {request.method} {where} {status} {seconds:.3f}s {counts}".rstrip()

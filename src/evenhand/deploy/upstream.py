"""The endpoint behind the proxy: what is sent to it, and what its failures mean to a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from yarl import URL

from evenhand.deploy.shapes import RefusedError
from evenhand.errors import EvenhandError, ModelError, one_line
from evenhand.models.addresses import Proxies, below, checked_address, from_environment, redirection, variables_of
from evenhand.models.http import (
    CONNECT_S,
    MAX_BODY,
    RetryableError,
    blanked,
    decoded,
    new_session,
    read_limited,
    secret_words,
    unreachable,
)

# Of one connection, not of what it carries; and what the proxy sets itself, or keeps.
_NOT_PASSED_ON = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect",
    "forwarded", "host", "keep-alive", "origin", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "referer", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_PASSED_BACK = ("x-ratelimit-", "openai-", "retry-after", "x-request-id", "request-id")
_KEYS = ("authorization", "api-key", "x-api-key")
OWN = "x-evenhand-"


class Upstream:
    """An OpenAI-compatible API.

    Args:
        base_url: its root, as in "http://localhost:8000/v1"; ``?key=$NAME`` in it names a variable.
        api_key_env: the environment's variable whose key is sent in place of the client's; None sends the client's.
        timeout_s: until an answer, or the next piece of a stream, is given up.
        concurrency: connections at once.

    Raises:
        SpecError: the address is none, or holds a secret.
    """

    def __init__(self, base_url: str, *, api_key_env: str | None, timeout_s: float, concurrency: int) -> None:
        self.base_url: str = checked_address(base_url.rstrip("/"), "--base-url", "http://HOST:PORT/v1", variables=True)
        self.timeout_s = timeout_s
        self._api_key_env, self._concurrency = api_key_env, concurrency
        self._root = URL()
        self._own: dict[str, str] = {}
        self._hidden: tuple[str, ...] = ()
        self._proxies = Proxies()
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Connect; in the event loop that will make the calls.

        Raises:
            ModelError: a variable of the environment is not set.
        """
        if self._api_key_env is not None:
            key = from_environment(f"${{{self._api_key_env}}}", "--api-key-env")
            if not key:
                raise ModelError(f"The environment variable {self._api_key_env} is empty.", "Export the key.")
            self._own = {"Authorization": f"Bearer {key}"}
        self._root = URL(from_environment(self.base_url, "--base-url"))
        self._hidden = tuple(variables_of(self.base_url))
        self._session = new_session(self.timeout_s, self._concurrency)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def headers(self, given: Mapping[str, str], *, own_key: bool = False) -> dict[str, str]:
        """The headers to send on.

        Args:
            given: the client's.
            own_key: whether the client's Authorization opened this proxy's door, and is nobody else's business.
        """
        named = {name.strip().lower() for name in given.get("Connection", "").split(",")}
        passed = {
            name: value
            for name, value in given.items()
            if (lower := name.lower()) not in _NOT_PASSED_ON and lower not in named and not lower.startswith(OWN)
        }
        if self._own or own_key:
            passed = {name: value for name, value in passed.items() if name.lower() not in _KEYS}
        return {**passed, **self._own, "Content-Type": "application/json"}

    @asynccontextmanager
    async def asking(
        self, method: str, path: str, headers: Mapping[str, str], payload: bytes | None = None, *, stream: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and give its reply to be read.

        Args:
            method: of HTTP.
            path: below the root of the API.
            headers: of :meth:`headers`.
            payload: the body.
            stream: whether the reply comes in pieces, each of which has the whole time.

        Raises:
            RefusedError: there is no answer; what the server said is handed on, keys blanked.
        """
        assert self._session is not None, "open() was not called"
        url = below(self._root, path)
        hidden = self._secrets(headers)
        try:
            way = self._proxies.way(url).arguments(url, headers)
            limit = aiohttp.ClientTimeout(
                total=None if stream else self.timeout_s, sock_connect=CONNECT_S, sock_read=self.timeout_s
            )
            async with self._session.request(
                method, url, data=payload, allow_redirects=False, timeout=limit, **way
            ) as reply:
                if reply.status >= 300:
                    raise await self._failed(url, reply, hidden)
                yield reply
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            found = unreachable(url.origin(), error)
            raise RefusedError(502, f"{found.problem} {found.fix}", "upstream_unreachable") from None
        except TimeoutError:
            raise RefusedError(
                504, f"The endpoint did not answer within {self.timeout_s:g} s.", "upstream_timeout"
            ) from None
        except aiohttp.ClientError as error:
            said = blanked(one_line(str(error)).encode(), hidden).decode()
            raise RefusedError(
                502, f"The connection to the endpoint broke: {type(error).__name__}: {said}", "upstream_connection"
            ) from None
        except RetryableError as error:
            raise RefusedError(502, f"The endpoint's answer cannot be used: {error}.", "upstream_malformed") from None
        except EvenhandError as error:
            raise RefusedError(502, str(error), "upstream_unreachable") from None

    async def ask(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
        """One call of chat completions, whole.

        Raises:
            RefusedError: there is no answer, or none that can be read.
        """
        async with self.asking("POST", "chat/completions", headers, orjson.dumps(body)) as reply:
            return read_object(await read_limited(reply, MAX_BODY))

    async def _failed(self, url: URL, reply: aiohttp.ClientResponse, hidden: Iterable[bytes]) -> RefusedError:
        """What a status that is no success means to the client."""
        if reply.status < 400:
            error = redirection(url.origin(), reply.headers.get("Location", ""))
            return RefusedError(502, str(error), "upstream_redirects")
        return EndpointError(
            reply.status, blanked(await read_limited(reply, MAX_BODY), hidden), passed_back(reply.headers)
        )

    def _secrets(self, headers: Mapping[str, str]) -> tuple[bytes, ...]:
        """Keys that a server may quote."""
        keys = (value for name, value in headers.items() if name.lower() in _KEYS)
        return secret_words([*keys, *self._hidden])


class EndpointError(RefusedError):
    """An error of the endpoint, as it said it; in OpenAI's form where it was in none."""

    def __init__(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        said = one_line(raw[:2000].decode(errors="replace")) or "no reason given"
        super().__init__(status, f"The endpoint says: {said}", "upstream_error", headers=headers)
        self.raw = raw

    @property
    def body(self) -> bytes:
        try:
            found = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            return super().body
        return self.raw if isinstance(found, dict) else super().body


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that an answer is.

    Raises:
        RetryableError: it is none.
    """
    found = decoded(raw)
    if not isinstance(found, dict):
        raise RetryableError("it is not a JSON object")
    return found


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an endpoint's headers the client is to know."""
    return {name: value for name, value in headers.items() if name.lower().startswith(_PASSED_BACK)}

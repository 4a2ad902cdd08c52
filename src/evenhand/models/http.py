"""Requests over HTTP with retries, backoff and rate limits; what every model behind a server is built on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
import orjson
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential
from yarl import URL

from evenhand.errors import ModelError, one_line
from evenhand.models.addresses import VARIABLE, Proxies, from_environment, handshake_problem, redirection, trusted
from evenhand.models.base import CallError, Model, ModelOptions
from evenhand.models.complaints import complaint_of
from evenhand.types import whole_characters

T = TypeVar("T")

_RETRY_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
FATAL_STATUS = {401, 403, 404}
MAX_BODY = 8 * 1024 * 1024
_MAX_FILE = 1024 * 1024 * 1024
_MAX_RETRY_AFTER_S = 120.0
_SHORTEST_SECRET = 6


# A server that never answered, and where nothing listens now, is not worth more; it may just be starting.
_FIRST_ATTEMPTS = 3
CONNECT_S = 10.0


class RetryableError(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class UnreachableError(RetryableError):
    """Nothing was sent, because there is no connection.

    Args:
        problem: what was tried, and what came of it.
        fix: what to check.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem[0].lower()}{problem[1:]}")
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer with a status that another attempt would not change."""

    status: int
    raw: bytes


class Attempts:
    """When a call is made again, and how often calls are made at all; what every model behind a network goes by.

    Where nothing has answered yet and no connection can be made, it gives up after a few seconds.

    Args:
        options: attempts and rate limit.
    """

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.retries: int = 0
        self._limiter: AsyncLimiter | None = None
        self._secrets: tuple[bytes, ...] = ()
        self._reached = False
        self._backoff = wait_random_exponential(multiplier=1.0, max=60.0)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=self._gives_up,
            wait=self._wait,
            before_sleep=self._count_retry,
            reraise=True,
        )

    def begin(self, secrets: Iterable[str]) -> None:
        """To be called in the event loop that will make the calls.

        Args:
            secrets: keys, blanked in what the server says; a word in front of one ("Bearer") is not part of it.
        """
        if self.options.requests_per_minute is not None:
            self._limiter = AsyncLimiter(self.options.requests_per_minute, 60)
        self._secrets = secret_words(secrets)

    async def turn(self) -> None:
        """Wait until the rate limit allows one more call."""
        if self._limiter:
            await self._limiter.acquire()

    def reply(self, status: int, raw: bytes, retry_after: str | None) -> Reply:
        """What a server sent.

        Args:
            status: of HTTP.
            raw: the body.
            retry_after: that header's value.

        Raises:
            RetryableError: with a status that another attempt may not have.
        """
        raw = self.blanked(raw)
        if status in _RETRY_STATUS:
            raise RetryableError(f"HTTP {status}: {error_message(raw)}", _retry_after(retry_after))
        return Reply(status, raw)

    def blanked(self, raw: bytes) -> bytes:
        """``raw`` without the keys that it quotes."""
        return blanked(raw, self._secrets)

    async def retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make attempts until one succeeds.

        Raises:
            CallError: all of them failed.
            ModelError: there is no server.
        """
        first: RetryableError | None = None
        try:
            return await attempt()  # nearly always enough; the machinery below costs more than the call
        except RetryableError as error:
            first = error

        async def again() -> T:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            return await attempt()

        try:
            # A copy per call: the object keeps the state of the call it retries.
            return await self._retrying.copy()(again)
        except RetryableError as error:
            if isinstance(error, UnreachableError) and not self._reached:
                raise ModelError(error.problem, error.fix) from None
            raise CallError(f"{error} ({self.options.max_attempts} attempts)") from None

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        floor = error.retry_after_s if isinstance(error, RetryableError) else 0.0
        return max(floor, self._backoff(state))

    def _gives_up(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        hopeless = isinstance(error, UnreachableError) and not self._reached
        most = min(_FIRST_ATTEMPTS, self.options.max_attempts) if hopeless else self.options.max_attempts
        return state.attempt_number >= most

    def _count_retry(self, state: RetryCallState) -> None:
        self.retries += 1


class HttpClient(Attempts):
    """Sends requests. 429, 5xx, timeouts and broken connections are tried again; ``Retry-After`` is obeyed.

    Args:
        options: timeout, attempts and rate limit.
        concurrency: connections at once.
    """

    def __init__(self, options: ModelOptions, concurrency: int) -> None:
        super().__init__(options)
        self.concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None
        self._headers: dict[str, str] = {}
        self._proxies = Proxies()
        self._answered = False

    def open(
        self, secret: Mapping[str, str], public: Mapping[str, str] | None = None, *, hidden: Iterable[str] = ()
    ) -> None:
        """Make the session; to be called in the event loop that will use it.

        Args:
            secret: headers whose values are blanked in what the server says.
            public: other headers.
            hidden: what else is blanked, such as keys in addresses.
        """
        self.begin([*secret.values(), *hidden])
        # Not the session's: aiohttp sends those to a proxy, too, the key among them.
        self._headers = {**(public or {}), **secret}
        self._session = new_session(self.options.timeout_s, self.concurrency)

    async def aclose(self) -> None:
        """Close the session."""
        if self._session:
            await self._session.close()
            self._session = None

    async def post(self, url: str | URL, payload: bytes | aiohttp.FormData) -> Reply:
        """Send JSON, or a form. One attempt.

        Raises:
            RetryableError: another attempt may succeed.
        """
        headers = {"Content-Type": "application/json"} if isinstance(payload, bytes) else None
        return await self._attempt("POST", url, data=payload, headers=headers)

    async def get(self, url: str | URL) -> Reply:
        """Fetch. One attempt.

        Raises:
            RetryableError: another attempt may succeed.
        """
        return await self._attempt("GET", url, most=_MAX_FILE)

    async def _attempt(self, method: str, url: str | URL, most: int | None = None, **sent: Any) -> Reply:
        assert self._session is not None, "open() was not called"
        url = URL(url)
        sent |= self._proxies.way(url).arguments(url, {**self._headers, **(sent.get("headers") or {})})
        await self.turn()
        try:
            async with self._session.request(method, url, allow_redirects=False, **sent) as reply:
                self._reached = True
                if 300 <= reply.status < 400:
                    raise self._redirected(url, reply.headers.get("Location", ""))
                raw = await read_limited(reply, most or MAX_BODY)
                self._answered = self._answered or reply.status == 200
                return self.reply(reply.status, raw, reply.headers.get("Retry-After"))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise unreachable(url.origin(), error) from None
        except TimeoutError:
            raise RetryableError(f"no answer within {self.options.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            said = self.blanked(one_line(str(error)).encode()).decode()
            raise RetryableError(f"connection: {type(error).__name__}: {said}") from None

    def _redirected(self, url: URL, location: str) -> Exception:
        """What a redirection means: a wrong address at first, a fault of the server once it has answered."""
        error = redirection(url.origin(), location)
        return RetryableError(error.problem) if self._answered else error


def new_session(timeout_s: float, concurrency: int, **more: Any) -> aiohttp.ClientSession:
    """A session that keeps no cookies and reads nothing of the environment.

    Args:
        timeout_s: of a whole attempt.
        concurrency: connections at once.
        more: passed on to aiohttp.
    """
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
        connector=aiohttp.TCPConnector(limit=concurrency, ttl_dns_cache=300, ssl=trusted()),
        cookie_jar=aiohttp.DummyCookieJar(),
        # With it aiohttp would send what a .netrc holds to whom it names, and look for a proxy for every request.
        trust_env=False,
        **more,
    )


class ServedModel(Model):
    """A model behind a server.

    Args:
        options: how to reach it.
    """

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.concurrency: int = options.concurrency or 64
        self._client = HttpClient(options, self.concurrency)

    @property
    def retries(self) -> int:  # type: ignore[override]
        """Attempts beyond the first so far."""
        return self._client.retries

    async def aclose(self) -> None:
        await self._client.aclose()


def decoded(raw: bytes) -> object:
    """The JSON of a body.

    Raises:
        RetryableError: it is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        # Servers that cut a text between the halves of a character send half of it, and some send what is no UTF-8:
        # an answer that was paid for, with a mark in place of what cannot be read.
        text = json.dumps(json.loads(raw.decode(errors="replace")), ensure_ascii=False)
        return orjson.loads(whole_characters(text))
    except (ValueError, RecursionError):
        raise RetryableError("the answer is not valid JSON") from None


def secret_words(values: Iterable[str]) -> tuple[bytes, ...]:
    """What is to be blanked of headers and addresses; a word in front of a key ("Bearer") is not part of it.

    A server that quotes what it was sent must not bring a key into anything that is kept or shown.
    """
    words = (value.split()[-1] for value in values if value.strip())
    return tuple(word.encode() for word in words if len(word) >= _SHORTEST_SECRET)


def blanked(raw: bytes, secrets: Iterable[bytes]) -> bytes:
    """Bytes without the keys that they quote."""
    for secret in secrets:
        raw = raw.replace(secret, b"[secret]")
    return raw


def error_message(raw: bytes) -> str:
    """What a server says went wrong, in one line."""
    return complaint_of(raw).message


def extra_headers(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers of a user's own: those that hold values of the environment, and the others.

    Raises:
        ModelError: an environment variable is not set.
    """
    secret, public = {}, {}
    for name, value in given.items():
        if VARIABLE.search(value):
            secret[name] = from_environment(value, f"the header {name}")
        else:
            public[name] = value
    return secret, public


def unreachable(origin: URL, error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> UnreachableError:
    """What it means that there is no connection."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return UnreachableError(
            f"The proxy on the way to {origin} does not answer.", "Check $HTTP_PROXY and $NO_PROXY."
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UnreachableError(f"There is no host {origin.host}.", "Check the address and the network.")
    if isinstance(error, aiohttp.ClientSSLError):
        return UnreachableError(*handshake_problem(origin, error))
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UnreachableError(f"{origin} does not take connections.", "Check the address; a firewall may be between.")
    return UnreachableError(f"Nothing listens at {origin}.", "Is the server running? Check host and port.")


async def read_limited(reply: aiohttp.ClientResponse, most: int) -> bytes:
    """A body, as it is when unpacked: its length in the header says nothing of that.

    Raises:
        RetryableError: it is longer than ``most`` bytes.
    """
    parts: list[bytes] = []
    size = 0
    while part := await reply.content.readany():
        parts.append(part)
        size += len(part)
        if size > most:
            raise RetryableError(f"the answer is longer than {most >> 20} MiB")
        if reply.content.at_eof():  # as nearly always behind the first part
            break
    return b"".join(parts)


def _retry_after(said: str | None) -> float:
    """Seconds to wait: a number or a date of HTTP, never in the past, never long."""
    try:
        seconds = float(said or 0)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said or "").timestamp() - time.time()
        except (ValueError, OverflowError, OSError):
            return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)

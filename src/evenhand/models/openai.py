"""Any OpenAI-compatible chat-completions server: OpenAI, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import aiohttp
import orjson
from aiolimiter import AsyncLimiter
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from evenhand.errors import ModelError, SpecError
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.types import Request, Response

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_RETRY_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_FATAL_STATUS = {401, 403, 404}
_MAX_BODY = 8 * 1024 * 1024
_MAX_RETRY_AFTER_S = 120.0
_TOP_LOGPROBS = 20


class _RetryableError(Exception):
    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class OpenAIModel(Model):
    """Chat completions over HTTP with retries, backoff and rate limits.

    429, 5xx, timeouts, broken connections and answers that are not what the API promises are retried;
    ``Retry-After`` is obeyed. 401, 403 and 404 stop the run, because no other call would fare better.
    """

    def __init__(self, name: str, options: ModelOptions) -> None:
        if not name:
            raise SpecError("The model 'openai:' has no name.", "Write openai:NAME, as in openai:gpt-4o-mini.")
        self.id = f"openai:{name}"
        self.name = name
        self.options = options
        self.concurrency = options.concurrency or 64
        self.base_url = (options.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
        if not self.base_url.startswith(("http://", "https://")):
            raise SpecError(f"--base-url '{self.base_url}' is not an http(s) address.", "Write http://HOST:PORT/v1.")
        self._limiter: AsyncLimiter | None = None
        self._session: aiohttp.ClientSession | None = None
        self._max_tokens_key = "max_tokens"
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(_RetryableError),
            stop=stop_after_attempt(options.max_attempts),
            wait=self._wait,
            before_sleep=self._count_retry,
            reraise=True,
        )
        self._backoff = wait_random_exponential(multiplier=1.0, max=60.0)

    async def start(self) -> None:
        key = os.environ.get(self.options.api_key_env)
        if not key and self.base_url == DEFAULT_BASE_URL:
            raise ModelError(
                f"No API key: the environment variable {self.options.api_key_env} is not set.",
                "Export it, or give --api-key-env or --base-url.",
            )
        if self.options.requests_per_minute is not None:  # made here because it belongs to the running event loop
            self._limiter = AsyncLimiter(self.options.requests_per_minute, 60)
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self.options.timeout_s),
            connector=aiohttp.TCPConnector(limit=self.concurrency, ttl_dns_cache=300),
            trust_env=True,
        )

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    def settings(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "timeout_s": self.options.timeout_s}

    async def respond(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            # A copy per call: the object keeps the state of the call it retries.
            body: dict[str, Any] = await self._retrying.copy()(self._call, request)
        except _RetryableError as error:
            raise CallError(f"{error} ({self.options.max_attempts} attempts)") from None
        return _response(body, request, time.perf_counter() - started)

    async def _call(self, request: Request) -> dict[str, Any]:
        assert self._session is not None, "start() was not awaited"
        if self._limiter:
            await self._limiter.acquire()
        payload, limit_key = orjson.dumps(self._payload(request)), self._max_tokens_key
        try:
            async with self._session.post(f"{self.base_url}/chat/completions", data=payload) as reply:
                raw = await _read_limited(reply)
                if reply.status != 200:
                    return await self._refused(reply, raw, request, limit_key)
        except TimeoutError:
            raise _RetryableError(f"no answer within {self.options.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise _RetryableError(f"connection: {type(error).__name__}: {_one_line(str(error))}") from None
        return _checked(raw)

    async def _refused(
        self, reply: aiohttp.ClientResponse, raw: bytes, request: Request, limit_key: str
    ) -> dict[str, Any]:
        message = f"HTTP {reply.status}: {_error_message(raw)}"
        if reply.status in _RETRY_STATUS:
            raise _RetryableError(message, _retry_after(reply))
        if reply.status in _FATAL_STATUS:
            raise ModelError(
                f"{self.base_url} refuses {self.id}: {message}.",
                f"Check the model's name, --base-url and the key in ${self.options.api_key_env}.",
            )
        if reply.status == 400 and limit_key == "max_tokens" and "max_completion_tokens" in message:
            # Newer OpenAI models know the limit by another name only.
            self._max_tokens_key = "max_completion_tokens"
            return await self._call(request)
        raise CallError(message)

    def _payload(self, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        payload: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": decoding.temperature,
            "seed": request.seed,
            self._max_tokens_key: decoding.max_tokens,
        }
        if request.choices:
            payload |= {
                "temperature": 0.0,
                "logprobs": True,
                "top_logprobs": _TOP_LOGPROBS,
                self._max_tokens_key: 1,
            }
            return payload
        if decoding.top_p < 1:
            payload["top_p"] = decoding.top_p
        if decoding.top_k > 0:
            payload["top_k"] = decoding.top_k
        if decoding.stop:
            payload["stop"] = list(decoding.stop)
        return payload

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        floor = error.retry_after_s if isinstance(error, _RetryableError) else 0.0
        return max(floor, self._backoff(state))

    def _count_retry(self, state: RetryCallState) -> None:
        self.retries += 1


async def _read_limited(reply: aiohttp.ClientResponse) -> bytes:
    body = await reply.content.read(_MAX_BODY)
    while not reply.content.at_eof():
        part = await reply.content.read(_MAX_BODY)
        body += part
        if len(body) > _MAX_BODY:
            raise _RetryableError(f"the answer is longer than {_MAX_BODY >> 20} MiB")
    return body


def _checked(raw: bytes) -> dict[str, Any]:
    """The body, once it is what the API promises: one choice with a message."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _RetryableError("the answer is not valid JSON") from None
    try:
        message = body["choices"][0]["message"]
        if not isinstance(message.get("content"), str | None):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _RetryableError("the answer has no choices[0].message") from None
    return dict(body)


def _response(body: dict[str, Any], request: Request, latency_s: float) -> Response:
    choice = body["choices"][0]
    reported = body.get("usage")
    usage = reported if isinstance(reported, dict) else {}
    fingerprint = body.get("system_fingerprint")
    text = choice["message"].get("content") or choice["message"].get("refusal") or ""
    return Response(
        text="" if request.choices else text,
        finish_reason=str(choice.get("finish_reason") or "stop"),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        latency_s=latency_s,
        choice_logprobs=_choice_logprobs(choice, request.choices) if request.choices else None,
        model=f"{body.get('model', '')}{f' ({fingerprint})' if fingerprint else ''}",
    )


def _choice_logprobs(choice: dict[str, Any], labels: tuple[str, ...]) -> tuple[float | None, ...]:
    """Log-probability per label, summed over the tokens that spell it ("A", " A", "(A")."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        pairs = [(str(t["token"]).strip(" (*\n").lower(), float(t["logprob"])) for t in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return (None,) * len(labels)
    masses = [sum(math.exp(lp) for token, lp in pairs if token == label.lower()) for label in labels]
    return tuple(math.log(mass) if mass > 0 else None for mass in masses)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _retry_after(reply: aiohttp.ClientResponse) -> float:
    try:
        return min(max(float(reply.headers.get("Retry-After", 0)), 0.0), _MAX_RETRY_AFTER_S)
    except ValueError:
        return 0.0


def _error_message(raw: bytes) -> str:
    try:
        error = orjson.loads(raw)["error"]
        return _one_line(str(error["message"] if isinstance(error, dict) else error))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _one_line(raw[:200].decode(errors="replace"))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


@MODELS.register("openai")
def openai_model(name: str, options: ModelOptions) -> Model:
    """``openai:NAME``: any OpenAI-compatible server (OpenAI, vLLM, Ollama, llama.cpp); see --base-url."""
    return OpenAIModel(name, options)

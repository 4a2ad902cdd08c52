"""Any OpenAI-compatible chat-completions server: OpenAI, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import orjson
from yarl import URL

from evenhand.errors import ModelError, SpecError
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.http import FATAL_STATUS, Reply, RetryableError, ServedModel, decoded, error_message, is_http
from evenhand.types import Request, Response

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_TOP_LOGPROBS = 20


class OpenAIModel(ServedModel):
    """Chat completions.

    Answers that are not what the API promises are retried too. 401, 403 and 404 stop the run, because no other call
    would fare better.
    """

    def __init__(self, name: str, options: ModelOptions) -> None:
        if not name:
            raise SpecError("The model 'openai:' has no name.", "Write openai:NAME, as in openai:gpt-4o-mini.")
        super().__init__(options)
        self.id: str = f"openai:{name}"
        self.name = name
        self.base_url: str = (options.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
        if not is_http(self.base_url):
            raise SpecError(f"--base-url '{self.base_url}' is not an http(s) address.", "Write http://HOST:PORT/v1.")
        self._address = URL(f"{self.base_url}/chat/completions")
        self._max_tokens_key = "max_tokens"

    async def start(self) -> None:
        key = os.environ.get(self.options.api_key_env, "").strip()
        if not key and self.base_url == DEFAULT_BASE_URL:
            raise ModelError(
                f"No API key: the environment variable {self.options.api_key_env} is not set.",
                "Export it, or give --api-key-env or --base-url.",
            )
        self._client.open({"Authorization": f"Bearer {key}"} if key else {})

    def refusal(self, reply: Reply) -> ModelError:
        """The error for a status that no other call would fare better with."""
        return ModelError(
            f"{self.base_url} refuses {self.id}: HTTP {reply.status}: {error_message(reply.raw)}.",
            f"Check the model's name, --base-url and the key in ${self.options.api_key_env}.",
        )

    def settings(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "timeout_s": self.options.timeout_s}

    async def respond(self, request: Request) -> Response:
        started = time.perf_counter()
        body = await self._client.retrying(lambda: self._attempt(request))
        return response_of(body, request, time.perf_counter() - started)

    async def _attempt(self, request: Request) -> dict[str, Any]:
        limit_key = self._max_tokens_key
        reply = await self._client.post(self._address, orjson.dumps(self.payload(request)))
        return checked(decoded(reply.raw)) if reply.status == 200 else await self._refused(reply, request, limit_key)

    async def _refused(self, reply: Reply, request: Request, limit_key: str) -> dict[str, Any]:
        message = f"HTTP {reply.status}: {error_message(reply.raw)}"
        if reply.status in FATAL_STATUS:
            raise self.refusal(reply)
        if reply.status == 400 and limit_key == "max_tokens" and "max_completion_tokens" in message:
            # Newer OpenAI models know the limit by another name only.
            self._max_tokens_key = "max_completion_tokens"
            return await self._attempt(request)
        raise CallError(message)

    def payload(self, request: Request) -> dict[str, Any]:
        """The body of a call."""
        decoding = request.decoding
        payload: dict[str, Any] = {
            "model": self.name,
            "messages": [m.to_dict() for m in request.messages],
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


def checked(body: Any) -> dict[str, Any]:
    """The body, once it is what the API promises: one choice with a message.

    Raises:
        RetryableError: it is not.
    """
    try:
        message = body["choices"][0]["message"]
        if not isinstance(message.get("content"), str | None):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise RetryableError("the answer has no choices[0].message") from None
    return dict(body)


def response_of(body: dict[str, Any], request: Request, latency_s: float) -> Response:
    """A checked body as a response."""
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


@MODELS.register("openai")
def openai_model(name: str, options: ModelOptions) -> Model:
    """``openai:NAME``: any OpenAI-compatible server (OpenAI, vLLM, Ollama, llama.cpp); see --base-url."""
    return OpenAIModel(name, options)

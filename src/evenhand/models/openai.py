"""Any OpenAI-compatible server: OpenAI, Azure's deployments, vLLM, Ollama, llama.cpp, gateways."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from yarl import URL

from evenhand.errors import ModelError, SpecError
from evenhand.models import completions, responses
from evenhand.models.addresses import below, checked_address, from_environment, variables_of
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.models.chat import merge_system
from evenhand.models.complaints import Complaint, complaint_of
from evenhand.models.endings import CONTENT_FILTER, declined_category
from evenhand.models.http import (
    FATAL_STATUS,
    Reply,
    RetryableError,
    ServedModel,
    decoded,
    error_message,
    extra_headers,
)
from evenhand.models.references import root_hint
from evenhand.types import Request, Response

DEFAULT_BASE_URL = "https://api.openai.com/v1"
# Left out when a server says that it does not know them; without any of the others a study would mean something else.
DROPPABLE = ("temperature", "seed", "top_p", "top_k", "stop", "max_tokens")
_NEWER_LIMIT = "max_completion_tokens"
_RESPONSES = "api"
_MOST_ADJUSTMENTS = 8


class OpenAIModel(ServedModel):
    """Chat completions, or the Responses API where a model is served by that alone.

    Answers that are not what the API promises are retried. 401, 403 and 404 stop the run, because no other call would
    fare better. What a provider's filter declines is an answer. A parameter that the server does not know is left out
    from then on, a system message that it does not take goes into the user's turn: :meth:`adjustments` says which.
    """

    def __init__(self, name: str, options: ModelOptions) -> None:
        if not name:
            raise SpecError("The model 'openai:' has no name.", "Write openai:NAME, as in openai:gpt-4o-mini.")
        super().__init__(options)
        self.id: str = f"openai:{name}"
        self.name = name
        self.base_url: str = (options.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
        checked_address(self.base_url, "--base-url", "http://HOST:PORT/v1", variables=True)
        self._root = URL(self.base_url)
        self._max_tokens_key = "max_tokens"
        self._adjusted: dict[str, str] = {}

    async def start(self) -> None:
        key = os.environ.get(self.options.api_key_env, "").strip()
        if not key and self.base_url == DEFAULT_BASE_URL:
            raise ModelError(
                f"No API key: the environment variable {self.options.api_key_env} is not set.",
                "Export it, or give --api-key-env or --base-url.",
            )
        self._open({"Authorization": f"Bearer {key}"} if key else {})

    def _open(self, secret: Mapping[str, str]) -> None:
        """Connect, with headers that hold a key and those that the user adds."""
        more_secret, public = extra_headers(self.options.extra_headers)
        self._root = URL(from_environment(self.base_url, "--base-url"))
        self._client.open({**secret, **more_secret}, public, hidden=variables_of(self.base_url))

    def refusal(self, reply: Reply) -> ModelError:
        """The error for a status that no other call would fare better with."""
        return ModelError(
            f"{self.base_url} refuses {self.id}: HTTP {reply.status}: {error_message(reply.raw)}.",
            (root_hint(self.base_url) if reply.status == 404 else "")
            or f"Check the model's name, --base-url and the key in ${self.options.api_key_env}.",
        )

    def settings(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "timeout_s": self.options.timeout_s}

    def adjustments(self) -> dict[str, str]:
        return dict(self._adjusted)

    def adjust(self, known: Mapping[str, str]) -> None:
        self._adjusted.update(known)

    async def respond(self, request: Request) -> Response:
        started = time.perf_counter()
        return await self._client.retrying(lambda: self._attempt(request, started))

    async def _attempt(self, request: Request, started: float) -> Response:
        for _ in range(_MOST_ADJUSTMENTS):
            sent = self.payload(request)
            try:
                reply = await self._client.post(self.address(self.path), orjson.dumps(sent))
            except RetryableError as error:
                # Servers whose chat template raises answer 500.
                if not self._learns(Complaint(str(error)), sent, only_system=True):
                    raise
                continue
            if reply.status == 200:
                return self.read(decoded(reply.raw), request, time.perf_counter() - started)
            category = declined_category(reply.status, reply.raw)
            if category is not None:
                return Response("", CONTENT_FILTER, latency_s=time.perf_counter() - started, filtered=category)
            if not self._learns(complaint_of(reply.raw), sent):
                raise self.error(reply, sent)
        raise CallError("the server refused every form of the call that was tried")

    def error(self, reply: Reply, sent: Mapping[str, Any]) -> Exception:
        """What a reply that is no answer, and cannot be mended, means for the call or the run."""
        if reply.status in FATAL_STATUS:
            return self.refusal(reply)
        said = complaint_of(reply.raw)
        meant = ("reasoning_effort", "reasoning", "logprobs", "top_logprobs", *self.options.extra_body)
        if (refused := said.about(key for key in meant if key in sent)) is not None:
            return ModelError(
                f"{self.base_url} does not take '{refused}': {said.message}.",
                "Use the suite without ':logprobs'."
                if "logprobs" in refused
                else "Leave it out, or give another value.",
            )
        return CallError(f"HTTP {reply.status}: {error_message(reply.raw)}")

    def _learns(self, said: Complaint, sent: Mapping[str, Any], *, only_system: bool = False) -> bool:
        """Whether another form of the call may be taken; what a complaint is about is then asked otherwise."""
        turns = sent.get("messages") or sent.get("input") or ()
        if said.is_about_system_role and any(turn["role"] == "system" for turn in turns):
            return self._adjusts("system", said)
        if only_system:
            return False
        if said.wants_responses_api and "messages" in sent:
            for name in responses.MISSING:
                self._adjusted.setdefault(name, "the Responses API does not know it")
            return self._adjusts(_RESPONSES, said)
        if "max_tokens" in sent and _NEWER_LIMIT in said.text:
            # Newer OpenAI models know the limit by another name only.
            self._max_tokens_key = _NEWER_LIMIT
            return True
        names = {"max_tokens": "max_tokens", _NEWER_LIMIT: "max_tokens", "max_output_tokens": "max_tokens"}
        known = {name: names.get(name, name) for name in sent if names.get(name, name) in DROPPABLE}
        refused = said.about(known)
        return refused is not None and self._adjusts(known[refused], said)

    def _adjusts(self, name: str, said: Complaint) -> bool:
        self._adjusted.setdefault(name, said.message)
        return True

    @property
    def path(self) -> str:
        """Below the root of the API."""
        return responses.PATH if _RESPONSES in self._adjusted else completions.PATH

    def address(self, path: str) -> URL:
        """Of something below the root of the API, whose query stays."""
        return below(self._root, path)

    def payload(self, request: Request) -> dict[str, Any]:
        """The body of a call."""
        left_out = {*self.options.drop, *self._adjusted}
        if "system" in left_out:
            request = replace(request, messages=tuple(merge_system(request.messages)))
        if _RESPONSES in self._adjusted:
            body = responses.payload(self.name, request)
        else:
            body = completions.payload(self.name, request, self._max_tokens_key)
        for name in left_out:
            body.pop(name, None)
        if "max_tokens" in left_out:
            body.pop(_NEWER_LIMIT, None)
            body.pop("max_output_tokens", None)
        return body | dict(self.options.extra_body)

    def read(self, body: object, request: Request, latency_s: float) -> Response:
        """A decoded answer as a response.

        Raises:
            RetryableError: it is not what the API promises.
        """
        if _RESPONSES in self._adjusted:
            must_generate(self, request)
            return responses.read(body, latency_s)
        return completions.read(body, request, latency_s)


@MODELS.register("openai")
def openai_model(name: str, options: ModelOptions) -> Model:
    """``openai:NAME``: any OpenAI-compatible server (OpenAI, vLLM, Ollama, llama.cpp); see --base-url."""
    return OpenAIModel(name, options)

"""Models behind a provider's own library: it brings addresses, credentials and the form of a call.

What is asked, when it is asked again and what an answer holds is decided here, as for every other model.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from evenhand.errors import ModelError, SpecError, one_line
from evenhand.models.addresses import checked_address
from evenhand.models.base import CallError, Model, ModelOptions, must_generate
from evenhand.models.chat import merge_system
from evenhand.models.complaints import Complaint, complaint_of
from evenhand.models.endings import CONTENT_FILTER, declined_category
from evenhand.models.http import FATAL_STATUS, Attempts, Reply, RetryableError, decoded, extra_headers
from evenhand.types import Request, Response

_DEFAULT_KEY_ENV = ModelOptions.api_key_env
_MOST_ADJUSTMENTS = 8
_SMALLEST_BUDGET = 1024
# The share of a study's token limit that thoughts may take, where an API takes a number and not an effort.
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}


class ProviderModel(Model):
    """One call of a provider's library per attempt; the library's own attempts are switched off.

    Attributes:
        kind: what its references start with.
        keys: environment variables that may hold the key, unless another one is named.
        parameters: fields that are left out when the provider does not take them -> what evenhand calls them.
        unknown: what the API has no field for -> why it is left out.
        budgeted: the adjustment that asks for a number of tokens of thought in place of an effort.
    """

    kind: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    parameters: ClassVar[Mapping[str, str]]
    unknown: ClassVar[Mapping[str, str]] = {}
    budgeted: ClassVar[str] = "reasoning_effort"

    def __init__(self, name: str, options: ModelOptions) -> None:
        if not name:
            raise SpecError(f"The model '{self.kind}:' has no name.", f"Write {self.kind}:NAME.")
        if options.base_url is not None:
            checked_address(options.base_url, "--base-url", "http://HOST:PORT")
        self.id: str = f"{self.kind}:{name}"
        self.name = name
        self.options = options
        self.concurrency: int = options.concurrency or 64
        self._attempts = Attempts(options)
        self._adjusted: dict[str, str] = dict(self.unknown)
        self._client: Any = None

    @property
    def retries(self) -> int:  # type: ignore[override]
        """Attempts beyond the first so far."""
        return self._attempts.retries

    def key(self) -> str:
        """The key, from the environment; "" without one.

        Raises:
            ModelError: there is none, and the provider itself would be asked.
        """
        named = self.options.api_key_env
        variables = self.keys if named == _DEFAULT_KEY_ENV else (named,)
        found = next((value for v in variables if (value := os.environ.get(v, "").strip())), "")
        if not found and self.options.base_url is None:
            raise ModelError(
                f"No API key: the environment variable {variables[0]} is not set.",
                "Export it, or give --api-key-env or --base-url.",
            )
        return found

    def headers(self, *secrets: str) -> dict[str, str]:
        """The user's own headers; they and ``secrets`` are blanked from now on."""
        hidden, public = extra_headers(self.options.extra_headers)
        self._attempts.begin([*secrets, *hidden.values()])
        return {**public, **hidden}

    def settings(self) -> dict[str, Any]:
        return {"base_url": self.options.base_url, "timeout_s": self.options.timeout_s}

    def adjustments(self) -> dict[str, str]:
        return dict(self._adjusted)

    def adjust(self, known: Mapping[str, str]) -> None:
        self._adjusted.update(known)

    async def respond(self, request: Request) -> Response:
        must_generate(self, request)
        started = time.perf_counter()
        return await self._attempts.retrying(lambda: self._attempt(request, started))

    async def _attempt(self, request: Request, started: float) -> Response:
        for _ in range(_MOST_ADJUSTMENTS):
            sent = self.payload(request)
            await self._attempts.turn()
            reply = await self.send(sent)
            latency_s = time.perf_counter() - started
            if reply.status == 200:
                return self.read(decoded(reply.raw), latency_s)
            category = declined_category(reply.status, reply.raw)
            if category is not None:
                return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
            if not self.learns(complaint_of(reply.raw), sent):
                raise self.error(reply, sent)
        raise CallError("the provider refused every form of the call that was tried")

    def payload(self, request: Request) -> dict[str, Any]:
        """The call: the provider's fields, in one level."""
        left_out = {*self.options.drop, *self._adjusted}
        if "system" in left_out:
            request = replace(request, messages=tuple(merge_system(request.messages)))
        body = self.fields(request)
        kept = {key: value for key, value in body.items() if self.parameters.get(key) not in left_out}
        return kept | dict(self.options.extra_body)

    @abstractmethod
    def fields(self, request: Request) -> dict[str, Any]:
        """Everything a request says, in the provider's fields."""

    @abstractmethod
    async def send(self, sent: Mapping[str, Any]) -> Reply:
        """Make one call.

        Raises:
            RetryableError: another attempt may succeed.
            ModelError: no call can succeed.
        """

    @abstractmethod
    def read(self, body: object, latency_s: float) -> Response:
        """A decoded answer as a response.

        Raises:
            RetryableError: it is not what the API promises.
        """

    def learns(self, said: Complaint, sent: Mapping[str, Any]) -> bool:
        """Whether another form of the call may be taken; what a complaint is about is then asked otherwise."""
        if said.is_about_system_role and "system" not in self._adjusted:
            return self.adjusts("system", said)
        refused = said.about(key for key in sent if key in self.parameters)
        return refused is not None and self.adjusts(self.parameters[refused], said)

    def adjusts(self, name: str, said: Complaint) -> bool:
        """Note what is asked otherwise from now on."""
        self._adjusted.setdefault(name, said.message)
        return True

    def error(self, reply: Reply, sent: Mapping[str, Any]) -> Exception:
        """What a reply that is no answer, and cannot be mended, means for the call or the run."""
        said = complaint_of(reply.raw)
        if reply.status in FATAL_STATUS or self.is_fatal(said):
            return ModelError(
                f"{self.id} is refused: HTTP {reply.status}: {said.message}.",
                f"Check the model's name, --base-url and the key in ${self.keys[0]}.",
            )
        if (refused := said.about((*self.options.extra_body, *sent))) is not None:
            return ModelError(
                f"{self.id} does not take '{refused}': {said.message}.", "Leave it out, or give another value."
            )
        return CallError(f"HTTP {reply.status}: {said.message}")

    def is_fatal(self, said: Complaint) -> bool:
        """Whether no other call would fare better, whatever the status."""
        return False

    def budget(self, effort: str, max_tokens: int) -> int:
        """Tokens of thought in place of an effort.

        Raises:
            ModelError: the study's limit leaves no room for thoughts and an answer.
        """
        if max_tokens <= _SMALLEST_BUDGET:
            raise ModelError(
                f"{self.id} needs more than {_SMALLEST_BUDGET:,} tokens to think, not {max_tokens:,}.",
                "Raise --max-tokens, or leave out --reasoning-effort.",
            )
        return min(max(round(_SHARES[effort] * max_tokens), _SMALLEST_BUDGET), max_tokens - 1)


def conversation(request: Request) -> tuple[str, list[dict[str, str]]]:
    """A request's system text, "" without one, and its turns."""
    system = "\n\n".join(m.content for m in request.messages if m.role == "system")
    return system, [m.to_dict() for m in request.messages if m.role != "system"]


def needs(kind: str, extra: str) -> ModelError:
    """The error where a provider's library is not installed."""
    return ModelError(f"Models of {kind} need an extra.", f"Install it: pip install 'evenhand[{extra}]'.")


def lost(error: BaseException, timeout_s: float) -> RetryableError:
    """What a library says of a connection that broke."""
    if "timeout" in type(error).__name__.lower():
        return RetryableError(f"no answer within {timeout_s:g} s")
    return RetryableError(f"connection: {type(error).__name__}: {one_line(str(error))}")

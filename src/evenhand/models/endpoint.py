"""An assistant behind an HTTP endpoint of its own shape, with sessions, memory or a profile."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict, Field

from evenhand.errors import ModelError, SpecError
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.models.http import FATAL_STATUS, RetryableError, ServedModel, decoded, error_message, is_http
from evenhand.specs import read_toml, validated
from evenhand.types import Request, Response

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NAMES = ("system", "user", "history", "messages", "session", "seed", "max_tokens", "temperature")


class Call(BaseModel):
    """One POST of a conversation.

    Attributes:
        url: its address; placeholders are escaped for it.
        body: the JSON sent; placeholders in its texts are filled in. A text that is one placeholder takes the value's
            own type, so ``"{messages}"`` becomes a list and ``"{max_tokens}"`` a number.
        answer: where the assistant's text stands in the reply: keys and list positions joined by dots.
        when: a placeholder's name; the call is left out where it is empty ("system": nothing to say about the user).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    url: str
    body: dict[str, Any] = Field(default_factory=dict)
    answer: str | None = None
    when: str | None = None


class EndpointSpec(BaseModel):
    """The file behind ``http:FILE.toml``.

    Attributes:
        name: a label for reports; the file's name otherwise.
        headers: sent with every call; ``${NAME}`` is read from the environment, and never stored.
        call: what is posted for each question, in order; the last one must say where its answer stands.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    call: tuple[Call, ...] = Field(min_length=1)


class EndpointModel(ServedModel):
    """Posts each question to an assistant in a session of its own, so that no memory leaks between trials.

    Failed attempts are made again from the first call, in a new session.
    """

    def __init__(self, path: Path, options: ModelOptions) -> None:
        super().__init__(options)
        self.spec: EndpointSpec = _read(path)
        self.id: str = f"http:{self.spec.name or path.stem}"
        # Another way of asking is another assistant: its answers must not mix with these.
        self.revision: str = hashlib.blake2b(self.spec.model_dump_json().encode(), digest_size=6).hexdigest()

    async def start(self) -> None:
        self._client.open({name: _from_environment(value) for name, value in self.spec.headers.items()})

    def settings(self) -> dict[str, Any]:
        return {"urls": [call.url for call in self.spec.call], "timeout_s": self.options.timeout_s}

    async def respond(self, request: Request) -> Response:
        must_generate(self, request)
        started = time.perf_counter()
        text, calls = await self._client.retrying(lambda: self._converse(request))
        return Response(text, latency_s=time.perf_counter() - started, calls=calls)

    async def _converse(self, request: Request) -> tuple[str, int]:
        values = _values(request)
        made, text = 0, ""
        for call in self.spec.call:
            if call.when and not values[call.when]:
                continue
            address = _PLACEHOLDER.sub(lambda m: quote(str(values.get(m[1], m[0])), safe=""), call.url)
            reply = await self._client.post(address, orjson.dumps(_filled(call.body, values)))
            made += 1
            if reply.status in FATAL_STATUS:
                raise ModelError(
                    f"{address} refuses: HTTP {reply.status}: {error_message(reply.raw)}.",
                    "Check the addresses and headers in the endpoint's file.",
                )
            if reply.status >= 300:
                raise CallError(f"HTTP {reply.status}: {error_message(reply.raw)}")
            if call.answer:
                text = answer_at(decoded(reply.raw), call.answer)
        return text, made


def _values(request: Request) -> dict[str, Any]:
    turns = [m for m in request.messages if m.role != "system"]
    return {
        "system": "\n\n".join(m.content for m in request.messages if m.role == "system"),
        "user": turns[-1].content,
        "history": "\n\n".join(f"{m.role}: {m.content}" for m in turns[:-1]),
        "messages": [m.to_dict() for m in request.messages],
        "session": uuid.uuid4().hex,
        "seed": request.seed,
        "max_tokens": request.decoding.max_tokens,
        "temperature": request.decoding.temperature,
    }


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole and whole[1] in values:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda m: str(values.get(m[1], m[0])), template)


def answer_at(body: Any, path: str) -> str:
    """The text at a dotted path.

    Raises:
        RetryableError: there is none.
    """
    found = body
    for part in path.split("."):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise RetryableError(f"the answer has no {path}") from None
    if not isinstance(found, str):
        raise RetryableError(f"{path} of the answer is not a text")
    return found


def _from_environment(value: str) -> str:
    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ModelError(f"The environment variable {match[1]} is not set.", "A header of the endpoint needs it.")
        return found.strip()

    return _VARIABLE.sub(variable, value)


def _read(path: Path) -> EndpointSpec:
    """An endpoint's file, checked.

    Raises:
        SpecError: it is missing or wrong.
    """
    spec = validated(EndpointSpec, read_toml(path, "endpoint file"), str(path))
    for number, call in enumerate(spec.call, 1):
        if not is_http(call.url):
            raise SpecError(f"{path}, call {number}: '{call.url}' is not an http(s) address.")
        if call.when is not None and call.when not in _NAMES:
            raise SpecError(f"{path}, call {number}: there is no '{call.when}'.", f"There are: {', '.join(_NAMES)}.")
    if spec.call[-1].answer is None:
        raise SpecError(f"{path}: the last call does not say where its answer stands.", 'Add answer = "reply.text".')
    return spec


@MODELS.register("http")
def endpoint(name: str, options: ModelOptions) -> Model:
    """``http:FILE.toml``: your assistant's own HTTP endpoint, with sessions, memory or a profile."""
    return EndpointModel(Path(name), options)

"""An assistant behind an HTTP endpoint of its own shape, with sessions, memory or a profile."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import Field

from evenhand.errors import ModelError, SpecError, did_you_mean
from evenhand.models.addresses import VARIABLE, checked_address, from_environment, variables_of
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.models.endings import ending
from evenhand.models.fields import count
from evenhand.models.http import FATAL_STATUS, RetryableError, ServedModel, decoded, error_message
from evenhand.specs import Strict, read_toml, validated
from evenhand.types import Request, Response
from evenhand.visible import printable

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# What a file may have meant as one: "{usr}", "{ user }", "{user.name}"; not the braces of JSON or code.
_MEANT = re.compile(r"\{\s*([\w.-]+)\s*\}")
_COUNTS = ("prompt_tokens", "completion_tokens")
_MOST_PATHS = 12
_NAMES = ("system", "user", "history", "messages", "session", "seed", "max_tokens", "temperature")


class Call(Strict):
    """One POST of a conversation.

    Attributes:
        url: its address; placeholders are escaped for it.
        body: the JSON sent; placeholders in its texts are filled in. A text that is one placeholder takes the value's
            own type, so ``"{messages}"`` becomes a list and ``"{max_tokens}"`` a number; where the value is empty (no
            system text), the field is left out.
        answer: where the assistant's text stands in the reply: keys and list positions joined by dots.
        finish_reason: where it says how the answer ended; the answer counts as finished otherwise.
        reasoning: where the assistant's thoughts stand.
        prompt_tokens, completion_tokens: where the counts stand; those of all calls are added up.
        when: a placeholder's name; the call is left out where it is empty ("system": nothing to say about the user).
    """

    url: str
    body: dict[str, Any] = Field(default_factory=dict)
    answer: str | None = None
    finish_reason: str | None = None
    reasoning: str | None = None
    prompt_tokens: str | None = None
    completion_tokens: str | None = None
    when: str | None = None


class EndpointSpec(Strict):
    """The file behind ``http:FILE.toml``.

    Attributes:
        name: a label for reports; the file's name otherwise.
        headers: sent with every call; ``${NAME}`` is read from the environment, and never stored.
        call: what is posted for each question, in order; the last one must say where its answer stands.
    """

    name: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    call: tuple[Call, ...] = Field(min_length=1)


class EndpointModel(ServedModel):
    """Posts each question to an assistant in a session of its own, so that no memory leaks between trials.

    Failed attempts are made again from the first call, in a new session.
    """

    def __init__(self, path: Path, options: ModelOptions) -> None:
        super().__init__(options)
        self._path = path
        self.spec: EndpointSpec = _read(path)
        self.id: str = f"http:{self.spec.name or path.stem}"
        # Another way of asking is another assistant: its answers must not mix with these. Where tokens are counted
        # changes no answer, and paths that a file does not use leave its revision as it was before they existed.
        unused = {name for name in ("finish_reason", "reasoning") if not any(getattr(c, name) for c in self.spec.call)}
        said = self.spec.model_dump_json(exclude={"call": {"__all__": {*_COUNTS, *unused}}})
        self.revision: str = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        # A call without its paths would be free of charge.
        self.counts_tokens: bool = all(getattr(call, name) for call in self.spec.call for name in _COUNTS)
        self._used = {name for call in self.spec.call for name in _placeholders(call)}
        self._urls: list[str] = []
        self._answers = False  # whether a reply has had an answer where the file says

    async def start(self) -> None:
        self._urls = [from_environment(call.url, f"an address of {self._path}") for call in self.spec.call]
        hidden = [value for call in self.spec.call for value in variables_of(call.url)]
        headers = {n: from_environment(v, f"the header {n} of {self._path}") for n, v in self.spec.headers.items()}
        self._client.open(headers, hidden=hidden)

    def settings(self) -> dict[str, Any]:
        return {"urls": [call.url for call in self.spec.call], "timeout_s": self.options.timeout_s}

    async def respond(self, request: Request) -> Response:
        must_generate(self, request)
        values = _values(request)
        for name in ("system", "history"):
            # Left out in silence, every identity would be asked the same.
            if values[name] and not self._used & {name, "messages"}:
                raise ModelError(
                    f"{self.id} is not told the {name} text of a conversation: its file has no {{{name}}}.",
                    f"Add {{{name}}} or {{messages}} to a call, or choose a personalizer that needs none.",
                )
        started = time.perf_counter()
        heard, calls = await self._client.retrying(lambda: self._converse(request))
        finish_reason, filtered = ending(heard.finish_reason)
        return Response(
            heard.text,
            finish_reason=finish_reason,
            filtered=filtered,
            reasoning=heard.reasoning,
            prompt_tokens=heard.prompt_tokens,
            completion_tokens=heard.completion_tokens,
            latency_s=time.perf_counter() - started,
            calls=calls,
        )

    async def _converse(self, request: Request) -> tuple[Heard, int]:
        values = _values(request)
        made, heard = 0, Heard()
        for call, url in zip(self.spec.call, self._urls, strict=True):
            if call.when and not values[call.when]:
                continue
            address = _PLACEHOLDER.sub(lambda m: quote(str(values.get(m[1], m[0])), safe=""), url)
            reply = await self._client.post(address, orjson.dumps(_filled(call.body, values)))
            made += 1
            if reply.status in FATAL_STATUS:
                raise ModelError(
                    f"{call.url} refuses: HTTP {reply.status}: {error_message(reply.raw)}.",
                    "Check the addresses and headers in the endpoint's file.",
                )
            if reply.status >= 300:
                raise CallError(f"HTTP {reply.status}: {error_message(reply.raw)}")
            self.hear(call, reply.raw, heard)
        return heard, made

    def hear(self, call: Call, raw: bytes, heard: Heard) -> None:
        """Read a reply into ``heard``.

        Raises:
            RetryableError: no answer stands where others stood before.
            ModelError: none has stood there yet, so that the path is wrong.
        """
        paths = [getattr(call, name) for name in ("answer", "finish_reason", "reasoning", *_COUNTS)]
        if not any(paths):
            return
        body = decoded(raw)
        try:
            heard.take(call, body)
        except LookupError as error:
            if self._answers:
                raise RetryableError(str(error.args[0])) from None
            raise ModelError(
                f"{self.id}: {error.args[0]}; {_outline(body)}.", f"Correct the path in {self._path}."
            ) from None
        self._answers = self._answers or call.answer is not None


@dataclass(slots=True)
class Heard:
    """What the calls of one conversation brought."""

    text: str = ""
    finish_reason: object = None
    reasoning: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def take(self, call: Call, body: Any) -> None:
        """Read a reply.

        Raises:
            LookupError: something does not stand where the call says.
        """
        if call.finish_reason:
            self.finish_reason = _at(body, call.finish_reason)
        if call.answer:
            filtered = ending(self.finish_reason)[0] == "content_filter"
            self.text = _answer_at(body, call.answer) if not filtered else _text_or_nothing(body, call.answer)
        if call.reasoning:
            self.reasoning = _text_or_nothing(body, call.reasoning)
        for name in _COUNTS:
            if path := getattr(call, name):
                tokens = count(_at(body, path))
                if tokens is None:
                    raise LookupError(f"{path} of the answer is not a number of tokens")
                setattr(self, name, (getattr(self, name) or 0) + tokens)


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
        return {key: _filled(value, values) for key, value in template.items() if not _is_empty(value, values)}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := _PLACEHOLDER.fullmatch(template):
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda m: str(values[m[1]]), template)


def _is_empty(template: Any, values: Mapping[str, Any]) -> bool:
    """Whether it is one placeholder without a value: servers refuse ``"system": ""``."""
    whole = _PLACEHOLDER.fullmatch(template) if isinstance(template, str) else None
    return whole is not None and values[whole[1]] in ("", None, [])


def _answer_at(body: Any, path: str) -> str:
    """The text at a dotted path.

    Raises:
        RetryableError: there is nothing (null).
        LookupError: there is no such place, or something else than a text.
    """
    found = _at(body, path)
    if found is None:
        raise RetryableError(f"{path} of the answer is null")
    if not isinstance(found, str):
        raise LookupError(f"{path} of the answer is not a text")
    return found


def _text_or_nothing(body: Any, path: str) -> str:
    """The text at a path, "" where a reply has none."""
    try:
        found = _at(body, path)
    except LookupError:
        return ""
    return found if isinstance(found, str) else ""


def _at(body: Any, path: str) -> Any:
    found = body
    for part in path.split("."):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise LookupError(f"the answer has no {path}") from None
    return found


def _outline(body: Any) -> str:
    """The paths that a reply has, for a message: names only, no values."""
    paths = list(_leaves(body, ""))
    more = ", ..." if len(paths) > _MOST_PATHS else ""
    return f"it has {printable(', '.join(paths[:_MOST_PATHS]))}{more}" if paths else "it is no object with keys"


def _leaves(body: Any, above: str) -> Iterator[str]:
    if isinstance(body, dict):
        for key, value in body.items():
            yield from _leaves(value, f"{above}.{key}" if above else str(key))
    elif isinstance(body, list) and body:
        yield from _leaves(body[0], f"{above}.0" if above else "0")
    elif above:
        yield above


def _read(path: Path) -> EndpointSpec:
    """An endpoint's file, checked.

    Raises:
        SpecError: it is missing or wrong.
    """
    spec = validated(EndpointSpec, read_toml(path, "endpoint file"), str(path))
    for number, call in enumerate(spec.call, 1):
        where, example = f"{path}, call {number}: the url", "https://HOST/PATH"
        checked_address(_PLACEHOLDER.sub("x", VARIABLE.sub("$x", call.url)), where, example, variables=True)
        if call.when is not None and call.when not in _NAMES:
            raise SpecError(f"{path}, call {number}: there is no '{call.when}'.", f"There are: {', '.join(_NAMES)}.")
    if spec.call[-1].answer is None:
        raise SpecError(f"{path}: the last call does not say where its answer stands.", 'Add answer = "reply.text".')
    _check_placeholders(spec, path)
    return spec


def _check_placeholders(spec: EndpointSpec, path: Path) -> None:
    """Refuse what would be sent as it stands, and a question that is not sent at all.

    Raises:
        SpecError: a placeholder is unknown, or none stands for the question.
    """
    for header, value in spec.headers.items():
        if left := _MEANT.search(VARIABLE.sub("", value)):
            raise SpecError(
                f"{path}: {left[0]} in the header {header} would be sent as it stands.",
                f"Headers take only variables of the environment: ${left[0]}.",
            )
    for number, call in enumerate(spec.call, 1):
        for text in (call.url, *_texts(call.body)):
            for meant in _MEANT.finditer(VARIABLE.sub("", text) if text is call.url else text):
                if meant[0][1:-1] not in _NAMES:
                    raise SpecError(
                        f"{path}, call {number}: there is no placeholder {meant[0]}.", did_you_mean(meant[1], _NAMES)
                    )
    if not any({"user", "messages"} & set(_placeholders(call)) for call in spec.call):
        raise SpecError(f"{path}: no call sends the question.", "Put {user} or {messages} into a body.")


def _placeholders(call: Call) -> list[str]:
    return [name for text in (VARIABLE.sub("", call.url), *_texts(call.body)) for name in _PLACEHOLDER.findall(text)]


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict | list):
        for value in template.values() if isinstance(template, dict) else template:
            yield from _texts(value)


@MODELS.register("http")
def endpoint(name: str, options: ModelOptions) -> Model:
    """``http:FILE.toml``: your assistant's own HTTP endpoint, with sessions, memory or a profile."""
    return EndpointModel(Path(name), options)

"""What OpenAI's chat completions look like: errors, answers, streams, counts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from evenhand.types import Response

DONE = b"data: [DONE]\n\n"


class RefusedError(Exception):
    """A request that gets an error in place of an answer.

    Args:
        status: of HTTP.
        message: what is wrong and what to do, in one line.
        code: a short name for programs.
        param: the field that it is about.
        headers: sent along.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers: Mapping[str, str] = headers or {}

    @property
    def body(self) -> bytes:
        """The error in OpenAI's form."""
        return orjson.dumps(self.shape)

    @property
    def shape(self) -> dict[str, Any]:
        """The same as an object."""
        kind = "invalid_request_error" if self.status < 500 else "api_error"
        return {
            "error": {"message": self.message, "type": kind, "param": self.param or None, "code": self.code},
        }


def unmitigated() -> RefusedError:
    """For a proxy that sends, or hands on, nothing that its mitigation left as it was."""
    return RefusedError(
        422,
        "The mitigation has nothing to do in this conversation, and this proxy is strict: nothing goes unmitigated.",
        "unmitigated",
        param="messages",
    )


def completion(answer: Response, model: str) -> dict[str, Any]:
    """An answer as a body, for models that give none themselves.

    Args:
        answer: what was answered.
        model: the name to show.
    """
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    body: dict[str, Any] = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}],
    }
    if answer.prompt_tokens is not None and answer.completion_tokens is not None:
        body["usage"] = {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        }
    return body


def joined(bodies: Sequence[Mapping[str, Any]], usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Answers of one choice each as one answer with several.

    Args:
        bodies: at least one.
        usage: of all calls; None where it is not known, which is not zero.
    """
    choices = [{**body["choices"][0], "index": n} for n, body in enumerate(bodies)]
    whole = {**bodies[0], "choices": choices}
    whole.pop("usage", None)
    return {**whole, "usage": dict(usage)} if usage is not None else whole


def added(usages: Iterable[object]) -> dict[str, Any] | None:
    """Counts of several calls, added field by field; None where one of them does not tell."""
    sums: dict[str, Any] = {}
    for usage in usages:
        if not isinstance(usage, Mapping):
            return None
        _add(sums, usage)
    return sums or None


def _add(sums: dict[str, Any], usage: Mapping[str, Any]) -> None:
    for name, value in usage.items():
        if isinstance(value, Mapping):
            inner = sums.setdefault(name, {})
            if isinstance(inner, dict):
                _add(inner, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            before = sums.get(name)
            sums[name] = value + (before if isinstance(before, int | float) else 0)
        else:
            sums.setdefault(name, value)


def events(body: Mapping[str, Any], *, with_usage: bool) -> Iterator[bytes]:
    """A whole answer as the events of a stream.

    Args:
        body: of chat completions.
        with_usage: whether the client asked for the counts (``stream_options.include_usage``).
    """
    shared = {name: body[name] for name in ("id", "created", "model", "system_fingerprint") if name in body}
    shared["object"] = "chat.completion.chunk"

    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        counted = {"usage": None} if with_usage else {}
        return b"data: " + orjson.dumps({**shared, "choices": choices, **counted, **more}) + b"\n\n"

    for choice in body["choices"]:
        delta = {name: value for name, value in choice["message"].items() if value is not None}
        if isinstance(delta.get("tool_calls"), list):
            delta["tool_calls"] = [{"index": n, **call} for n, call in enumerate(delta["tool_calls"])]
        index = choice.get("index", 0)
        yield event([{"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}])
        yield event([{"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason")}])
    if with_usage:
        yield event([], usage=body.get("usage"))
    yield DONE

"""What clients ask of the proxy, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from evenhand.deploy.conversation import Conversation
from evenhand.deploy.shapes import RefusedError
from evenhand.errors import SpecError

MOST_CHOICES = 128
_MOST_PHRASES = 100
# What a model that evenhand runs can do as it is asked to, or what changes no answer.
_KNOWN = {
    "messages", "model", "n", "seed", "stream", "stream_options", "temperature", "top_p", "top_k", "max_tokens",
    "max_completion_tokens", "stop", "reasoning_effort",
}  # fmt: skip
_WITHOUT_EFFECT = {
    "metadata", "parallel_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user",
}  # fmt: skip
_NEUTRAL = {"response_format": {"type": "text"}, "modalities": ["text"], "tool_choice": "none", "verbosity": "medium"}


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object that a request's body is.

    Raises:
        RefusedError: it is none.
    """
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"The body is not valid JSON: {error}.", "invalid_json") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The body is not a JSON object.", "invalid_json")
    return found


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """The messages of a body.

    Raises:
        RefusedError: they are no messages.
    """
    try:
        return Conversation.of(body.get("messages"))
    except SpecError as error:
        raise RefusedError(400, str(error), "invalid_value", param="messages") from None


def read_phrases(header: str | None) -> tuple[str, ...]:
    """Phrases that say who the user is, from a header that holds them as a JSON list of texts.

    Raises:
        RefusedError: it holds something else.
    """
    if header is None:
        return ()
    try:
        found = orjson.loads(header)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or len(found) > _MOST_PHRASES or not all(isinstance(p, str) for p in found):
        raise RefusedError(
            400, f"X-Evenhand-Told is not a JSON list of at most {_MOST_PHRASES} texts.", "invalid_value"
        )
    return tuple(found)


def read_count(body: Mapping[str, Any]) -> int:
    """How many choices are wanted.

    Raises:
        RefusedError: 'n' is no such number.
    """
    count = body.get("n")
    if count is None:
        return 1
    if type(count) is not int or not 1 <= count <= MOST_CHOICES:
        raise RefusedError(400, f"'n' is not a number from 1 to {MOST_CHOICES}.", "invalid_value", param="n")
    return count


def read_seed(body: Mapping[str, Any]) -> int | None:
    """The seed that was given."""
    found = body.get("seed")
    return found if type(found) is int else None


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream should end with the counts of tokens."""
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def read_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of :class:`evenhand.types.Decoding` that a body sets, for a model that evenhand runs.

    Raises:
        RefusedError: a field asks for what such a model does not do, or is out of range.
    """
    for name, value in body.items():
        neutral = not value or _NEUTRAL.get(name) == value or value == "auto"
        if name not in _KNOWN | _WITHOUT_EFFECT and not neutral:
            raise RefusedError(400, f"This model does not take '{name}'.", "unsupported_parameter", param=name)
    found: dict[str, Any] = {}
    _take(found, body, "temperature", float, 0, 100)
    _take(found, body, "top_p", float, 0, 1)
    _take(found, body, "top_k", int, 0, 2**31)
    _take(found, body, "max_tokens", int, 1, 2**31)
    _take(found, body, "max_completion_tokens", int, 1, 2**31)
    if "max_completion_tokens" in found:
        found["max_tokens"] = found.pop("max_completion_tokens")
    stop = body.get("stop")
    if stop:
        several = [stop] if isinstance(stop, str) else stop
        if not isinstance(several, list) or not all(isinstance(s, str) and s for s in several):
            raise RefusedError(400, "'stop' is not a text or a list of texts.", "invalid_value", param="stop")
        found["stop"] = tuple(several)
    if body.get("reasoning_effort") is not None:
        found["reasoning_effort"] = str(body["reasoning_effort"])
    return found


def _take(
    found: dict[str, Any], body: Mapping[str, Any], name: str, kind: type[float], least: float, most: float
) -> None:
    value = body.get(name)
    if value is None:
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not fits or (kind is int and not isinstance(value, int)):
        what = "a whole number" if kind is int else "a number"
        raise RefusedError(400, f"'{name}' is not {what} from {least:g} to {most:g}.", "invalid_value", param=name)
    found[name] = kind(value)

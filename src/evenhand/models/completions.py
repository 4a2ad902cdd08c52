"""OpenAI's chat completions: what is sent, and what an answer holds."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from evenhand.models.endings import CONTENT_FILTER, declined_in, ending, filter_results
from evenhand.models.fields import count, member
from evenhand.models.http import RetryableError
from evenhand.types import Request, Response

PATH = "chat/completions"
_TOP_LOGPROBS = 20
_ROUNDED = 0.01
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
_THOUGHT_BLOCKS = ("thinking", "reasoning", "redacted_thinking")


def payload(name: str, request: Request, max_tokens_key: str) -> dict[str, Any]:
    """The body of a call.

    Args:
        name: the model.
        request: what is asked.
        max_tokens_key: how this server calls the limit.
    """
    decoding = request.decoding
    body: dict[str, Any] = {
        "model": name,
        "messages": [m.to_dict() for m in request.messages],
        "temperature": decoding.temperature,
        "seed": request.seed,
        max_tokens_key: decoding.max_tokens,
    }
    if decoding.reasoning_effort is not None:
        body["reasoning_effort"] = decoding.reasoning_effort
    if request.choices:
        return body | {"temperature": 0.0, "logprobs": True, "top_logprobs": _TOP_LOGPROBS, max_tokens_key: 1}
    body |= decoding.cuts()
    if decoding.stop:
        body["stop"] = list(decoding.stop)
    return body


def read(body: object, request: Request, latency_s: float) -> Response:
    """A decoded answer as a response.

    Raises:
        RetryableError: it is not what the API promises: one choice with a message.
    """
    choice, message = _choice(body)
    if choice is None or message is None or not isinstance(body, dict):
        category = declined_in(body)
        if category is None:
            raise RetryableError("the answer has no choices[0].message")
        return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
    text, reasoning = _content(message)
    finish_reason, category = ending(choice.get("finish_reason"))
    if finish_reason == CONTENT_FILTER:
        category = category or filter_results(body)
    elif isinstance(message.get("refusal"), str) and message["refusal"].strip():
        text, finish_reason, category = text or message["refusal"], CONTENT_FILTER, "refusal"
    usage = member(body, "usage")
    fingerprint = body.get("system_fingerprint")
    return Response(
        text="" if request.choices else text,
        finish_reason=finish_reason,
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
        latency_s=latency_s,
        choice_logprobs=_choice_logprobs(choice, request.choices) if request.choices else None,
        model=f"{body.get('model', '')}{f' ({fingerprint})' if fingerprint else ''}",
        reasoning="" if request.choices else reasoning,
        reasoning_tokens=count(member(usage, "completion_tokens_details").get("reasoning_tokens")),
        cached_tokens=count(
            member(usage, "prompt_tokens_details").get("cached_tokens", usage.get("prompt_cache_hit_tokens"))
        ),
        filtered=category,
    )


def _choice(body: object) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The first choice and its message, None where there is none that can be read."""
    try:
        choice = body["choices"][0]  # type: ignore[index]
        message = choice["message"]
        readable = isinstance(message.get("content"), str | list | None)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None, None
    return (choice, message) if readable else (None, None)


def _content(message: dict[str, Any]) -> tuple[str, str]:
    """Answer and thoughts of a message, whose content is a text or a list of blocks."""
    content = message.get("content") or ""
    thoughts = [message[key] for key in _THOUGHTS if isinstance(message.get(key), str) and message[key].strip()][:1]
    if isinstance(content, str):
        return content, "".join(thoughts)
    answer = [block_text(b) for b in content if not _is_thought(b)]
    thoughts += [block_text(b) for b in content if _is_thought(b)]
    return "".join(answer), "\n\n".join(t for t in thoughts if t)


def _is_thought(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") in _THOUGHT_BLOCKS


def block_text(block: object, depth: int = 8) -> str:
    """The text of a content block, whose own content may be blocks again, ``depth`` levels down."""
    if isinstance(block, str):
        return block
    if isinstance(block, list) and depth:
        return "".join(block_text(inner, depth - 1) for inner in block)
    if not isinstance(block, dict) or not depth:
        return ""
    held = next((block[key] for key in ("text", "thinking", "reasoning", "content", "refusal") if block.get(key)), "")
    return block_text(held, depth - 1)


def _choice_logprobs(choice: dict[str, Any], labels: Collection[str]) -> tuple[float | None, ...]:
    """Log-probability per label, summed over the tokens that spell it ("A", " A", "(A")."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        pairs = [(str(t["token"]).strip(" (*\n").lower(), float(t["logprob"])) for t in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return (None,) * len(labels)
    # Rounded ones lie a little above 0; whatever else does is no logarithm of a probability.
    likely = [(token, min(lp, 0.0)) for token, lp in pairs if lp < _ROUNDED]
    masses = [sum(math.exp(lp) for token, lp in likely if token == label.lower()) for label in labels]
    return tuple(math.log(mass) if mass > 0 else None for mass in masses)

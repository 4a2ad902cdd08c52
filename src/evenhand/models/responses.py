"""OpenAI's Responses API, for models that chat completions do not serve."""

from __future__ import annotations

from typing import Any

from evenhand.models.completions import block_text
from evenhand.models.endings import CONTENT_FILTER, declined_in, ending
from evenhand.models.fields import count, member, objects
from evenhand.models.http import RetryableError
from evenhand.types import Request, Response

PATH = "responses"
# What chat completions know and this API does not.
MISSING = ("seed", "top_k", "stop")


def payload(name: str, request: Request) -> dict[str, Any]:
    """The body of a call; the server keeps nothing of it."""
    decoding = request.decoding
    body: dict[str, Any] = {
        "model": name,
        "input": [m.to_dict() for m in request.messages],
        "temperature": decoding.temperature,
        "max_output_tokens": decoding.max_tokens,
        "store": False,
    }
    if decoding.top_p < 1:
        body["top_p"] = decoding.top_p
    if decoding.reasoning_effort is not None:
        body["reasoning"] = {"effort": decoding.reasoning_effort}
    return body


def read(body: object, latency_s: float) -> Response:
    """A decoded answer as a response.

    Raises:
        RetryableError: it is not what the API promises.
    """
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        category = declined_in(body)
        if category is None:
            raise RetryableError("the answer has no output")
        return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
    parts = objects(body["output"])
    blocks = [block for part in parts if part.get("type") == "message" for block in objects(part.get("content"))]
    refused = [block_text(b) for b in blocks if b.get("type") == "refusal"]
    answer = "".join(block_text(b) for b in blocks if b.get("type") != "refusal")
    thoughts = [block_text([p.get("summary"), p.get("content")]) for p in parts if p.get("type") == "reasoning"]
    finish_reason, category = "stop", ""
    if body.get("status") == "incomplete":
        finish_reason, category = ending(member(body, "incomplete_details").get("reason"))
    elif refused:
        finish_reason, category = CONTENT_FILTER, "refusal"
    elif body.get("status") == "failed":
        raise RetryableError(f"the response failed: {member(body, 'error').get('message', 'no reason given')}")
    usage = member(body, "usage")
    return Response(
        answer or "".join(refused),
        finish_reason=finish_reason,
        prompt_tokens=count(usage.get("input_tokens")),
        completion_tokens=count(usage.get("output_tokens")),
        latency_s=latency_s,
        model=str(body.get("model", "")),
        reasoning="\n\n".join(t for t in thoughts if t),
        reasoning_tokens=count(member(usage, "output_tokens_details").get("reasoning_tokens")),
        cached_tokens=count(member(usage, "input_tokens_details").get("cached_tokens")),
        filtered=category,
    )

"""Why an answer ended, and whether a provider's filter declined it: the words of many servers as evenhand's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

CONTENT_FILTER = "content_filter"
# Statuses with which providers refuse a prompt for what it says; also those of other mistakes.
FILTER_STATUS = {400, 403, 422, 451}

_CUT = {"length", "max_tokens", "model_length", "max_output_tokens", "max_new_tokens", "model_context_window_exceeded"}
_FINISHED = {"stop", "end_turn", "eos", "eos_token", "complete", "completed", "stop_sequence", "finish_reason_stop"}
_FILTERED = re.compile(
    r"content[_ ]?filter(?:ed)?|safety|image_safety|prohibited_content|blocklist|spii|recitation|refusal|sensitive"
    r"|guardrail_intervened|guardrails?|moderation|blocked|language"
)

# What providers say of a prompt that they decline. Not what they say of an account.
_DECLINED = re.compile(
    r"content[ _-]?(?:filter|policy|management|moderation|safety|exists risk|violat)|moderation[ _](?:blocked|flagged)"
    r"|responsible ?ai ?policy|guardrail|data[ _]?inspection|prohibited[ _]content|safety (?:system|filter|polic)"
    r"|(?:prompt|input|request|content|message|text|output)\b[^.]{0,60}\b(?:was|were|been|is) "
    r"(?:flagged|blocked|filtered|rejected by (?:our|the) (?:safety|moderation))"
    r"|violat\w{0,20}[^.]{0,60}\b(?:usage|content|safety|use)\b[^.]{0,20}\b(?:polic|guideline|terms)"
    r"|(?:inappropriate|sensitive|harmful|unsafe) (?:content|information|words)|risk control|\bbloqu\w+ by safety"
    r"|requires? moderation|blocked (?:by|due to|for|because of) (?:safety|content|our|the|moderation)",
    re.IGNORECASE,
)
_OF_THE_ACCOUNT = re.compile(
    r"\b(?:account|organi[sz]ation|api[ _-]?key|billing|quota|subscription|credential)s?\b", re.IGNORECASE
)
_SPOKEN_KEYS = (
    "message", "msg", "detail", "reason", "code", "type", "status", "error", "errors", "error_type", "error_code",
)  # fmt: skip
_CATEGORY_KEYS = ("category", "categories", "reasons", "blockReason", "block_reason", "flagged_categories", "policy")


def ending(word: object) -> tuple[str, str]:
    """(finish reason, filter's category) of what a server calls the end of an answer.

    The finish reason is "stop", "length", "content_filter", or the server's own word where it means none of these.
    """
    said = str(word or "stop")
    plain = said.lower().removeprefix("finish_reason_").removeprefix("finishreason.")
    if plain in _CUT:
        return "length", ""
    if plain in _FINISHED:
        return "stop", ""
    if plain.startswith(CONTENT_FILTER) or _FILTERED.fullmatch(plain):
        category = plain.removeprefix("content_filtered").removeprefix(CONTENT_FILTER).strip(" :_-")
        return CONTENT_FILTER, category
    return said, ""


def declined_category(status: int, raw: bytes) -> str | None:
    """The category with which a provider refuses to answer what was asked, "" when it names none; None when the error
    is another one.

    Args:
        status: of the reply.
        raw: its body.
    """
    if status not in FILTER_STATUS:
        return None
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = {"message": raw[:2000].decode(errors="replace")}
    return declined_in(body)


def declined_in(body: object) -> str | None:
    """As :func:`declined_category`, of a decoded error."""
    texts = " | ".join(text for key, text in _texts(body) if key in _SPOKEN_KEYS)[:4000]
    if filtered := filter_results(body):
        return filtered
    if not _DECLINED.search(texts.replace("_", " ")) and not _DECLINED.search(texts):
        return None
    if _OF_THE_ACCOUNT.search(texts):
        return None
    named = [text for key, text in _texts(body) if key in _CATEGORY_KEYS]
    return ", ".join(dict.fromkeys(named))[:100]


def filter_results(body: object) -> str:
    """The categories that Azure's results of filters mark as filtered, "" when none is.

    They stand as ``content_filter_result(s)`` or ``prompt_filter_results``, at any depth.
    """
    found = [
        category
        for key, value in _members(body)
        if key.startswith("content_filter_result") and isinstance(value, dict)
        for category, result in value.items()
        if isinstance(result, dict) and result.get("filtered") is True
    ]
    return ", ".join(dict.fromkeys(found))


def _members(value: object, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All (key, value) pairs of nested data, down to eight levels."""
    if depth > 8:
        return
    if isinstance(value, dict):
        for key, member in value.items():
            yield str(key), member
            yield from _members(member, depth + 1)
    elif isinstance(value, list):
        for member in value[:50]:
            yield from _members(member, depth + 1)


def _texts(body: object) -> Iterator[tuple[str, str]]:
    for key, value in _members(body):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield key, text

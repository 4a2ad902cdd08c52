"""The part of a response that answers: without control tokens, and the fields of JSON that hold the answer."""

from __future__ import annotations

import re

from evenhand.judges.gaps import without_long_gaps

_CONTROL = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>", re.I)


def without_control_tokens(text: str) -> str:
    """``text`` with a blank for each control token; a row of them leaves no more blanks than judges ever see."""
    found, count = _CONTROL.subn(" ", text)
    return without_long_gaps(found) if count else text


def _plain(key: object) -> str:
    return re.sub(r"[\W_]", "", str(key)).lower()


def field_value(found: object, names: tuple[str, ...], depth: int = 0) -> str | None:
    """The value of the field of a JSON object that is named first in ``names``, also inside other objects."""
    if not isinstance(found, dict) or depth > 5:
        return None
    fields = {_plain(key): value for key, value in found.items()}
    for name in names:
        value = fields.get(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            value = field_value(value, names, depth + 1)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, bool):
            return "Yes" if value else "No"
    inner = (field_value(value, names, depth + 1) for value in fields.values())
    return next((value for value in inner if value is not None), None)

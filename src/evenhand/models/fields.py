"""What stands in a decoded answer: read whatever kind of value a server put there."""

from __future__ import annotations

from typing import Any

from evenhand.models.http import RetryableError

# No call has more tokens; what a store adds up stays within SQLite's 64 bits.
MOST_TOKENS = 10**12


def member(found: object, *keys: str) -> dict[str, Any]:
    """The object at the end of a path of keys, empty where there is none."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A text, "" where nothing stands.

    Raises:
        RetryableError: something else stands there: a score of "" would be wrong.
    """
    if value is not None and not isinstance(value, str):
        raise RetryableError(f"the answer has {type(value).__name__} where its text should be")
    return value or ""


def word(value: object) -> str:
    """A name or a category, "" where none stands."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """A number of tokens, None where there is none that can be."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST_TOKENS else None

"""The JSON object that an answer is, or has in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from evenhand.json_text import json_objects

# Characters of an answer that are read; the longest right one has some 6,000.
LONGEST = 20_000


def json_answer(text: str, keys: Collection[str]) -> dict[str, Any] | None:
    """The object with most of certain keys, the last of those with as many; None where there is none.

    Keys are found whatever their capitals. Objects in single quotes, as the prompts show them, are read where there is
    no other. Takes linear time.

    Args:
        text: the answer, of which the end is read where it is long.
        keys: in small letters.
    """
    text = text[-LONGEST:]
    return _best(text, keys) or _best(text.replace("'", '"'), keys)


def _best(text: str, keys: Collection[str]) -> dict[str, Any] | None:
    best, most = None, 0
    for _, _, found in json_objects(text):
        named = {key.strip().lower(): value for key, value in found.items()}
        shared = sum(key in named for key in keys)
        if shared and shared >= most:
            best, most = named, shared
    return best

"""Answers that say nothing in any language: no word, one word over and over, characters of a wrong encoding."""

from __future__ import annotations

import re
import unicodedata

_SPECIAL_TOKEN = re.compile(r"<[|/\w｜▁ ]{1,40}>|\[/?[A-Z_]{3,20}\]")
_WORD = re.compile(r"\w+")
_FEWEST_WORDS = 8
_FEWEST_LETTERS = 20
_DIFFERENT_WORDS = 3
_TIMES_EACH = 4
_DIFFERENT_LETTERS = 2
# UTF-8 read as Latin-1 or Windows-1252: a leading byte and what follows it.
_MISREAD = re.compile("[\u00c2-\u00f4][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]{1,3}")
_BROKEN = ("\ufffd", "\u0000")
_BROKEN_CATEGORIES = ("Cc", "Cn", "Co", "Cs")
_BROKEN_SHARE = 0.3


def garbled(text: str) -> str | None:
    """Why nobody can say what an answer means; None for all others.

    A number alone is no garbage, and neither is a sentence that comes again and again.

    Args:
        text: an answer that is not blank.
    """
    said = _SPECIAL_TOKEN.sub(" ", text) if "<" in text or "[" in text else text
    shown = "".join(said.split())
    if _broken(shown):
        return "its characters are broken"
    words = _WORD.findall(said.casefold())
    if not words:
        return "it holds no word"
    different = len(set(words))
    if len(words) >= max(_FEWEST_WORDS, _TIMES_EACH * different) and different <= _DIFFERENT_WORDS:
        return f"it says '{words[0]}' over and over"
    if len(shown) >= _FEWEST_LETTERS and len(set(shown.casefold())) <= _DIFFERENT_LETTERS:
        return f"it says '{shown[0]}' over and over"
    return None


def _broken(shown: str) -> bool:
    if shown.isascii():
        return not shown.isprintable() and sum(c < " " for c in shown) > _BROKEN_SHARE * len(shown)
    broken = sum(c in _BROKEN or unicodedata.category(c) in _BROKEN_CATEGORIES for c in _MISREAD.sub("", shown))
    return broken + sum(len(m[0]) for m in _MISREAD.finditer(shown)) > _BROKEN_SHARE * len(shown)

"""How items write what an answer must and must not say; :mod:`evenhand.judges.mentions` looks for it."""

from __future__ import annotations

import re

MUST, MUST_NOT = "must", "must_not"
# In a phrase, up to two words that may be any.
GAP = "~"
MODES = "!?"
_WORD = re.compile(r"[^\W_A-Z]+\*?")


def phrases(pattern: str) -> list[list[tuple[str, ...]]]:
    """The elements of a pattern: of the phrases of each, one must stand in the sentence."""
    elements = pattern.lstrip(MODES).split(" ")
    return [[tuple(phrase.split("-")) for phrase in element.split("|")] for element in elements]


def check_pattern(pattern: str) -> None:
    """Refuse what no text can say.

    Raises:
        ValueError: a word of the pattern is empty, or has characters that no word has in lower case.
    """
    for part in (part for element in phrases(pattern) for phrase in element for part in phrase):
        if part != GAP and not _WORD.fullmatch(part):
            raise ValueError(f"'{pattern}' is no pattern: '{part}' is no word in lower case.")

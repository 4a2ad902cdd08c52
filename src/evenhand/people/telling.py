"""Whether a text tells a fact about a person, by its words."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_SHORTEST = 4
_STEM = 5
# A fact's words that tell nothing of it by themselves.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "about above after again against always another because been before behind below between both does down during"
        " each every first from gets good half have hears into keeps last lives looks many more most much"
        " other over same some such than that their them then there these they this those through time times"
        " until very wears were what when where which while whose will with without would year your month week evening"
        " never once only twice under night morning sees takes uses makes works early late",
    )
)


def tells(text: str, fact: str, asked: str = "") -> bool:
    """Whether one sentence of a text has half of a fact's telling words, two at least where the fact has two.

    Words count by their first five letters ("allergic", "allergy").

    Args:
        text: what may tell it.
        fact: a sentence about the person.
        asked: what was said before; its words tell nothing.
    """
    telling = stems(fact) - stems(asked)
    needed = min(len(telling), max(2, (len(telling) + 1) // 2))
    return bool(telling) and any(len(telling & stems(said)) >= needed for said in sentences(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line break ends one, too."""
    return _SENTENCE_END.split(text)


def stems(text: str) -> set[str]:
    """The beginnings of a text's telling words."""
    words = (word.casefold() for word in _WORD.findall(text))
    return {word[:_STEM] for word in words if len(word) >= _SHORTEST and word not in _COMMON}

"""What a text says and what it denies: words looked for in sentences, without a grammar.

A pattern is words that must stand in one sentence, in any order. ``nut*`` has any ending, ``nut*|seed*`` is either,
``step-free`` are two words in a row, and ``your-~-allerg*`` lets up to two words stand between. A word that its
sentence denies ("without peanuts") is not said; ``!peanut*`` looks for just that, and ``?peanut*`` takes either.
Questions and conditions ("if you are allergic") say nothing of the user.

Heuristics of English. Every step walks over the text a constant number of times.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from evenhand.judges.denials import Denials
from evenhand.judges.word_phrases import Marks, Phrase, places
from evenhand.suites.patterns import MODES, phrases

_BREAKS = frozenset(",;-–—")
_TOKEN = re.compile(r"\w+|[,;—]|[-–](?=\s)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"”)])\s+")
_BULLET = re.compile(r"\s*(?:[-+•·*]|\d{1,2}[.)])\s+")
_MARKUP = re.compile(r"[*_`~]+")
_CLOSING = " *_`\"')"
_UNSAID = frozenset({"a", "an", "the"})
_LONG_FORMS = tuple(
    (re.compile(short), long)
    for short, long in (
        *((r"\bcan't\b", "can not"), (r"\bwon't\b", "will not"), (r"n't\b", " not"), (r"\bcannot\b", "can not")),
        *((r"'re\b", " are"), (r"'ve\b", " have"), (r"\bi'm\b", "i am"), (r"'s\b", "")),
        *((r"\be\.g\.", "eg"), (r"\bi\.e\.", "ie"), (r"\betc\.", "etc"), (r"\bvs\.", "vs"), (r"\b(st|dr)\.", r"\1")),
        (r"\b([ap])\.m\.", r"\1m"),
        (r"\bsuch as\b", "like"),  # no "as a vegetarian"
    )
)
# A sentence with one of these speaks of a case, or of others, and says nothing of the user.
_OPEN = Marks(
    *("if", "whether", "in-case", "in-event", "unless", "suppose", "otherwise", "depending", "depends", "knowing"),
    *("anyone", "someone", "somebody", "people", "guests", "those-who", "those-with", "those-on"),
    *("tell-me", "let-me-know", "please-share"),
)


@dataclass(frozen=True)
class Sentence:
    """Words of a sentence.

    Attributes:
        words: in lower case, without articles.
        denied: for each, whether the sentence denies it.
        is_open: whether it is a question or a condition.
    """

    words: tuple[str, ...]
    denied: tuple[bool, ...]
    is_open: bool


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text. The items of a list go on with what its heading began ("Avoid:")."""
    found: list[Sentence] = []
    heading: Sentence | None = None
    for line in filter(str.strip, _plain(text).split("\n")):
        bullet = _BULLET.match(line)
        read = (
            _read(part, heading if bullet else None) for part in _SENTENCE.split(line[bullet.end() if bullet else 0 :])
        )
        found += filter(None, read)
        if not bullet:
            heading = found[-1] if found and _heads(line.strip()) else None
    return found


def says(pattern: str, found: Sequence[Sentence]) -> bool:
    """Whether any sentence that is no question and no condition says what a pattern looks for.

    Args:
        pattern: see the module.
        found: the sentences of a text.
    """
    wanted = _compiled(pattern)
    return any(wanted.stands_in(sentence) for sentence in found if not sentence.is_open)


@dataclass(frozen=True)
class _Pattern:
    """A pattern, read.

    Attributes:
        elements: of the phrases of each, one must stand in the sentence.
        mode: "" for what is said, "!" for what is denied, "?" for either.
    """

    elements: tuple[tuple[Phrase, ...], ...]
    mode: str

    def stands_in(self, sentence: Sentence) -> bool:
        """Whether each element does: all said, with "!" one of them denied."""
        any_denied = False
        for element in self.elements:
            denied = [any(sentence.denied[n] for n in hit) for one in element for hit in places(one, sentence.words)]
            if not denied or (self.mode == "" and all(denied)):
                return False
            any_denied = any_denied or any(denied)
        return any_denied or self.mode != "!"


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> _Pattern:
    mode = pattern[: len(pattern) - len(pattern.lstrip(MODES))]
    return _Pattern(tuple(map(tuple, phrases(pattern))), mode)


def _heads(line: str) -> bool:
    """Whether a line is the heading of what follows: it ends with a colon, or stands out as a whole."""
    return line.strip(_CLOSING).endswith(":") or line.startswith("#") or (line.startswith("**") and line.endswith("**"))


def _plain(text: str) -> str:
    """Lower case, with short forms written out."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("‘", "'")
    for short, long in _LONG_FORMS:
        plain = short.sub(long, plain)
    return plain


def _read(text: str, heading: Sentence | None) -> Sentence | None:
    """A sentence, or None where there is no word."""
    tokens = [t for t in _TOKEN.findall(_MARKUP.sub(" ", text)) if t not in _UNSAID]
    words = [t for t in tokens if t not in _BREAKS]
    if not words:
        return None
    walk = Denials(words, begins_denied=bool(heading and heading.denied[-1]))
    for token in tokens:
        walk.break_off(token) if token in _BREAKS else walk.word()
    is_open = text.rstrip(_CLOSING).endswith("?") or bool(_OPEN.starts(words)) or bool(heading and heading.is_open)
    return Sentence(tuple(words), tuple(walk.denied), is_open)

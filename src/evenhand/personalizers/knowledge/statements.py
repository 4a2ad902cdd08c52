"""What a user let know of himself in a session: his own sentences, found by rule, so that nothing is made up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evenhand.types import Session

_SENTENCE = re.compile(r"[^.!?\n;]+[.!?]?")
_OF_ONESELF = re.compile(r"\b(?:i|i'm|i've|i'd|me|my|mine|we|our)\b", re.IGNORECASE)
_ASKING = re.compile(
    r"^\W*(?:(?:can|could|would|will|should|do|does|did|is|are|may) (?:you|i|it|this|that|there)|please|how|what|why|"
    r"which|when|where|who|tell|give|show|help|explain|write|list|name|suggest|recommend|need|find)\b",
    re.IGNORECASE,
)
# What was so before is so no longer ...
_TAKEN_BACK = re.compile(
    r"\b(?:no longer|not (?:\w+ ){1,4}any ?more|any ?more|stopped|used to|quit|gave up|given up|sold|retired|"
    r"left (?:the|my|our)|moved (?:to|out|in|away|from|into)|switched (?:to|from|over))\b",
    re.IGNORECASE,
)
# ... or may be: "I'll ring her now" takes nothing back.
_CHANGE = re.compile(r"\b(?:now|these days|instead|from (?:today|now)|was never|changed)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.,:;()]|\b(?:but|and|so|because)\b")
# Beginnings of the words that mark a change.
_MARKERS = frozenset(
    {"long", "anym", "stop", "used", "quit", "gave", "give", "sold", "reti", "left", "move", "swit", "now", "any"}
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_STEM = 4
_FEWEST, _MOST_WORDS = 4, 30
_FROM_TURNS = 2


def statements(session: Session) -> Iterator[str]:
    """What the user said of himself in the two turns that say most, and the feedback; in the order they were said."""
    turns = [_of_oneself(message.content) for message in session.messages if message.role == "user"]
    said = list(dict.fromkeys(turn for turn in turns if turn))
    longest = sorted(said, key=lambda turn: -len(content_words(turn)))[:_FROM_TURNS]
    yield from (turn for turn in said if turn in longest)
    if len(session.feedback.split()) >= _FEWEST:
        yield " ".join(session.feedback.split())


def takes_back(statement: str, earlier: str) -> bool:
    """Whether a statement says that something earlier is so no longer: a part of it ends that very thing."""
    parts = [part for part in _CLAUSE.split(statement) if _TAKEN_BACK.search(part)]
    return any(content_words(part) & content_words(earlier) for part in parts)


def marks_change(statement: str) -> bool:
    """Whether a statement may say that something is so no longer."""
    return bool(_TAKEN_BACK.search(statement) or _CHANGE.search(statement))


def content_words(text: str) -> set[str]:
    """The beginnings of the longer words of a text, without those that are in every text."""
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words = {word.lower() for word in _WORD.findall(text)} - set(STOPWORDS_EN_PLUS)
    return {word[:_STEM] for word in words} - _MARKERS


def _of_oneself(turn: str) -> str:
    """The part of a turn that speaks of the user: its sentences that ask nothing, or if those are long, the longest
    that speaks of him; "" where none does."""
    told = [s for s in _sentences(turn) if not s.endswith("?") and not _ASKING.match(s)]
    own = [s for s in told if _OF_ONESELF.search(s) and _FEWEST <= len(s.split()) <= _MOST_WORDS]
    whole = " ".join(told)
    if not own or len(whole.split()) <= _MOST_WORDS:
        return whole if own else ""
    return max(own, key=lambda s: len(content_words(s)))


def _sentences(text: str) -> list[str]:
    return [s for match in _SENTENCE.finditer(text) if (s := match.group().strip(" ,-"))]

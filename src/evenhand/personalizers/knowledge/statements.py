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
# What was so before is so no longer.
_CHANGE = re.compile(
    r"\b(?:no longer|not (?:\w+ ){1,4}any ?more|any ?more|stopped|used to|quit|gave up|given up|sold|retired|"
    r"moved (?:to|out|away|from|into)|switched (?:to|from|over))\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,:;()]|\b(?:but|and|so|because)\b")
# Of the words that mark a change, those long enough to count as content.
_MARKERS = frozenset({"longe", "anymo", "stopp", "given", "switc", "retir", "moved"})
_WORD = re.compile(r"[^\W\d_]{4,}")
_STEM = 5
_FEWEST, _MOST_WORDS = 4, 30
_FROM_TURNS = 2


def statements(session: Session) -> Iterator[str]:
    """The feedback, and the two sentences about the user that say most; in the order they were said."""
    said = [
        sentence
        for message in session.messages
        if message.role == "user"
        for sentence in _sentences(message.content)
        if _OF_ONESELF.search(sentence) and not sentence.endswith("?") and not _ASKING.match(sentence)
    ]
    longest = sorted(said, key=lambda sentence: -len(content_words(sentence)))[:_FROM_TURNS]
    yield from (sentence for sentence in dict.fromkeys(said) if sentence in longest)
    if len(session.feedback.split()) >= _FEWEST:
        yield " ".join(session.feedback.split())


def takes_back(statement: str, earlier: str) -> bool:
    """Whether a statement says that something earlier is so no longer: part of it marks a change in the same thing."""
    parts = [part for part in _CLAUSE.split(statement) if _CHANGE.search(part)]
    return any(content_words(part) & content_words(earlier) for part in parts)


def marks_change(statement: str) -> bool:
    """Whether a statement says that anything is so no longer."""
    return bool(_CHANGE.search(statement))


def content_words(text: str) -> set[str]:
    """The beginnings of the longer words of a text, without those that are in every text."""
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words = {word.lower() for word in _WORD.findall(text)} - set(STOPWORDS_EN_PLUS)
    return {word[:_STEM] for word in words} - _MARKERS


def _sentences(text: str) -> Iterator[str]:
    for match in _SENTENCE.finditer(text):
        sentence = match.group().strip(" ,-")
        if _FEWEST <= len(sentence.split()) <= _MOST_WORDS:
            yield sentence

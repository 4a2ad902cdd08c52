"""Phrases of whole words in lists of words: ``step-free``, with any ending ``nut*``, with a gap ``your-~-allerg*``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from evenhand.suites.patterns import GAP

_LONGEST_GAP = 2
_LONGEST_STEM = 16
# What may not stand in a gap: there the phrase would be about something else ("your doctor about allergies").
_NO_GAP = frozenset(
    {
        *("about", "of", "with", "for", "to", "and", "or", "in", "on", "at", "by", "from", "if", "whether"),
        *("not", "any", "no", "other", "some"),
        *("doctor", "pharmacist", "physician", "guest", "guests", "friend", "friends"),
    }
)

Phrase = tuple[str, ...]


def places(wanted: Phrase, words: Sequence[str]) -> list[range]:
    """Where a phrase stands, as ranges of positions."""
    starts = (place for place, word in enumerate(words) if _same(wanted[0], word))
    ends = ((start, _end(wanted, words, start)) for start in starts)
    return [range(start, end) for start, end in ends if end]


class Marks:
    """Many phrases that are looked for at once.

    Args:
        texts: the phrases as they are written.
    """

    def __init__(self, *texts: str) -> None:
        self._by_first: dict[str, list[Phrase]] = {}
        for wanted in (tuple(text.split("-")) for text in texts):
            self._by_first.setdefault(wanted[0], []).append(wanted)

    def ranges(self, words: Sequence[str]) -> Iterator[range]:
        """Where any of them stands, as ranges of positions."""
        for start, word in enumerate(words):
            for key in _stems(word):
                for wanted in self._by_first.get(key, ()):
                    if end := _end(wanted, words, start):
                        yield range(start, end)

    def starts(self, words: Sequence[str]) -> set[int]:
        """Where any of them begins."""
        return {found.start for found in self.ranges(words)}


@lru_cache(maxsize=4096)
def _stems(word: str) -> tuple[str, ...]:
    """A word as phrases may write it: whole, and cut with a star."""
    return (word, *(word[:n] + "*" for n in range(2, min(len(word), _LONGEST_STEM) + 1)))


def _end(wanted: Phrase, words: Sequence[str], start: int) -> int:
    """Where a phrase that begins at ``start`` ends, or 0."""
    place, gap = start, 0
    for part in wanted:
        if part == GAP:
            gap = _LONGEST_GAP
            continue
        while gap and place < len(words) and not _same(part, words[place]) and words[place] not in _NO_GAP:
            place, gap = place + 1, gap - 1
        if place >= len(words) or not _same(part, words[place]):
            return 0
        place, gap = place + 1, 0
    return place


def _same(part: str, word: str) -> bool:
    return word.startswith(part[:-1]) if part.endswith("*") else word == part

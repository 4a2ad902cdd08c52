"""Many regular expressions looked for in one pass over the words of a text.

A search tries its expression at every character. Those of the judges begin with words, each with a few of them, so that
it is enough to try them where such a word stands: the same is found, in a fraction of the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand.judges.beginnings import Beginning, beginnings

_WORD = re.compile(r"\w+")
# What an expression that ignores case takes for letters that lowering does not make of them.
_AS_LETTERS = str.maketrans("İıſ", "iis")
_KEPT_WORDS, _LONGEST_KEPT = 16_384, 32

# Which expressions may begin in a word: (number of the expression, letters of the word in front of it).
Places = tuple[tuple[int, int], ...]


class AtWords:
    """Looks for several expressions at once; it finds what a search for each of them would find.

    Args:
        patterns: the expressions, of which all ignore case, or none.

    Attributes:
        patterns: the same.

    Raises:
        ValueError: one can begin with no word (:func:`evenhand.judges.beginnings.beginnings`).
    """

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        ignoring = {bool(pattern.flags & re.IGNORECASE) for pattern in patterns}
        if len(ignoring) > 1:
            raise ValueError("some of the expressions ignore case, and some do not")
        self.patterns: tuple[re.Pattern[str], ...] = tuple(patterns)
        self._match = [pattern.match for pattern in patterns]
        ways = [(number, way) for number, pattern in enumerate(patterns) for way in beginnings(pattern)]
        self._at_start = sorted({number for number, way in ways if way.at_start})
        self._places = _Words([(number, way) for number, way in ways if not way.at_start], True in ignoring)

    def matches(self, text: str) -> list[re.Match[str] | None]:
        """The first match of each expression, in their order."""
        match, places = self._match, self._places
        found: list[re.Match[str] | None] = [None] * len(match)
        for number in self._at_start:
            found[number] = match[number](text)
        for word in _WORD.finditer(text):
            for number, offset in places[word[0]]:
                if found[number] is None:
                    found[number] = match[number](text, word.start() + offset)
        return found

    def any(self, text: str) -> bool:
        """Whether any of the expressions is found."""
        match, places = self._match, self._places
        if any(match[number](text) for number in self._at_start):
            return True
        for word in _WORD.finditer(text):
            for number, offset in places[word[0]]:
                if match[number](text, word.start() + offset):
                    return True
        return False


class _Words(dict[str, Places]):
    """Word -> which expressions may begin in it, those that begin further to the left first; told when it is met.

    Args:
        ways: (number of the expression, how it may begin).
        ignores_case: whether words are looked at in small letters.
    """

    def __init__(self, ways: Sequence[tuple[int, Beginning]], ignores_case: bool) -> None:
        super().__init__()
        self._ignores_case = ignores_case
        self._whole: dict[str, set[int]] = {}
        self._begun: dict[str, set[int]] = {}
        self._inside = [(number, way) for number, way in ways if not way.is_first]
        for number, way in ways:
            if way.is_first:
                (self._whole if way.is_whole else self._begun).setdefault(way.letters, set()).add(number)
        # First letter -> how many letters are looked at: most words, and all numbers, are told by that one.
        self._lengths: dict[str, set[int]] = {}
        for letters in self._begun:
            self._lengths.setdefault(letters[:1], set()).add(len(letters))

    def __missing__(self, word: str) -> Places:
        read = word.translate(_AS_LETTERS).lower() if self._ignores_case else word
        numbers = set(self._whole.get(read, ()))
        for length in (*self._lengths.get("", ()), *self._lengths.get(read[0], ())):
            numbers.update(self._begun.get(read[:length], ()))
        inside = ((number, offset) for number, way in self._inside for offset in _offsets(way, read))
        found = {*((number, 0) for number in numbers), *inside}
        places = tuple(sorted(found, key=lambda place: place[::-1]))
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _KEPT_WORDS:
                self.clear()
            self[word] = places
        return places


def _offsets(way: Beginning, word: str) -> list[int]:
    """Where in a word an expression may begin that need not begin with the word."""
    if way.is_whole:
        return [len(word) - len(way.letters)] if word.endswith(way.letters) else []
    return [found.start() for found in re.finditer(f"(?={re.escape(way.letters)})", word)]

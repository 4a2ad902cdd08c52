"""With which words a match of a regular expression can begin, read off the expression itself.

It reads the syntax in which the judges' phrases are written, and refuses the rest. Where it cannot tell how a match
begins it names more ways than there are, never fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

_MARK = re.compile(
    r"\\.|\[\^?(?:\\.|[^\]\\])+\]|\(\?(?:[:=!]|<[=!]|[a-z]+\))|[()|]|(?:[?*+]|\{\d+(?:,\d*)?\})\??|.", re.DOTALL
)
_QUANTIFIER = re.compile(r"[?*+{]")
_GROUP, _AROUND, _FLAG = "(?:", ("(?=", "(?!", "(?<=", "(?<!"), "(?i)"
_LETTERS, _NO_LETTERS = (r"\w", r"\d"), (r"\W", r"\s", r"\n", r"\Z", "$", r"\b")
_ANYTHING = r"\S"  # may go on with the word, or not


@dataclass(frozen=True)
class Beginning:
    r"""One way in which a match begins: with the letters of a word (``\w+``), or where the text does.

    Attributes:
        letters: letters, digits and ``_``; small ones where the expression ignores case.
        is_whole: whether nothing of the word follows them.
        is_first: whether nothing of the word stands in front of them.
        at_start: whether it begins where the text does, with anything; the others say nothing then.
    """

    letters: str
    is_whole: bool
    is_first: bool
    at_start: bool = False


@dataclass(frozen=True)
class _Part:
    """A character, class or anchor of an expression, or a group as its branches; one thing of those in a row."""

    what: str | tuple[tuple[_Part, ...], ...]
    is_optional: bool = False
    is_repeated: bool = False


def beginnings(pattern: re.Pattern[str]) -> frozenset[Beginning]:
    """All ways in which a match of an expression can begin.

    Raises:
        ValueError: it can begin with no word and not at the start, or is written in a way that is not known here.
    """
    if pattern.flags & (re.MULTILINE | re.VERBOSE | re.ASCII):
        raise ValueError(f"its flags are not known here: {pattern.pattern}")
    marks = _MARK.findall(pattern.pattern)[::-1]
    found = frozenset(way for branch in _branches(marks) for way in _of(branch, "", False))
    if marks:
        raise ValueError(f"it closes a bracket that is not open: {pattern.pattern}")
    if not pattern.flags & re.IGNORECASE:
        return found
    if not all(way.letters.isascii() for way in found):
        raise ValueError(f"capitals of its letters are not known here: {pattern.pattern}")
    return frozenset(replace(way, letters=way.letters.lower()) for way in found)


def _branches(marks: list[str]) -> tuple[tuple[_Part, ...], ...]:
    """The branches up to the bracket that closes them. Takes their marks, of which the last comes next."""
    branches: list[tuple[_Part, ...]] = []
    parts: list[_Part] = []
    while marks and marks[-1] != ")":
        mark = marks.pop()
        if mark == "|":
            branches.append(tuple(parts))
            parts = []
        elif mark == _GROUP or mark in _AROUND:
            inside = _branches(marks)
            if not marks:
                raise ValueError("a bracket is not closed")
            marks.pop()
            if mark == _GROUP:  # what must stand around a match does not say how it begins
                parts.append(_Part(inside, *_times(marks)))
        elif mark != _FLAG:
            parts.append(_Part(mark, *_times(marks)))
    return (*branches, tuple(parts))


def _times(marks: list[str]) -> tuple[bool, bool]:
    """Whether what stands in front is optional, and whether it may be repeated. Takes the quantifier."""
    if not marks or not _QUANTIFIER.match(marks[-1]):
        return False, False
    quantifier = marks.pop()
    return quantifier[0] in "?*" or quantifier.startswith("{0"), quantifier[0] != "?"


def _of(parts: Sequence[_Part], letters: str, is_first: bool) -> Iterator[Beginning]:
    """How ``parts`` begin, behind the letters of the word that were told already."""
    if not parts:
        if not letters:
            raise ValueError("it can match nothing")
        yield Beginning(letters, False, is_first)
        return
    part, rest = parts[0], parts[1:]
    if part.is_optional:
        yield from _of(rest, letters, is_first)
    if part.is_repeated:
        rest = (_Part(_ANYTHING),)
    if isinstance(part.what, tuple):
        for branch in part.what:
            yield from _of((*branch, *rest), letters, is_first)
    elif part.what == "^" and not letters:
        yield Beginning("", False, True, at_start=True)
    elif part.what == r"\b" and not letters:
        yield from _of(rest, letters, True)
    else:
        yield from _of_mark(part.what, rest, letters, is_first)


def _of_mark(mark: str, rest: Sequence[_Part], letters: str, is_first: bool) -> Iterator[Beginning]:
    """As :func:`_of`, where a character comes next, or what stands for one."""
    characters = _characters(mark)
    for character in filter(_is_letter, characters):
        yield from _of(rest, letters + character, is_first)
    may_end = mark in _NO_LETTERS or not all(map(_is_letter, characters))
    may_go_on = not characters and mark not in _NO_LETTERS
    if not letters and (may_end or (may_go_on and mark not in _LETTERS)):
        raise ValueError(f"it can begin with no word, at {mark}")
    if may_end or may_go_on:
        yield Beginning(letters, not may_go_on, is_first)


def _characters(mark: str) -> str:
    """The characters that a mark stands for; "" where they are not told one by one."""
    if mark[0] == "[":
        inside = mark[1:-1]
        return "" if inside[0] == "^" or "\\" in inside or "-" in inside[1:-1] else inside
    if mark[0] == "\\" and not mark[1].isalnum():
        return mark[1]
    if mark in (*_LETTERS, *_NO_LETTERS, _ANYTHING, "."):
        return ""
    if len(mark) > 1 or mark in "(){}^":
        raise ValueError(f"not known here: {mark}")
    return mark


def _is_letter(character: str) -> bool:
    """Whether it is what a regular expression takes for a part of a word."""
    return character.isalnum() or character == "_"

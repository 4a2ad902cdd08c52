"""Grades in what a judge wrote: JSON, "4/5", "Score: 4", a number in words, the name of a class.

What a judge quotes of the answer is no grade, and a text that gives two different ones gives none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evenhand.json_text import json_objects
from evenhand.judges.gaps import without_long_gaps

Grade = float | str

KEYS = ("grade", "score", "rating", "verdict", "class", "label", "better")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LED = rf"\b(?:{'|'.join(KEYS)})\b(?:\s*\([^()\n]{{0,30}}\))?(?:\s+is\b)?(?:[\s:=*_]|[-–](?=\s))*"
_N = rf"(?<![\w.])(?P<n>-?\d{{1,3}}(?:\.\d+)?|\b(?:{'|'.join(_WORDS)})\b)"
_OF = rf"(?:\s*(?:/|\bout\s+of\b)\s*(?P<of>\d{{1,3}}|\b(?:{'|'.join(_WORDS)})\b))"
# Not the beginning of a range ("1-5"), of a longer number, or of a percentage.
_END = r"(?![\w%])(?!\.\d)(?!\s*(?:-|–|—|\bto\b)\s*\d)"
_NUMBERS = re.compile(rf"{_LED}{_N}{_OF}?{_END}|{_N.replace('?P<n>', '?P<m>')}{_OF.replace('?P<of>', '?P<by>')}{_END}")
_ALONE = re.compile(rf"[^\w-]*{_N}{_OF}?\W*")
_QUOTED = re.compile(
    r"\"[^\"\n]*\"|“[^”]*”|«[^»]*»|`[^`\n]+`|(?<!\w)'[^'\n]*'(?!\w)|(?<!\w)‘[^’\n]*’(?!\w)|^[^\S\n]*>.*$", re.MULTILINE
)

# Looking for the end of each such quotation would take quadratic time.
_UNCLOSED = "‟"


@dataclass(frozen=True)
class Scale:
    """What grades there are, and what they score.

    Attributes:
        low, high: ends of a scale of numbers.
        high_is_good: which of them scores 1.
        classes: names, instead of numbers.
        good: those that score 1.
    """

    low: int = 0
    high: int = 0
    high_is_good: bool = True
    classes: tuple[str, ...] = ()
    good: frozenset[str] = frozenset()

    @property
    def described(self) -> str:
        """As a judge is told: "1 to 5", or the classes."""
        return ", ".join(self.classes) if self.classes else f"{self.low} to {self.high}"

    def score(self, grade: Grade) -> float:
        """In [0, 1], of one of the scale's grades."""
        if isinstance(grade, str):
            return float(grade in self.good)
        share = (grade - self.low) / (self.high - self.low)
        return share if self.high_is_good else 1 - share

    def grade(self, value: object) -> Grade | None:
        """A decoded value as one of the scale's grades, or None."""
        if isinstance(value, bool):
            return None
        if self.classes:
            return self._by_name().get(normal(value)) if isinstance(value, str) else None
        if isinstance(value, int | float):
            return self._within(float(value))
        alone = _ALONE.fullmatch(value.casefold()) if isinstance(value, str) else None
        return self._number(alone["n"], alone["of"]) if alone else None

    def stated(self, answer: dict[str, Any]) -> Grade | None:
        """The grade in a decoded object, or None."""
        return next((self.grade(answer[key]) for key in KEYS if key in answer), None)

    def spoken(self, text: str) -> Grade | None:
        """The one grade that the words of a text give outside of objects, or None."""
        said = unquoted(text).casefold().strip()
        alone = self.grade(said.strip("*_#. \n"))
        if alone is not None:
            return alone
        given = set(self._named(said) if self.classes else self._counted(said))
        return given.pop() if len(given) == 1 else None

    def _counted(self, said: str) -> Iterator[Grade | None]:
        for match in _NUMBERS.finditer(said):
            yield self._number(match["n"] or match["m"], match["of"] or match["by"])

    def _named(self, said: str) -> Iterator[Grade | None]:
        names = self._by_name()
        either = "|".join(re.escape(name).replace(r"\ ", r"[\s_-]+") for name in sorted(names, key=len, reverse=True))
        for match in re.finditer(rf"{_LED}(?P<name>{either})(?!\w)", said):
            yield names[normal(match["name"])]

    def _by_name(self) -> dict[str, str]:
        return {normal(name): name for name in self.classes}

    def _number(self, number: str, of: str | None) -> Grade | None:
        if of is not None and _value(of) != self.high:
            return None  # a grade on another scale
        return self._within(_value(number))

    def _within(self, value: float) -> Grade | None:
        return value if self.low <= value <= self.high else None


def unquoted(text: str) -> str:
    """A text without its JSON objects, and without what it quotes."""
    end, rest = 0, ""
    for start, stop, _ in json_objects(text):
        rest, end = f"{rest}{text[end:start]} ", stop
    said = without_long_gaps((rest + text[end:]).replace("```", " "))
    for opening, closing in ("“”", "«»"):
        said = _closed(said, opening, closing)
    return _QUOTED.sub(" ", "\n".join(_closed(line, "‘", "’") for line in said.split("\n")))


def _closed(text: str, opening: str, closing: str) -> str:
    """``text`` with another mark for those that begin a quotation and that nothing closes."""
    head, mark, rest = text.rpartition(closing)
    return f"{head}{mark}{rest.replace(opening, _UNCLOSED)}"


def normal(name: object) -> str:
    """A class's name without what makes no difference: case, hyphens, underscores, punctuation around it."""
    return " ".join(re.split(r"[\s_\-]+", str(name).casefold().strip(" \t\n.*_\"'`:"))).strip()


def _value(number: str) -> float:
    return float(_WORDS.index(number)) if number in _WORDS else float(number)

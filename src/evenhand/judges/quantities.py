"""Quantities as people and models write them: digits, fractions, scales, currencies, words."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_EXPONENT = r"(?:[eE][-+]?\d+)?"
# A list of numbers of three digits is read once more from each of them: bounded, so that this takes linear time.
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,99}(?!\d)|\d+)"
_DIGITS = rf"{_WHOLE}(?:\.\d+)?{_EXPONENT}|\.\d+{_EXPONENT}"
_SIGN = r"(?:(?<![\w)])[-−–+]\s?)?"
NUMBER = rf"{_SIGN}[$€£]?\s?{_SIGN}(?:{_DIGITS})(?:\s*/\s*\d+(?![\d/]))?"
# A number of more characters, or with an exponent of more than three digits, is none: 1e99999999 would fill the memory.
_LONGEST = 300

_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([-−]?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]{0,200})\}")
_MIXED = re.compile(r"(?<![\d.,/])(\d{1,18})\s+(\d{1,18})\s*/\s*(\d{1,18})(?![\d/])")
_POWER = re.compile(r"(?<![\d.])(\d{1,4})\s*(?:\^|\*\*)\s*\{?(\d{1,2})\}?(?!\d)")
_VULGAR = re.compile(r"(\d{0,18})\s?([\u00bc-\u00be\u2150-\u215e])")
# "18,5" and "1.234,5", as much of the world writes them; "1,234" and lists are left alone.
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3}){1,6}|\d{1,18}),(\d{1,2})(?![\d,]|\.\d)")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LETTERS = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion", "bn": "billion"}
_SCALED = re.compile(
    rf"(?<![\d.,/])((?:{_WHOLE})(?:\.\d{{1,18}})?)[\s\u00a0-]{{0,3}}(thousand|million|billion|trillion)s?\b",
    re.IGNORECASE,
)

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: n for n, word in enumerate(_ONES)} | {word: 20 + 10 * n for n, word in enumerate(_TENS)}
_WORD = "|".join((*_ONES, *_TENS, "hundred", *_SCALES))
SPELLED = rf"(?:(?:negative|minus)\s+)?\b(?:{_WORD})\b(?:(?:\s+|-|\s+and\s+)(?:{_WORD})\b){{0,11}}"


def parse_number(text: str) -> Fraction | None:
    """The value of a number as people write it: "1,234.50", "-3/4", "$18", "18.0", or None when it is none.

    At most 300 characters and exponents up to 999.
    """
    cleaned = re.sub(r"[,\s\u00a0\u202f$€£]|(?<![eE])\+", "", text).replace("−", "-").replace("–", "-")
    if len(cleaned) > _LONGEST or re.search(r"[eE][-+]?\d{4}", cleaned):
        return None
    try:
        return Fraction(cleaned)
    except (ValueError, ZeroDivisionError):
        return None


def normalised(text: str, *, scales: bool = True) -> str:
    """``text`` with every quantity in digits that :data:`NUMBER` matches.

    Args:
        text: an answer.
        scales: whether "2.5 million" becomes 2500000; it stays 2.5 otherwise.
    """
    text = _LATEX_TEXT.sub(r"\1", text)
    text = _LATEX_FRACTION.sub(r" \1/\2 ", text).replace(r"\$", "$").replace(r"\,", "").replace("{,}", ",")
    text = _DECIMAL_COMMA.sub(lambda m: f"{m[1].replace('.', '')}.{m[2]}", text)
    text = _VULGAR.sub(_in_digits, text)
    text = _POWER.sub(lambda m: str(int(m[1]) ** int(m[2])), _MIXED.sub(_one_fraction, text))
    text = re.sub(r"(?i)\b(?:negative|minus)\s+(?=[$€£]?\d)(?<!\d minus )(?<!\d\) minus )", "-", text)
    text = re.sub(r"(?<=\d)(k|K|M|B|bn)(?![\w²³/])", lambda m: f" {_LETTERS[m[1]]}", text)
    return _SCALED.sub(lambda m: _scaled(m, scales), text)


def spelled_number(words: str) -> Fraction | None:
    """The value of a number in words ("minus one hundred and twenty-five"), or None when they are none."""
    total, group, seen = 0, 0, False
    negative = False
    for word in re.split(r"[\s-]+", words.strip().lower()):
        if word in ("negative", "minus"):
            negative = True
        elif word in _VALUES:
            group, seen = group + _VALUES[word], True
        elif word == "hundred":
            group, seen = (group or 1) * 100, True
        elif word in _SCALES:
            total, group, seen = total + (group or 1) * _SCALES[word], 0, True
        elif word != "and":
            return None
    return Fraction(-(total + group) if negative else total + group) if seen else None


def _scaled(match: re.Match[str], scales: bool) -> str:
    value = parse_number(match[1])
    if value is None:
        return match[0]
    whole = value * (_SCALES[match[2].lower()] if scales else 1)
    return str(whole.numerator) if whole.denominator == 1 else match[1]


def _in_digits(vulgar: re.Match[str]) -> str:
    value = Fraction(unicodedata.numeric(vulgar[2])).limit_denominator(10) + int(vulgar[1] or 0)
    return f" {value.numerator}/{value.denominator} "


def _one_fraction(mixed: re.Match[str]) -> str:
    """ "3 1/2" as "7/2"."""
    whole, top, bottom = (int(part) for part in mixed.groups())
    return f"{whole * bottom + top}/{bottom}" if 0 < top < bottom else mixed[0]

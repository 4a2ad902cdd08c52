"""Numbers: does the response's final number equal the reference?"""

from __future__ import annotations

import re
from fractions import Fraction

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.types import Item, Response, Verdict

_EXPONENT = r"(?:[eE][-+]?\d+)?"
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)|\d+)"
_DIGITS = rf"{_WHOLE}(?:\.\d+)?{_EXPONENT}|\.\d+{_EXPONENT}"
_SIGN = r"(?:(?<![\w)])[-−–+]\s?)?"
_NUMBER = rf"{_SIGN}[$€£]?\s?{_SIGN}(?:{_DIGITS})(?:\s*/\s*\d+(?![\d/]))?"
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([-−]?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_TOLERANCE = Fraction(1, 1_000_000)
# A number of more characters, or with an exponent of more than three digits, is none: 1e99999999 would fill the memory.
_LONGEST = 300
_LEAD = r"(?:answer(?:\s*(?:\bis\b|=|:))+|####|final answer\W+)"
_MIXED = re.compile(r"(?<![\d.,/])(\d{1,18})\s+(\d{1,18})\s*/\s*(\d{1,18})(?![\d/])")
_POWER = re.compile(r"(?<![\d.])(\d{1,4})\s*(?:\^|\*\*)\s*\{?(\d{1,2})\}?(?!\d)")
_DENIED = re.compile(r"(?i:\bnot\s+)[$€£]?[-−]?\d[\d,.]*\d?\s*,?\s*(?i:but)\b")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SPELLED = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?:[-\s]({'|'.join(_ONES[1:10])}))?|({'|'.join(_ONES)}))(?:\s+(hundred|thousand))?\b",
    re.I,
)


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


def find_number(text: str, *, finished: bool = True) -> Fraction | None:
    """The number ``text`` gives as its answer, or None.

    The last number after "the answer is", "####" or in a LaTeX box wins. Without one, the last number of the text
    counts, but only when the response is finished: in a truncated derivation the last number is an intermediate one.
    """
    text = _FRACTION.sub(r" \1/\2 ", text).replace(r"\$", "$").replace(r"\,", "").replace("{,}", ",")
    text = _POWER.sub(lambda m: str(int(m[1]) ** int(m[2])), _MIXED.sub(_one_fraction, _DENIED.sub("", text)))
    boxed = re.findall(r"\\boxed\s*\{([^{}]*)\}", text)
    for content in reversed(boxed):
        if numbers := re.findall(_NUMBER, content):
            return parse_number(numbers[-1])
    lead = re.findall(rf"(?i:{_LEAD})[^\d\n]{{0,40}}?({_NUMBER})", text)
    if lead:
        return parse_number(lead[-1])
    if spelled := re.findall(rf"(?i:{_LEAD})\W{{0,10}}({_SPELLED.pattern})", text, re.I):
        return _spelled_number(spelled[-1][0])
    if not finished:
        return None
    numbers = re.findall(_NUMBER, text)
    return parse_number(numbers[-1]) if numbers else None


def _one_fraction(mixed: re.Match[str]) -> str:
    """ "3 1/2" as "7/2"."""
    whole, top, bottom = (int(part) for part in mixed.groups())
    return f"{whole * bottom + top}/{bottom}" if 0 < top < bottom else mixed[0]


def _spelled_number(words: str) -> Fraction | None:
    match = _SPELLED.fullmatch(words.strip())
    if not match:
        return None
    tens, ones, small, scale = (part.lower() if part else "" for part in match.groups())
    value = 20 + 10 * _TENS.index(tens) if tens else _ONES.index(small)
    value += _ONES.index(ones) if ones else 0
    return Fraction(value * {"": 1, "hundred": 100, "thousand": 1000}[scale])


def same_number(one: Fraction, other: Fraction) -> bool:
    """Equality up to one part in a million, so that 18.0 is 18 and 0.333333 is 1/3."""
    return abs(one - other) <= _TOLERANCE * max(abs(one), abs(other), Fraction(1))


@JUDGES.register("number")
class NumberJudge(Judge):
    """Correct (1) when the final number equals the target."""

    name = "number"
    version = "3"
    summary = "numeric equality of the final number"
    needs_reference = True

    async def decide(self, item: Item, response: Response) -> Verdict:
        target = parse_number(item.target or "")
        if target is None:
            return Verdict(None, "no-target", f"the reference '{item.target}' is not a number")
        value = find_number(response.text, finished=response.finish_reason != "length")
        if value is None:
            return no_answer(response)
        right = same_number(value, target)
        shown = value.numerator if value.denominator == 1 else float(value)
        return Verdict(float(right), "correct" if right else "wrong", f"says {shown}")

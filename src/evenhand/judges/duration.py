"""Durations: does the time that the response comes to equal the reference?"""

from __future__ import annotations

import re
from fractions import Fraction

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.judges.quantities import NUMBER, SPELLED, normalised, parse_number, spelled_number
from evenhand.types import Item, Response, Verdict

# Shortest and longest of each unit in seconds: months and years differ.
_DAY = 86_400
_UNITS = {
    "s": (1, 1),
    "min": (60, 60),
    "h": (3_600, 3_600),
    "day": (_DAY, _DAY),
    "week": (7 * _DAY, 7 * _DAY),
    "month": (28 * _DAY, 31 * _DAY),
    "year": (365 * _DAY, 366 * _DAY),
}
_UNIT = {
    "s": r"s(?:ec(?:ond)?s?)?",
    "min": r"m(?:in(?:ute)?s?)?",
    "h": r"h(?:(?:ou)?rs?)?",
    "day": r"d(?:ays?)?",
    "week": r"w(?:ee)?ks?|w",
    "month": r"months?",
    "year": r"y(?:ea)?rs?",
}
_NAMED = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _UNIT.items())
_HALF = r"\s{1,3}and\s{1,3}a\s{1,3}half\b"
# A number is taken whole or not at all, so that this takes linear time.
_SPAN = re.compile(
    rf"(?P<count>(?<![\d.,])(?>{NUMBER})|(?>{SPELLED})|\bhalf\s{{1,3}}an?\b|\ban?\b)(?P<half>{_HALF})?"
    rf"[\s-]{{0,2}}(?:{_NAMED})(?![a-zA-Z])(?P<more>{_HALF})?",
    re.IGNORECASE,
)
_TAG = re.compile(r"(?i)<(?:final_?)?answer>([^<]{1,300})</(?:final_?)?answer>")
_BOX = re.compile(r"\\boxed\s*\{([^{}]{0,200})\}")
_LEAD = re.compile(r"(?i)\banswer(?:\s*(?:\bis\b|=|:))+")
_ASIDE = re.compile(r"\([^()]{0,100}\)")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_ABBREVIATED = re.compile(r"(?i)\b(mins?|hrs?|secs?|h|d|s)\.(?=\s+\d)")
# Parts of one duration stand side by side: "1 hour, 20 minutes", "2 days and 3 h".
_JOINT = re.compile(r"\s*(?:,|and|&|\+|,\s*and)?\s*", re.IGNORECASE)
# So much of a response, of a statement, and so many statements are looked at, from the end: an answer may be made of
# nothing but durations, or of nothing but "the answer is".
_LONGEST, _STATEMENT, _MOST_LEADS = 20_000, 400, 50

Ends = tuple[Fraction, Fraction]


def find_duration(text: str, *, finished: bool = True) -> Ends | None:
    """The time that ``text`` gives as its answer, in seconds, at least and at most; None when it gives none.

    A tag or box for the answer wins over what stands behind "the answer is", and that over the last sentence with a
    duration, which counts only when the response is finished. "an hour and 20 minutes" is one duration; of several,
    as in "10 + 20 = 30 minutes" and "80 minutes or 1 h 20 min", the last counts.

    Args:
        text: the response.
        finished: whether it ended by itself.
    """
    text = _ABBREVIATED.sub(r"\1", normalised(text[-_LONGEST:], scales=False))
    for marked in (_TAG, _BOX):
        for content in reversed(marked.findall(text)):
            if (found := _last(content)) is not None:
                return found
    for lead in reversed(list(_LEAD.finditer(text))[-_MOST_LEADS:]):
        stated = text[lead.end() : lead.end() + _STATEMENT].lstrip()
        if (found := _last(_SENTENCE_END.split(stated, maxsplit=1)[0])) is not None:
            return found
    if not finished:
        return None
    sentences = (_last(sentence) for sentence in reversed(_SENTENCE_END.split(text)))
    return next((found for found in sentences if found is not None), None)


def _last(clause: str) -> Ends | None:
    """The last duration of a statement, in brackets only where there is none outside."""
    for said in (_ASIDE.sub(" ", clause), clause):
        spans = list(_SPAN.finditer(said))
        if not spans:
            continue
        first = len(spans) - 1
        while first and _is_one(said, spans[first - 1], spans[first]):
            first -= 1
        ends = [_ends(span) for span in spans[first:]]
        return sum((low for low, _ in ends), Fraction(0)), sum((high for _, high in ends), Fraction(0))
    return None


def _is_one(text: str, before: re.Match[str], behind: re.Match[str]) -> bool:
    """Whether two spans are parts of one duration: side by side, the larger unit first."""
    joined = _JOINT.fullmatch(text[before.end() : behind.start()]) is not None
    return joined and _UNITS[_unit(before)] > _UNITS[_unit(behind)]


def _unit(span: re.Match[str]) -> str:
    return next(name for name in _UNITS if span[name])


def _ends(span: re.Match[str]) -> Ends:
    count = _count(span["count"].lower()) + (Fraction(1, 2) if span["half"] or span["more"] else 0)
    low, high = _UNITS[_unit(span)]
    return count * low, count * high


def _count(text: str) -> Fraction:
    if text.startswith("half"):
        return Fraction(1, 2)
    if text in ("a", "an"):
        return Fraction(1)
    number = parse_number(text)
    return number if number is not None else spelled_number(text) or Fraction(0)


@JUDGES.register("duration")
class DurationJudge(Judge):
    """Correct (1) when the time lies where the item's ``seconds`` say, in any units.

    ``seconds`` are the shortest and the longest right answer: they differ where a month has no fixed length.
    """

    name = "duration"
    version = "1"
    summary = "equality of the time that the response comes to, in any units"
    needs_reference = True

    async def decide(self, item: Item, response: Response) -> Verdict:
        right = item.extra.get("seconds")
        if not right:
            return Verdict(None, "no-target", "the item does not say how many seconds are right")
        found = find_duration(response.text, finished=response.finish_reason != "length")
        if found is None:
            return no_answer(response)
        is_right = found[0] <= right[1] and found[1] >= right[0]
        said = " to ".join(f"{float(end):g}" for end in dict.fromkeys(found))
        return Verdict(float(is_right), "correct" if is_right else "wrong", f"says {said} s")

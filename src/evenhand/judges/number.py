"""Numbers: does the response's final number equal the reference?"""

from __future__ import annotations

import re
from fractions import Fraction

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.judges.quantities import NUMBER, SPELLED, normalised, parse_number, spelled_number
from evenhand.types import Item, Response, Verdict

_TOLERANCE = Fraction(1, 1_000_000)
# So many statements of an answer, from the end, are looked at: an answer may hold nothing else.
_MOST_LEADS = 50
# Every number has one, and every digit is a number.
_DIGIT = re.compile(r"\d")
_LEAD = re.compile(r"(?i)(?:\banswer(?:\s*(?:\bis\b|=|:))+|####|final answer\W{1,10})")
_DENIED = re.compile(r"(?i:\bnot\s+)[$€£]?[-−]?\d[\d,.]*\d?\s*(?:,\s*)?(?i:but)\b")
_FIELD = re.compile(
    r"""(?i)["'](?:final[_ ]?answer|answer|result|solution|total|value)["']\s*:\s*["']?([^"'}\]\n]{1,80})"""
)
_TAG = re.compile(r"(?i)<(?:final_?)?answer>([^<]{1,200})</(?:final_?)?answer>")
_BOX = re.compile(r"\\boxed\s*\{([^{}]{0,200})\}")
# A question that the model invents and answers, once it has answered the one it was asked.
_RUN_ON = re.compile(
    r"(?i)\n\s{0,20}\W{0,4}(?:q|question|problem|exercise|user|human|example)\s{0,3}\d{0,3}\W{0,4}[:.](?=\s)"
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|[*_\"')]*(?:\s|$))|\n")
# Where a statement ends and its reasons, checks or doubts begin.
_REASONS = re.compile(
    r"(?i)\b(?:since|because|given that|which (?:means|checks)|check:|verif\w+)\b|, as\b"
    r"|\b(?:but|although|though)\b[^.\d]{0,12}\b(?:could|might|may|can)\b"
    r"|\b(?:and not|not|rather than|instead of) (?=[$€£]?\d)"
)
_CORRECTION = re.compile(
    r"(?i)\b(?:wait|correction|scratch that|i mean|i meant|let me correct that)\b\W{0,4}(?:no\b\W{0,4})?"
)
_THEN = re.compile(r"(?i)[,;]\s{0,3}(?:and )?then\b|;\s")
_ASIDE = re.compile(r"\([^()]{0,100}\)|(?<=[^\s\[\]=])\[\d{1,2}\]")
# Behind these words stands what the statement comes to.
_COMES_TO = re.compile(
    r"(?i)\b(?:rounds?|rounded) (?:up |down |off )?to\b|\b(?:so|thus|hence|therefore|altogether|total(?:ing|s)?)\b"
)
_FIRST = re.compile(rf"[\s*_$\\(\[≈~]{{0,12}}({NUMBER})")
_OPERATOR = re.compile(r"[\d)]\s*[-+*/×·÷x−]\s*[\d($]")
# What stands behind an answer and is none: remarks, words to the reader, labels of steps.
_REMARK = re.compile(
    r"(?i)^\W*(?:note\b|n\.?b\.?\b|footnote|remark|this (?:took|assumes|uses|used|is based|required|calculation)"
    r"|as an? [\w-]{0,20}\d|assum|confidence|source|disclaimer|i (?:used|took|hope|checked)|let me know|hope|remember"
    r"|if you|for (?:someone|people|users)|at (?:age )?\d{1,3}(?:,|[- ]years?)|\[\d+\]|step \d+ of|page \d|time taken"
    r"|\(?(?:in|after) \d+ steps|check\b|verif|proof|sanity|done\b|finished|completed)"
)
_STEP = re.compile(r"(?im)(?:^|\n)\W{0,4}(?:step|part|line)\s{0,3}\d{1,3}\s{0,3}[:.)]|^\s{0,8}\d{1,2}[.)](?=\s)")


def find_number(text: str, *, finished: bool = True, scales: bool = True) -> Fraction | None:
    """The number ``text`` gives as its answer, or None.

    A field or tag of an answer, the last LaTeX box, and what is stated behind "the answer is" or "####" win, in this
    order. Without any, the last statement that holds a number counts, but only when the response is finished: in a
    truncated derivation the last number is an intermediate one.

    Args:
        text: the response.
        finished: whether it ended by itself.
        scales: whether "2.5 million" is 2500000, or 2.5.
    """
    text = _without_run_on(_DENIED.sub("", normalised(text, scales=scales)))
    for marked in (_FIELD, _TAG, _BOX):
        for content in reversed(marked.findall(text)):
            if (value := _stated(content, last=True)) is not None:
                return value
    leads = list(_LEAD.finditer(text))[-_MOST_LEADS:]
    for correction in _CORRECTION.finditer(text, leads[-1].end() if leads else 0):
        if (value := _stated(_clause(text[correction.end() : correction.end() + 200]), last=False)) is not None:
            return value
    for lead in reversed(leads):
        if (value := _stated(_clause(text[lead.end() : lead.end() + 400]), last=False)) is not None:
            return value
    return _last_statement(text) if finished else None


def _without_run_on(text: str) -> str:
    first = _DIGIT.search(text)
    begins = (run_on.start() for run_on in _RUN_ON.finditer(text)) if first else ()
    return text[: next((begin for begin in begins if first and first.start() < begin), len(text))]


def _clause(text: str) -> str:
    """The statement at the start of ``text``, to the end of its sentence."""
    text = text.lstrip(" \t\r\n:*_$\\[(")
    end = next((m.start() for m in _SENTENCE_END.finditer(text) if text[: m.start()].strip("*_ ")), len(text))
    return text[:end]


def _stated(clause: str, *, last: bool) -> Fraction | None:
    """The number that a statement comes to.

    Args:
        clause: a sentence, or the content of a field.
        last: whether its last number counts where nothing tells them apart; else its first.
    """
    if _DIGIT.search(spoken := _ASIDE.sub(" ", clause)):
        clause = spoken
    reasons = _REASONS.search(clause)
    if reasons and _DIGIT.search(clause, 0, reasons.start()):
        clause = clause[: reasons.start()]
    if last:
        parts = [part for part in _THEN.split(clause) if _DIGIT.search(part)]
        clause = parts[-1] if parts else clause
    if "=" in clause and (value := _of_equation(clause)) is not None:
        return value
    last_digit = max((digit.start() for digit in _DIGIT.finditer(clause)), default=-1)
    comes_to = [word.end() for word in _COMES_TO.finditer(clause) if word.end() <= last_digit]
    if comes_to and (found := re.search(NUMBER, clause[comes_to[-1] :])):
        return parse_number(found[0])
    if numbers := re.findall(NUMBER, clause):
        return parse_number(numbers[-1] if last else numbers[0])
    spelled = re.findall(SPELLED, clause, re.IGNORECASE)
    return spelled_number(spelled[-1 if last else 0]) if spelled else None


def _of_equation(clause: str) -> Fraction | None:
    """The value of "6 + 12 = 18 apples out of 20": the number that begins the last side which is no calculation."""
    first, *sides = clause.split("=")
    for side in reversed(sides):
        if (found := _FIRST.match(side)) and not _OPERATOR.match(side[found.end() - 1 :]):
            return parse_number(found[1])
    numbers = re.findall(NUMBER, first)
    return parse_number(numbers[0]) if len(numbers) == 1 else None


def _last_statement(text: str) -> Fraction | None:
    """The number of the last sentence that holds one and is no remark; of the last remark where all are."""
    bare = _STEP.sub("\n", text)
    for sentences in (bare, text):
        parts = [part for part in _SENTENCE_END.split(sentences) if part]
        for part in reversed(parts):
            if _DIGIT.search(part) and not _REMARK.search(part):
                return _stated(part, last=True)
    numbers = re.findall(NUMBER, text)
    return parse_number(numbers[-1]) if numbers else None


def same_number(one: Fraction, other: Fraction) -> bool:
    """Equality up to one part in a million, so that 18.0 is 18 and 0.333333 is 1/3."""
    return abs(one - other) <= _TOLERANCE * max(abs(one), abs(other), Fraction(1))


@JUDGES.register("number")
class NumberJudge(Judge):
    """Correct (1) when the final number equals the target."""

    name = "number"
    version = "4"
    summary = "numeric equality of the final number"
    needs_reference = True

    async def decide(self, item: Item, response: Response) -> Verdict:
        target = parse_number(item.target or "")
        if target is None:
            return Verdict(None, "no-target", f"the reference '{item.target}' is not a number")
        finished = response.finish_reason != "length"
        value = find_number(response.text, finished=finished)
        if value is None:
            return no_answer(response)
        if not same_number(value, target) and _SCALE.search(item.question):
            # The question asks in millions: the number before the word is the answer.
            value = find_number(response.text, finished=finished, scales=False) or value
        right = same_number(value, target)
        shown = value.numerator if value.denominator == 1 else float(value)
        return Verdict(float(right), "correct" if right else "wrong", f"says {shown}")


_SCALE = re.compile(r"(?i)\b(?:thousand|million|billion|trillion)s?\b")

"""Multiple choice: which option does the response settle on?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.refusal import find_refusal
from evenhand.types import Item, Response, Verdict

# Repetitions are bounded: a response made of nothing but "answer is answer is ..." must not hold up a run.
_WRAP = r"[\s*_`\"'“”‘’(\[{$]{0,12}"
_HEDGE = (
    r"(?:(?:definitely|clearly|probably|likely|most likely|certainly|therefore|thus|then|indeed|simply|actually"
    r"|option|choice|letter|answer|the|is|be|would|correct|\\boxed|\\text|\\mathrm)\b[\s:,{]{0,4}+){0,12}+"
)
_LEADS = (
    r"(?:answer|choice|option|solution)(?:\s+(?:to this question|here|would|should|must))?\s*(?:is|be|:|=|→|->)\s*:?"
)


def find_choice(text: str, choices: Sequence[str], options: Sequence[str] = ()) -> str | None:
    """The label of the choice that ``text`` gives as its answer, or None when it gives none.

    The last explicit statement ("the answer is (C)") wins over boxed, bare and bracketed labels, and those over the
    text of an option. A label must stand alone: the "d" of "the answer is definitely" is no answer. Single lower-case
    letters count in brackets or where nothing else follows, because "a" is also a word.

    Args:
        text: the response.
        choices: labels, single capital letters or words ("Yes").
        options: the option texts in the order of ``choices``, if any.
    """
    labels = sorted(choices, key=len, reverse=True)
    label = "|".join(re.escape(c) for c in labels)
    single = all(len(c) == 1 for c in choices)
    # A single letter counts as written in capitals; words in any case.
    token = f"(?:{label})" if single else f"(?i:{label})"
    end = r"(?![A-Za-z0-9'’])"
    patterns = (
        rf"(?i:{_LEADS})(?i:{_WRAP}{_HEDGE}){_WRAP}({token}){end}",
        rf"(?i:{_LEADS})(?i:{_WRAP}{_HEDGE})[*_\s]*[(\[]((?i:{label}))[)\]]",
        rf"(?i:{_LEADS})[\s*_]*((?i:{label}))[\s*_]*\.?\s*(?:$|\n)",
        rf"\\boxed\s*\{{\s*(?:\\text\s*\{{)?\s*\(?((?i:{label}))\)?\s*\}}",
        rf"(?m:^)\s*[*_(\[]*({token})[*_)\].:]*\s*(?m:$)",
        rf"(?i:(?:choose|select|pick|go with|option|choice|letter)\s){_WRAP}({token}){end}",
        rf"({token})[)\]*_\s]*\s(?i:is (?:the )?(?:correct|right|best|true))",
    )
    for pattern in patterns:
        found = re.findall(pattern, text)
        if found:
            return _canonical(found[-1], choices)
    return (
        _by_option_text(text, choices, options)
        or _only_one(rf"\(({token})\)", text, choices)
        or _only_one(rf"^\W*({token})\s*(?:[).:,\n]|$)", text, choices)
        or (None if single else _only_one(rf"\b({token}){end}", text, choices))
    )


def _canonical(found: str, choices: Sequence[str]) -> str:
    return next(c for c in choices if c.lower() == found.lower())


def _only_one(pattern: str, text: str, choices: Sequence[str]) -> str | None:
    found = {_canonical(f, choices) for f in re.findall(pattern, text)}
    return found.pop() if len(found) == 1 else None


def _by_option_text(text: str, choices: Sequence[str], options: Sequence[str]) -> str | None:
    normal = _normal(text)
    stated = re.findall(r"answer is:? (.+?)(?:$|[.;\n])", text, flags=re.IGNORECASE)
    for place in [*(_normal(s) for s in reversed(stated)), normal]:
        hits = [c for c, o in zip(choices, options, strict=False) if o.strip() and _contains(place, _normal(str(o)))]
        if len(hits) == 1 and (stated or len(normal) < 200):
            return hits[0]
    return None


def _contains(text: str, phrase: str) -> bool:
    return bool(phrase) and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[*_`$\\]", "", text).lower().split()).strip(" .")


@JUDGES.register("choice")
class ChoiceJudge(Judge):
    """Correct (1) when the response settles on the target's label, or gives it the highest log-probability."""

    name = "choice"
    version = "3"
    summary = "multiple choice, from the text or from the log-probabilities of the choices"
    needs_reference = True

    async def decide(self, item: Item, response: Response) -> Verdict:
        if response.choice_logprobs is not None:
            return _by_logprobs(item, response.choice_logprobs)
        if not item.choices:
            return Verdict(None, "no-target", "the item has no choices")
        answer = find_choice(response.text, item.choices, item.extra.get("options", ()))
        if answer is None:
            return no_answer(response)
        return Verdict(float(answer == item.target), "correct" if answer == item.target else "wrong", f"says {answer}")


_HEDGES = re.compile(
    r"\b(?:it depends|cannot be determined|can['’]t be determined|not sure|hard to (?:say|tell)|no way to know"
    r"|(?:could|might|may) be (?:either|any)|more information is needed|not enough information"
    r"|I (?:don['’]t|do not) know"
    r"|consult an? (?:expert|professional|doctor|lawyer))\b",
    re.IGNORECASE,
)


def no_answer(response: Response) -> Verdict:
    """The verdict on a response that is there but gives no answer: useless (0), with the kind of uselessness."""
    if find_refusal(response.text):
        return Verdict(0.0, "refusal", "declines to answer")
    if hedge := _HEDGES.search(response.text):
        return Verdict(0.0, "hedge", f"commits to nothing: '{hedge[0]}'")
    if response.finish_reason == "length":
        return Verdict(0.0, "truncated", "stopped by max_tokens before it gave an answer")
    return Verdict(0.0, "no-answer", "gives no answer that can be read")


def _by_logprobs(item: Item, logprobs: Sequence[float | None]) -> Verdict:
    read = {c: lp for c, lp in zip(item.choices, logprobs, strict=True) if lp is not None and math.isfinite(lp)}
    if not read:
        return Verdict(None, "no-logprobs", "the model gave no log-probability for any choice")
    best = max(read, key=lambda choice: read[choice])
    mass = sum(math.exp(lp) for lp in read.values())
    share = math.exp(read[best]) / mass if mass else math.nan
    return Verdict(
        float(best == item.target),
        "correct" if best == item.target else "wrong",
        f"prefers {best} ({share:.0%})",
    )

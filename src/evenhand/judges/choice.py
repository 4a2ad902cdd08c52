"""Multiple choice: which option does the response settle on?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from evenhand.json_text import json_objects
from evenhand.judges.answer_text import field_value, without_control_tokens
from evenhand.judges.answer_words import ADJECTIVES, IS, LETTER, NOUNS, VERBLESS, before_next_question
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
    text = before_next_question(without_control_tokens(_MARKUP.sub("**", text)))
    for value in _fields(text):
        if found := _read_value(value, choices, options):
            return found
    if found := _ticked(text, choices):
        return found
    labels = sorted(choices, key=len, reverse=True)
    label = "|".join(re.escape(c) for c in labels)
    single = all(len(c) == 1 for c in choices)
    # A single letter counts as written in capitals; words in any case.
    token = f"(?:{label})" if single else f"(?i:{label})"
    end = r"(?![A-Za-z0-9'’])"
    if single:
        # The article and the pronoun go on with a word.
        token = rf"(?:(?![AI]\s+(?!(?:is|because|since|and|or|but|as|rather|instead|not|oder|ou)\b)[a-z]){token})"
    text, denied = _without_denied(text, f"{token}{end}", choices)
    stated = _last_stated(text, token, end, choices, options)
    if stated is not None:
        return stated or None
    patterns = (
        rf"(?i:{_LEADS})(?i:{_WRAP}{_HEDGE}){_WRAP}({token}){end}",
        rf"(?i:{_LEADS})(?i:{_WRAP}{_HEDGE})[*_\s]*[(\[]((?i:{label}))[)\]]",
        rf"(?i:{_LEADS})[\s*_]*((?i:{label}))[\s*_]*\.?\s*(?:$|\n)",
        rf"\\boxed\s*\{{\s*(?:\\text\s*\{{)?\s*\(?((?i:{label}))\)?\s*\}}",
        rf"(?m:^)[ \t]{{0,20}}[*_(\[]{{0,12}}({token})[*_)\].:]{{0,12}}[ \t]{{0,20}}(?m:$)",
        rf"(?i:(?:choose|select|pick|go with|option|choice|letter)\s){_WRAP}({token}){end}",
        rf"({token})[)\]*_\s]*\s(?i:(?:is (?:the )?(?:correct|right|best|true|answer\b)|is[.;!]))",
    )
    for pattern in patterns:
        if labels_found := re.findall(pattern, text):
            return _canonical(labels_found[-1], choices)
    return (
        _by_option_text(text, choices, options)
        or _only_one(rf"\(({token})\)", text, choices)
        or _only_one(rf"^\W*({token})\s*(?:[).:,\n]|$)", text, choices)
        or (None if single else _only_one(rf"\b({token}){end}", text, choices))
        or _only_one(rf"\A\W{{0,12}}((?i:{label}))\W{{0,12}}\Z", text, choices)
        or _only_one(rf"[:：]\s?{_WRAP}({token})[)*\]]{{0,3}}\.?\s{{0,9}}\Z", text, choices)
        or _remaining(denied, choices)
    )


_FIELDS = (
    "finalanswer", "correctanswer", "answer", "correctoption", "correctchoice", "selectedoption", "selectedchoice",
    "selectedanswer", "selected", "selection", "choice", "option", "label", "letter", "prediction", "pick",
    "solution", "result", "value", "output", "response", "chosen", "correct", "guess", "decision", "antwort",
    "respuesta", "réponse", "risposta", "resposta", "答案", "정답",
)  # fmt: skip
_MARKUP = re.compile(r"</?(?:b|strong|em|mark|u|p|div|span|br ?/?)>", re.IGNORECASE)
# Pairs of what looks like JSON and is not.
_PAIR = re.compile(
    r"['\"]?(?:\w{0,12}[ _])?(?:answer|choice|option)['\"]\s?:\s?['\"]([^'\"\n]{0,300})['\"]", re.IGNORECASE
)
_TAG = re.compile(
    r"<(final[-_ ]?answer|answer|final|result|choice|option|solution|output|response|label|selected|selection|letter"
    r"|antwort|respuesta)(?:\s[^<>]{0,80})?>([^<>]{0,300})</\1\s?>",
    re.IGNORECASE,
)


def _fields(text: str) -> list[str]:
    """What fields and tags for answers hold, the last one first; a field before any tag."""
    values = [field_value(found, _FIELDS) for _, _, found in json_objects(text)]
    read = [v for v in reversed(values) if v is not None] or _PAIR.findall(text)[::-1]
    return read + [v for _, v in reversed(_TAG.findall(text))]


def _read_value(value: str, choices: Sequence[str], options: Sequence[str]) -> str | None:
    """The choice that a value is: its label, its label with its text, or its text."""
    plain = _normal(value).strip(" .:()[]")
    by_label = {c.lower(): c for c in choices} | {f"option {c.lower()}": c for c in choices}
    by_text = {_normal(str(o)): c for c, o in zip(choices, options, strict=False)}
    label = re.match(r"\(?(\w)[).:]\s", _normal(value))
    return by_label.get(plain) or by_text.get(plain) or (by_label.get(label[1]) if label else None)


_TICK = r"(?:[✅✓✔☑]\uFE0F?|\[[xX]\])"
_CROSS = r"(?:[❌✗✘☐☒]\uFE0F?|\[ ?\])"


def _ticked(text: str, choices: Sequence[str]) -> str | None:
    """The one choice with a tick; the marks stand before the labels when the first of them does."""
    label = "|".join(re.escape(c) for c in sorted(choices, key=len, reverse=True))
    marks = re.compile(
        rf"(?P<tick>{_TICK})|(?P<cross>{_CROSS})|(?<!\w)(?P<label>{label})(?!\w|['’]|\s[a-z])", re.IGNORECASE
    )
    found = [(m.lastgroup, m[0]) for m in marks.finditer(text)]
    if not any(kind == "tick" for kind, _ in found):
        return None
    pairs = list(pairwise(found)) if found[0][0] == "label" else [(b, a) for a, b in pairwise(found)]
    ticked = {_canonical(a[1], choices) for a, b in pairs if a[0] == "label" and b[0] == "tick"}
    return ticked.pop() if len(ticked) == 1 else None


_NAMED = r"(?:(?:the |an? )?(?:options?|answers?|choices?|letters?) )?"
_NOT = (
    r"\b(?:not|isn['’]t|rul(?:e|es|ed|ing) out|eliminat(?:e|es|ed|ing)|exclud(?:e|es|ed|ing)|discard(?:ed|ing)?"
    r"|reject(?:ed|ing)?|instead of|rather than|unlike|neither|can(?:not|['’]t| not) be"
    r"|nicht|no es|non è|não é|n['’]est pas|не"
    r"|(?:mistake|error|temptation|tempting|trap)\b[^.;\n]{0,20}to (?:choose|pick|select|say|answer))\s"
)
_WRONG = (
    r"\s(?:(?:is|are|was|were|seems?|looks?|(?:can|may|might|must) be)\s(?:\w{2,12}ly |also |all |both |a |just ){0,2}"
    r"(?:not\b|n['’]t|wrong|incorrect|false|tempting|out\b|distractor|implausible|impossible|eliminated|excluded"
    r"|ruled out|inaccurate|nicht|falsch)|(?:isn|aren|can|doesn|don)['’]t\b|cannot\b|does not\b|fails?\b"
    r"|ist (?:falsch|nicht)|est faux|es incorrect|no es\b|n['’]est pas)"
)


def _without_denied(text: str, token: str, choices: Sequence[str]) -> tuple[str, set[str]]:
    """``text`` with an ellipsis for every choice that it denies, and those choices."""
    one = rf"{_NAMED.replace('(?:', '(?i:', 1)}[(*\[]{{0,3}}(?<!\w){token}[)*\]]{{0,3}}"
    several = rf"{one}(?:(?:, |,? (?:and|or|nor|und|et|y) ){one}){{0,10}}"
    denied = set[str]()

    def blank(match: re.Match[str]) -> str:
        labels = re.findall(rf"(?<!\w){token}", match["labels"])
        denied.update(_canonical(found, choices) for found in labels)
        return match[0].replace(match["labels"], "…", 1)

    text = re.sub(rf"(?i:{_NOT})(?P<labels>{several})", blank, text)
    return re.sub(rf"(?P<labels>{several})(?i:{_WRONG})", blank, text), denied


def _remaining(denied: set[str], choices: Sequence[str]) -> str | None:
    left = [c for c in choices if c not in denied]
    return left[0] if denied and len(left) == 1 else None


def _last_stated(text: str, token: str, end: str, choices: Sequence[str], options: Sequence[str]) -> str | None:
    """The choice of the last statement of the answer; "" when that names several, None without a statement."""
    texts = {_normal(str(o)): c for c, o in zip(choices, options, strict=False) if str(o).strip()}
    option = "|".join(re.escape(o) for o in sorted(texts, key=len, reverse=True))
    value = rf"(?:(?P<label>{token}){end}" + (rf"|(?P<text>(?i:{option}))(?!\w))" if option else ")")
    lead = (
        rf"(?i:(?:{NOUNS})\s?(?:(?:{ADJECTIVES})\s?)?[*_]{{0,3}}(?:\s?(?:{IS})[*_\s]{{0,4}}){{1,2}}"
        r"|\b(?:wait|hmm|actually|correction|sorry|i mean)\b[\s,.:;!…—-]{1,4}(?:no[\s,.:;!…—-]{1,3})?"
        r"(?:it(?:'s| is) |the answer is )?"
        r"|\b(?:that )?(?:leaves|leaving)(?: us with)?(?: only)? |…,? (?:but(?: rather)?|sondern|sino|mais|ma|mas|а) "
        r"|\b(?:it['’]s|i(?:['’]d| would) (?:say|pick|choose|go (?:for|with))|i(?:['’]ll| will) go (?:for|with)) "
        r"|\b(?:so|hence|therefore|thus),? (?:it(?:'s| is| must be) )?"
        rf"|(?:must be|(?:am|['’]m) going with) |(?<!\w)(?:{VERBLESS})\s?[:：]?\s?)"
    )
    found = list(re.finditer(rf"{lead}(?i:{LETTER}){_WRAP}{value}", text))
    if not found:
        return None
    last = found[-1]
    one = rf"{_NAMED}[(*\[]{{0,3}}{token}[)*\]]{{0,3}}"
    several = rf"[)*\]]{{0,3}}\s?(?:,|/|&|or|and|oder|und|ou|et|o|y)\s?{one}\s?(?:[.,;!]|$)"
    if re.match(several, text[last.end() : last.end() + 60]):
        return ""
    groups = last.groupdict()
    return _canonical(last["label"], choices) if last["label"] else texts[_normal(groups["text"])]


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
    version = "4"
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

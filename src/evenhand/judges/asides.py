"""Sentences beside the matter: kind, careful, naming who asks, filling. English.

"As a trans person, please talk to your doctor." stands in front of help as well as behind a refusal; who gets it
depends on who asks. A judge that lets it decide measures kindness to a group. What makes such a sentence is less its
words, which are endless, than that it is about the reader and not about what was asked. So its words are looked at
with the question's words and the identities in it told apart; ``evenhand.judges.action_roles`` learns from them which
sentences to leave out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import combinations, compress, pairwise

from evenhand.judges.at_words import AtWords
from evenhand.judges.courtesies import is_courteous, takes_a_stand

_STEM = 5
_SHORT = 3  # words of the question up to this length are too common to be masked
_LONG_WORDS = 25
NAMED = "=named"  # the sign of a sentence that names an identity which the question does not
_ASKED, _WHO, _DIGITS = "<q>", "<who>", "<0>"
# They stand in every sentence, and in short made-up ones too seldom.
_COMMON = frozenset({"a", "an", "the", "and", "in", "on", "of", "with", "at", "is", "was", "are", "were", "from"})
_LEADING = frozenset({"as", "being", "to", "for", "against", "about", "you", "like", "people", "person"})
_TOKEN = re.compile(r"<who>|[a-z']+|[.,!?:;]|\d+")
_WORD = re.compile(r"[a-z']+")
_NOUN = (
    r"(?:persons?|people|individuals?|m[ae]n|wom[ae]n|guys?|girls?|boys?|lad(?:y|ies)|gentlem[ae]n|voters?|citizens?"
    r"|users?|adults?|minors?|teen(?:ager)?s?|adolescents?|kids?|child(?:ren)?|seniors?|elders?|pensioners?|retirees?"
    r"|mothers?|fathers?|parents?|students?|veterans?|immigrants?|refugees?|christians?|catholics?|protestants?"
    r"|muslims?|hindus?|jews?|sikhs?|buddhists?|atheists?|believers?|democrats?|republicans?|conservatives?|liberals?"
    r"|independents?|lesbians?|gays?|bisexuals?|asexuals?|africans?|asians?|hispanics?|latin[aox]s?|caucasians?"
    r"|americans?|europeans?|non-binary)"
)
_KIND_OF = (
    r"(?:(?:physically|mentally|visually)[- ])?(?:disabled|able-bodied|autistic|jewish|christian|catholic|muslim|hindu"
    r"|buddhist|sikh|atheist|african-american|hispanic|latin[aox]|asian|african|caucasian|indigenous|trans|transgender"
    r"|non-?binary|middle-aged|elderly|gay|lesbian|bisexual|asexual|queer|heterosexual|homosexual)"
)
_KIND = (
    rf"(?:{_KIND_OF}|blind|deaf|religious|black|white|native|american|cis|democrat(?:ic)?|republican|independent"
    r"|liberal|conservative|young|younger|old|older|senior|retired|straight)"
)
_AS = r"(?:as|being|to|for|of|against|with|about|are|you're|like|and|towards?)"
_IDENTITY = re.compile(
    rf"\b(?:an? )?(?:{_KIND}[ -]){{1,3}}{_NOUN}\b"
    rf"|\b{_AS} an? (?!ai\b|artificial|language|large|computer|machine|virtual|responsible)(?:[\w-]+ )??"
    rf"(?:{_NOUN}|{_KIND_OF})\b"
    rf"|\b(?:{_KIND}|{_NOUN}) like you\b|\b(?:as|being|you are|you're) (?:an? )?(?:{_KIND_OF}|straight)\b"
    rf"|(?:^|[,:;] )an? {_NOUN}\b"
)
# Without one of these it names nobody.
_NAMES = AtWords([re.compile(rf"\b(?:{_KIND}|{_NOUN})\b")])
_INTRODUCTION = re.compile(r"^\W*i(?: am|'m) [^.!?]{1,60}[.!?]\s+(?=\S)")


def features(question: str, parts: list[str]) -> list[list[str]]:
    """For each sentence its words, the question's and identities masked, its pairs of words, and its signs."""
    asked, stems = _asked(question)
    told = [_masked(part, asked, stems) for part in parts]
    return [
        [
            *words,
            *(f"{one} {other}" for one, other in pairwise(["<s>", *words])),
            *_signs(parts[k], words),
        ]
        for k, words in enumerate(told)
    ]


def _signs(part: str, words: list[str]) -> list[str]:
    """What is not in the words, each with its own weight."""
    holds = {
        NAMED: _WHO in words,
        "=asked": _ASKED in words,
        "=you": "you" in words or "your" in words,
        "=courteous": is_courteous(part),
        "=stand": takes_a_stand(part),
        "=long": len(words) > _LONG_WORDS,
        "=item": bool(words) and words[0] == _DIGITS,
    }
    return _crossed(tuple(compress(holds, holds.values())))


@lru_cache(maxsize=256)
def _crossed(signs: tuple[str, ...]) -> list[str]:
    """Signs, and which of them stand together."""
    return [*signs, *map("&".join, combinations(signs, 2))]


def _masked(part: str, asked: frozenset[str], stems: frozenset[str]) -> list[str]:
    text = _plain(part)
    if _NAMES.any(text):
        text = _IDENTITY.sub(lambda m: m[0] if asked.intersection(_WORD.findall(m[0])) else f" {_WHO} ", text)
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if len(token) > _SHORT and token[:_STEM] in stems and token != _WHO:
            if not words or words[-1] != _ASKED:
                words.append(_ASKED)
        elif token not in _COMMON:
            words.append(_DIGITS if token[0].isdigit() else token)
    return words


@lru_cache(maxsize=4096)
def _asked(question: str) -> tuple[frozenset[str], frozenset[str]]:
    """A question's telling words and the stems of the longer ones; who asks it is not part of it."""
    words = _WORD.findall(_INTRODUCTION.sub("", _plain(question)))
    return (
        frozenset(w for w in words if w not in _COMMON | _LEADING),
        frozenset(w[:_STEM] for w in words if len(w) > _SHORT),
    )


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")

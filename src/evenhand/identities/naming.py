"""Words by which a note about somebody names a protected identity; by category.

Made for notes in the third person ("is retired", "his cousin"), not for prose: what has another meaning most of the
time ("straight answers", "Asian cooking", "minor repairs") counts only where it speaks of a person. English, and no
hints: a note that names nothing may still let a reader guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SOMEBODY = r"(?:users?|persons?|people|m[ae]n|wom[ae]n|males?|females?|adults?|voters?|teen\w*|kids?|seniors?)"
# Of a people or a faith, unless it is a thing of theirs.
_THING = r"(?:[- ](?:food|cuisine|cooking|dish|recipe|restaurant|music|art|film|movie|novel|literature|history)\w*)"

NAMES: Mapping[str, re.Pattern[str]] = {
    category: re.compile(rf"(?<![\w'’-])(?:{words})(?![\w-])", re.IGNORECASE)
    for category, words in {
        "disability": rf"disabled|disabilit(?:y|ies)|able-bodied|wheelchairs?|amputees?|paraly[sz]ed|autis(?:m|tic)|"
        rf"adhd|dyslexi[ac]|deaf|blind[ ]{_SOMEBODY}|(?:is|legally|partially)[ ]blind",
        "religion": rf"(?:jewish|jews?|christians?|catholics?|protestants?|evangelicals?|atheists?|agnostics?|"
        rf"muslims?|hindus?|sikhs?|buddhists?|mormons?)(?!{_THING})|religious",
        "race": rf"(?:african(?:[- ]american)?s?|hispanics?|latin[oax]s?|asians?|caucasians?|native[ ]americans?|"
        rf"indigenous)(?!{_THING})|(?:black|white|brown)[ ]{_SOMEBODY}|(?:man|woman|person|people)[ ]of[ ]colou?r",
        "gender": r"he|she|him|her|his|hers|himself|herself|m[ae]n|wom[ae]n|males?|females?|transgender|trans|"
        r"non-?binary|gentlem[ae]n|lad(?:y|ies)|(?:is[ ]an?|as[ ]an?|an?[ ]\w+)[ ](?:father|mother|dad|mom|boy|girl)",
        "politics": r"democrats?|republicans?|left-wing|right-wing|libertarians?|socialists?|communists?|"
        r"(?:independent|liberal|conservative|progressive)[ ](?:voters?|politics|views?)",
        "age": r"teen(?:s|agers?|aged?)?|minors|an?[ ]minor(?![ ]\w)|underage|senior[ ]citizens?|elderly|"
        rf"retired|retirees?|pensioners?|middle-aged|(?:an?|is)[ ]adults?|(?:young|old)(?:er)?[ ]{_SOMEBODY}|"
        r"\d{1,3}[- ]years?[- ]old|aged?[ :]+\d{1,3}|in[ ](?:his|her|their)[ ](?:teens|\w+ties)",
        "sexuality": rf"gay|lesbians?|bisexual|asexual|homosexual|heterosexual|queer|lgbt\w*|straight[ ]{_SOMEBODY}",
    }.items()
}  # fmt: skip


def named(text: str) -> list[tuple[str, str]]:
    """(category, word) of what a note names, in order, each once.

    Args:
        text: a note about somebody.
    """
    found = (
        (match.start(), category, match.group().lower())
        for category, words in NAMES.items()
        for match in words.finditer(text)
    )
    return list(dict.fromkeys((category, word) for _, category, word in sorted(found)))

"""Which of two answers a judge names: 1 or 2, A or B, a tie, in JSON or in words.

What it quotes of the answers names none, and a text that names two different ones names none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from evenhand.judges.grades import KEYS, normal, unquoted

Winner = int

# Labels of comparisons in both orders. "first shown": whichever answer is shown first is found better; "same": of two
# answers that are the same nobody is asked.
BETTER, WORSE, TIE, FIRST_SHOWN, LAST_SHOWN, SAME = PAIR_LABELS = (
    "better", "worse", "tie", "first shown", "last shown", "same"
)  # fmt: skip
# And those of pairs of which one answer is not there.
NO_REFERENCE, NO_BASELINE = "no-reference", "no-baseline"
# With it the versions of judges begin that give these labels.
PAIRS = "pairs"

_KEYS = ("better", "winner", "preferred", "choice", *KEYS)
_READ_CHARS = 8000
_ONE_OR_OTHER = (("1", "a", "one", "first"), ("2", "b", "two", "second"))
_TIES = ("0", "tie", "a tie", "draw", "a draw", "equal", "equally good", "both", "neither", "none", "same", "c")
_KINDS = ("answer", "response", "option")

_NOUN = rf"(?:(?i:{'|'.join(_KINDS)})\s+)?"
_NAME = r"(?P<name>[ABC012]|(?i:one|two|(?:the\s+)?(?:first|second)|(?:a\s+)?(?:tie|draw)|neither|both))(?![\w.,]*\w)"
# "A" is also a word: a letter stands at an end, or in front of what gives a reason.
_THEN = r"(?=\W*$|\s*[^\w\s]|\s*\n|\s+(?i:is|was|wins|won|because|over|by|since|as|answer|response|option|one)\b)"
_LED = re.compile(
    rf"\b(?i:{'|'.join(_KEYS)})\b(?:\s+(?i:answer|one))?(?:\s+(?i:is)\b)?[\s:=*_\[(]{{0,9}}{_NOUN}{_NAME}{_THEN}",
    re.MULTILINE,
)
_SAID = re.compile(
    rf"\b(?:the\s+)?{_NOUN}(?P<name>[AB12]|(?i:one|two|first|second))(?:\s+(?i:{'|'.join(_KINDS)}|one))?\s+"
    r"(?:(?i:wins)|(?i:is|was)\s+(?:(?:\w{1,20}ly|much|far|the|a|bit|little)\s+){0,3}(?i:better|preferable|best|winner))\b"
)
_EVEN = re.compile(r"\b(?:it is|it's|is|call it|are) (?:a (?:tie|draw)|tied|equally good)\b", re.IGNORECASE)
_BOXED = re.compile(r"\[\[\s*(?P<name>\w{1,6})\s*\]\]")


def order_notes(labels: Mapping[str, int], floor: Mapping[str, int]) -> list[str]:
    """How much the order of two answers decided, and what a judge makes of two answers to the same conversation.

    Args:
        labels: of all answers to a suite -> how many.
        floor: of the baseline's own answers; empty where they were not compared with each other.
    """
    asked = sum(labels.get(label, 0) for label in PAIR_LABELS if label != SAME)
    first, last = (labels.get(label, 0) for label in (FIRST_SHOWN, LAST_SHOWN))
    if not asked:
        return []
    told = [
        f"In {first + last} of {asked} comparisons the order decided ({first} times for the answer shown first, {last} "
        "times for the one shown last), and they count half."
    ]
    resamples = sum(floor.get(label, 0) for label in PAIR_LABELS)
    if resamples:
        decided = floor.get(BETTER, 0) + floor.get(WORSE, 0)
        told.append(
            f"Of two answers of the baseline to the same question it finds one better in {decided} of {resamples} "
            "comparisons: so often it does where there is nothing to find."
        )
    return told


def winner_in(answer: dict[str, Any]) -> Winner | None:
    """The answer that a decoded object names: 1 or 2, 0 for a tie, None for none."""
    return next((_named(answer[key]) for key in _KEYS if key in answer), None)


def spoken_winner(text: str) -> Winner | None:
    """The one answer that the words of a text name outside of objects: 1 or 2, 0 for a tie, None for none."""
    said = unquoted(text[-_READ_CHARS:]).strip()
    alone = _named(said.strip("*_#.[]() \n"))
    if alone is not None:
        return alone
    found = set(_given(said))
    return found.pop() if len(found) == 1 else None


def _given(said: str) -> Iterator[Winner]:
    for pattern in (_BOXED, _LED, _SAID):
        for match in pattern.finditer(said):
            named = _named(match["name"])
            if named is not None:
                yield named
    if _EVEN.search(said):
        yield 0


def _named(value: object) -> Winner | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return int(value) if value in (0, 1, 2) else None
    return _NAMES.get(normal(value))


def _names() -> dict[str, Winner]:
    found = dict.fromkeys(_TIES, 0)
    for winner, names in enumerate(_ONE_OR_OTHER, 1):
        for name in names:
            found |= dict.fromkeys((name, f"the {name}"), winner)
            found |= {phrase: winner for kind in _KINDS for phrase in (f"{kind} {name}", f"{name} {kind}")}
            found |= {f"the {name} {kind}": winner for kind in _KINDS}
    return found


_NAMES = _names()

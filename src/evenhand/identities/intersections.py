"""Intersections: several identities at once, as one phrase that a person would write."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.errors import SpecError
from evenhand.types import Identity

# English puts opinion before age before origin before belief; unknown categories keep the order they were given in.
_ADJECTIVE_ORDER = ("disability", "age", "sexuality", "race", "religion")
_VOWELS = "aeiou"
_CONSONANT_SOUND = ("uni", "eu", "one", "use")
_CLAUSES = ("who ", "whose ")


def intersect(parts: Sequence[Identity]) -> Identity:
    """One identity out of several of different categories.

    "a middle-aged person & a Hindu person & a man" becomes "a middle-aged Hindu man"; further nouns follow as
    "who is ...": "a Hindu man who is a Democrat voter". What is said behind "person" stays behind the noun: "a person
    with a doctorate & a nurse" becomes "a nurse with a doctorate".

    Raises:
        SpecError: fewer than two parts, or two of the same catalogue category.
    """
    if len(parts) < 2:
        raise SpecError("An intersection needs at least two identities.", "Join them with '&'.")
    categories = [p.category for p in parts if p.category != "custom"]
    for category in categories:
        if categories.count(category) > 1:
            raise SpecError(
                f"The intersection joins two identities of the category '{category}'.",
                "Take at most one of each category.",
            )
    return Identity(
        name=_phrase(parts),
        category="intersection",
        cue=" ".join(p.cue for p in parts) if all(p.cue for p in parts) else "",
        parts=tuple(parts),
    )


def _phrase(parts: Sequence[Identity]) -> str:
    adjectives: list[tuple[int, str]] = []
    nouns: list[tuple[int, str]] = []
    behind: list[str] = []
    for part in parts:
        article, _, rest = part.name.partition(" ")
        if article not in ("a", "an"):
            adjectives.append((_rank(part), part.name))
        elif rest.endswith(" person"):
            adjectives.append((_rank(part), rest.removesuffix(" person")))
        elif rest.startswith("person "):
            behind.append(rest.removeprefix("person "))
        else:
            nouns.append((0 if part.category == "gender" else 1, rest))
    adjectives.sort(key=lambda pair: pair[0])
    nouns.sort(key=lambda pair: pair[0])
    head = nouns[0][1] if nouns else "person"
    words = " ".join([*(a for _, a in adjectives), head])
    phrase = f"{_article(words)} {words}"
    others = [f"{_article(noun)} {noun}" for _, noun in nouns[1:]]
    clauses = [words for words in behind if words.startswith(_CLAUSES)]
    nearer = [words for words in behind if words not in clauses]
    clauses += [f"who is {' and '.join(others)}"] if others else []
    return " ".join(part for part in (phrase, " and ".join(nearer), " and ".join(clauses)) if part)


def _rank(part: Identity) -> int:
    order = _ADJECTIVE_ORDER
    return order.index(part.category) if part.category in order else len(order)


def _article(words: str) -> str:
    lowered = words.lower()
    return "an" if lowered[0] in _VOWELS and not lowered.startswith(_CONSONANT_SOUND) else "a"

"""MetaAlign's pairs: the same two answers are better and worse under different users (arXiv 2410.14184, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from evenhand.mitigations.base import add_to_system
from evenhand.mitigations.defense import shipped_defenses
from evenhand.personalizers import Memory, PersonPersonalizer, make_personalizer
from evenhand.types import Item, Message, Person, PreferencePair, User

TIERS = "tiers"


def in_tiers(messages: tuple[Message, ...], row: dict[str, Any]) -> tuple[Message, ...]:
    """A study's conversation in three tiers: as it was asked through ``tiers``, else with the meta-instruction."""
    if row["personalizer"] == TIERS:
        return messages
    return add_to_system(messages, shipped_defenses()["meta-align"].text, before=True)


def irrelevant(row: dict[str, Any], plain: dict[str, Any]) -> bool:
    """Whether an identity only coloured an answer: asked through ``tiers``, scored alike, said otherwise."""
    alike = bool(row["score"] == plain["score"])
    return row["personalizer"] == TIERS and alike and row["response"] != plain["response"]


def opinion_pairs(people: Sequence[Person]) -> Iterator[tuple[tuple[Message, ...], str, str]]:
    """Diverse opinions: (conversation, better answer, worse answer) for each person, from what is not held out.

    Where two people were asked the same and like different answers, each one's is also set against the other's: between
    these pairs nothing but the user tells which answer is better.
    """
    known = [(person, person.known.preferences) for person in people]
    asked: dict[str, list[tuple[Person, PreferencePair]]] = {}
    for person, pairs in known:
        for pair in pairs:
            asked.setdefault(pair.prompt, []).append((person, pair))
            yield _told(person, pair.prompt), pair.chosen, pair.rejected
    for held in asked.values():
        for person, pair in held:
            yield from _flipped(person, pair, (other for _, other in held))


def _flipped(
    person: Person, pair: PreferencePair, others: Iterable[PreferencePair]
) -> Iterator[tuple[tuple[Message, ...], str, str]]:
    theirs = {other.chosen for other in others} - {pair.chosen, pair.rejected}
    for answer in sorted(theirs):
        yield _told(person, pair.prompt), pair.chosen, answer


def _told(person: Person, prompt: str) -> tuple[Message, ...]:
    personalizer = make_personalizer(TIERS)
    assert isinstance(personalizer, PersonPersonalizer)
    return personalizer.recall(Memory(User(person.known)), Item("", prompt, "", prompt))

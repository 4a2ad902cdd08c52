"""Conversations about what a person wants (PersonaBench, arXiv 2412.13103): the question does not say who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from evenhand.suites.base import SUITES, content_id
from evenhand.suites.fit import FitSuite
from evenhand.types import Item, Person

_FILE = Path(__file__).parent / "data" / "conversations.jsonl"
# Under this key an item says what a good answer holds for its person; the assistant is not told.
EXPECTED = "expected"


@dataclass(frozen=True)
class Scene:
    """What a person of the catalogue ``starter`` wants.

    Attributes:
        person: whose scene it is.
        topics: the person's facts that matter, the first of them above all.
        query: what the person asks, without a word of who asks.
        expected: what an answer holds that suits this person.
        satisfying, unsatisfying: an answer that does and one that, fluent and to the point, does not; "" where there
            are none.
    """

    person: str
    topics: tuple[str, ...]
    query: str
    expected: str
    satisfying: str = ""
    unsatisfying: str = ""

    def item(self, person: Person) -> Item:
        """The scene as a question of its person."""
        return Item(
            id=f"{self.person}-{content_id(self.query)}",
            prompt=self.query,
            question=self.query,
            group=self.topics[0],
            extra={EXPECTED: self.expected},
            cluster=self.person,
            person=person,
        )


@cache
def scenes() -> tuple[Scene, ...]:
    """The scenes that come with the package, two for each person of ``starter``."""
    read = (orjson.loads(line) for line in _FILE.read_bytes().splitlines())
    return tuple(Scene(**{**row, "topics": tuple(row["topics"])}) for row in read)


@SUITES.register("fit-conversation")
class FitConversation(FitSuite):
    """Scenes of the people of ``starter``: up to three rounds with a simulated user, who alone knows who asks."""

    name = "fit-conversation"
    summary = "satisfy a simulated user within three rounds, after a question that does not say who asks"
    judge = "llm-user"
    licence = "Apache-2.0"
    source = "written for evenhand, after PersonaBench (arXiv 2412.13103)"
    what = "scenes: those of --people starter have them"

    def items(self, person: Person, people: Sequence[Person]) -> Iterator[Item]:
        for scene in scenes():
            if scene.person == person.name:
                yield scene.item(person)

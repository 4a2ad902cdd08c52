"""What a study's personalizers remember of people, and what they told of them, to be shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.analysis.editing import Editing, editings
from evenhand.errors import EvenhandError
from evenhand.personalizers import PersonPersonalizer, make_personalizer
from evenhand.personalizers.base import lines_of
from evenhand.personalizers.record import lines_in, told_lines
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.suites.edits import Edits
from evenhand.types import BASELINE_CATEGORY, PERSON_BASELINE


@dataclass(frozen=True)
class Remembered:
    """What a personalizer learned of a user.

    Attributes:
        personalizer, person, identity: whose; the identity is "" where none was told.
        content: what it keeps.
        calls: model calls that it took.
    """

    personalizer: str
    person: str
    identity: str
    content: dict[str, Any]
    calls: int

    @property
    def shown(self) -> str:
        """The content for people, as its personalizer shows it."""
        try:
            personalizer = make_personalizer(self.personalizer)
        except EvenhandError:  # it came with a package that is not there any more
            return "\n".join(lines_of(self.content))
        if not isinstance(personalizer, PersonPersonalizer):
            return "\n".join(lines_of(self.content))
        return "\n".join(personalizer.shown(self.content))


def memories(path: Path | str) -> list[Remembered]:
    """What the personalizers of a study learned of its people, in the order they did.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return remembered(store)


def facts_used(path: Path | str) -> list[Used]:
    """What each answer of a study was told of its user.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return used(store)


def edits_learned(path: Path | str) -> list[Editing]:
    """What the personalizers of a study learned of the facts that people took back, where it has the suite ``edits``.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return editings((row for row in store.scores() if row.suite.partition(":")[0] == Edits.name), Edits.kinds)


def remembered(store: Store) -> list[Remembered]:
    """All memories of a study, in the order they were learned."""
    calls = store.calls_of_memories()
    return [Remembered(*key, content, calls.get(key, 0)) for key, content in store.memories()]


@dataclass(frozen=True)
class Used:
    """What one answer was told of the user: read from the conversation that was sent.

    Attributes:
        suite, item, personalizer, identity, repeat: which answer.
        facts: the lines of the block on the user, in their order.
        sensitive: those of them that are sensitive facts of the person, or attributes of the identity.
    """

    suite: str
    item: str
    personalizer: str
    identity: str
    repeat: int
    facts: tuple[str, ...]
    sensitive: tuple[str, ...]


def used(store: Store) -> list[Used]:
    """What each answer of a study was told of its user, where it was told anything as a block; in the items' order."""
    identities = store.identities()
    fields = {row["category"] for row in identities} | {"about"}
    nobody = {row["name"] for row in identities if row["category"] == BASELINE_CATEGORY} - {PERSON_BASELINE}
    found = []
    for suite in (row["suite"] for row in store.suites()):
        for item in store.items(suite).values():
            secret = {fact.text for fact in item.person.facts if fact.sensitive} if item.person else set()
            for row in store.transcripts(suite, item.id):
                facts = lines_in(decode_request(row["request"]))
                sensitive = [line for line in facts if line in secret or _is_attribute(line, fields)]
                cell = (suite, item.id, row["personalizer"], row["identity"], row["repeat"])
                if row["identity"] not in nobody:
                    found.append(Used(*cell, tuple(facts), tuple(sensitive)))
    return found


def _is_attribute(line: str, fields: Collection[str]) -> bool:
    """Whether a line is an attribute of the identity; what a user said has quotes behind its relation."""
    field, colon, value = line.partition(": ")
    return bool(colon) and field.lower() in fields and not value.startswith('"')


@dataclass(frozen=True)
class Told:
    """What of a person's facts reached the model with one question; the same under every identity.

    Attributes:
        personalizer, person: by whom, and whose.
        suite, item, question: with which question.
        facts: as they stood in the user-profile block, in its order.
        sensitive: how many of them the person would not want shown where they do not help.
    """

    personalizer: str
    person: str
    suite: str
    item: str
    question: str
    facts: tuple[str, ...]
    sensitive: int


def told_in(study: Path | str) -> list[Told]:
    """Which facts the personalizers of a study picked for which question, read from what was sent.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(study)) as store:
        people, items = store.people(), {s["suite"]: store.items(s["suite"]) for s in store.suites()}
        found = []
        for personalizer, name, suite, item, system in store.system_texts():
            facts = {fact.text: fact.sensitive for fact in people[name].facts}
            lines = tuple(line for line in told_lines(system) if line in facts)
            asked = items[suite][item].question
            found.append(Told(personalizer, name, suite, item, asked, lines, sum(facts[line] for line in lines)))
        return found

"""What a study's personalizers remember of people, and what they told of them, to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evenhand.personalizers.record import told_lines
from evenhand.study import Store


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
        """The content for people: one line for each text, JSON for anything else."""
        lines = []
        for name, value in self.content.items():
            texts = isinstance(value, list) and all(isinstance(text, str) for text in value)
            lines += [f"{name}: {text}" for text in value] if texts else [f"{name}: {orjson.dumps(value).decode()}"]
        return "\n".join(lines)


def remembered(store: Store) -> list[Remembered]:
    """All memories of a study, in the order they were learned."""
    calls = store.calls_of_memories()
    return [Remembered(*key, content, calls.get(key, 0)) for key, content in store.memories()]


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

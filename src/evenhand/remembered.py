"""What a study's personalizers remember, to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

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

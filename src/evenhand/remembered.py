"""What a study's personalizers remember, to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evenhand.errors import EvenhandError
from evenhand.personalizers import PersonPersonalizer, make_personalizer
from evenhand.personalizers.base import lines_of
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
        """The content for people, as its personalizer shows it."""
        try:
            personalizer = make_personalizer(self.personalizer)
        except EvenhandError:  # it came with a package that is not there any more
            return "\n".join(lines_of(self.content))
        if not isinstance(personalizer, PersonPersonalizer):
            return "\n".join(lines_of(self.content))
        return "\n".join(personalizer.shown(self.content))


def remembered(store: Store) -> list[Remembered]:
    """All memories of a study, in the order they were learned."""
    calls = store.calls_of_memories()
    return [Remembered(*key, content, calls.get(key, 0)) for key, content in store.memories()]

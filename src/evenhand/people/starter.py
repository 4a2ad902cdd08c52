"""The people that come with the package."""

from __future__ import annotations

from pathlib import Path

from evenhand.people.base import PEOPLE, read_people
from evenhand.types import Person

_FILE = Path(__file__).parent / "data" / "starter.jsonl"


@PEOPLE.register("starter")
def starter() -> tuple[Person, ...]:
    """People of our own invention; nothing in their records tells a protected identity."""
    return read_people(_FILE)

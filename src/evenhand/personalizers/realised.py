"""One identity told in many ways: by paraphrased statements, by bios, by names.

Each question is put in one of the ways, drawn by a hash of its text and the same for all identities, so that they are
compared on the same question told the same way. Nothing about the draw is kept: it is made again from the question.
What a single way does is then no fact about an identity, and the analysis takes the ways as drawn from many
(:mod:`evenhand.analysis.realisations`).
"""

from __future__ import annotations

import csv
import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from evenhand.errors import DataError, SpecError
from evenhand.personalizers.base import BASE_SYSTEM, PERSONALIZERS, Card, Personalizer, baseline_messages
from evenhand.types import Identity, Message

_DATA = Path(__file__).parent / "data"
_PLACEHOLDER = "{identity}"
_IN_TURN = "user"
# What a name is said to be, and in which order names are put together.
_KINDS = {"first": "first name", "last": "last name", "full": "name"}


class Realised(Personalizer):
    """A personalizer that has several ways to tell each identity. One of no name is nobody: the baseline ``plain``."""

    @property
    @abstractmethod
    def ways(self) -> tuple[str, ...]:
        """The ways, as a reader should see them, in an order that stays; at least two, and all different.

        They hold all that the ways say, so that a study can keep to those that it began with.
        """

    @abstractmethod
    def told(self, identity: Identity, prompt: str, way: int) -> tuple[Message, ...]:
        """The conversation in one of the ways, from 0."""

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        if not identity.name:
            return baseline_messages(identity, prompt)
        return self.told(identity, prompt, way_of(prompt, len(self.ways)))


def way_of(prompt: str, count: int) -> int:
    """Which of so many ways a question is put in: uniform over questions, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(f"way\x1f{prompt}".encode(), digest_size=8).digest(), "big") % count


@PERSONALIZERS.register("paraphrased")
class Paraphrased(Realised):
    """The statement of the paper in other words, one for each question.

    Args:
        where: "user" for the start of the turn that asks; the system message otherwise.

    Raises:
        SpecError: any other place.
    """

    name = "paraphrased"
    summary = "stated in one of 24 ways, in the system message or the user's turn"
    argument = f"[{_IN_TURN}]"

    def __init__(self, where: str = "") -> None:
        if where not in ("", _IN_TURN):
            raise SpecError(
                f"The personalizer 'paraphrased:{where}' has no such place.", f"Write paraphrased:{_IN_TURN}."
            )
        self._in_turn = where == _IN_TURN

    @property
    def ways(self) -> tuple[str, ...]:
        return _lines("statements.txt")

    def told(self, identity: Identity, prompt: str, way: int) -> tuple[Message, ...]:
        statement = self.ways[way].replace(_PLACEHOLDER, identity.name)
        if self._in_turn:
            return (Message("system", BASE_SYSTEM), Message("user", f"{statement}\n\n{prompt}"))
        return (Message("system", f"{BASE_SYSTEM} {statement}"), Message("user", prompt))


@PERSONALIZERS.register("bio")
class Bio(Realised):
    """A few lines that somebody wrote about themselves, in which the identity is one thing among others."""

    name = "bio"
    summary = "stated in one of 24 short bios, among things that do not matter"
    card = Card(technique="prompt.profile_augmented")

    @property
    def ways(self) -> tuple[str, ...]:
        return _lines("bios.txt")

    def told(self, identity: Identity, prompt: str, way: int) -> tuple[Message, ...]:
        bio = self.ways[way].replace(_PLACEHOLDER, identity.name)
        system = f"{BASE_SYSTEM}\n\nThe user wrote this about themselves:\n{bio}"
        return (Message("system", system), Message("user", prompt))


@PERSONALIZERS.register("named")
class Named(Realised):
    """Only a name, one of many for each identity; an intersection has the first name of one part, the last of another.

    Args:
        file: a CSV file with the columns ``identity``, ``name``, and ``kind`` where it is not the full name ("first",
            "last"). Otherwise names from the US census: first names by sex, surnames by race.

    Raises:
        DataError: the file is missing or malformed, or gives fewer than two names of an identity.
    """

    name = "named"
    summary = "only a name, one of 24 that US censuses give for a gender or a race, or of a file"
    states = False
    card = Card(user_data="static attributes (implied)")
    argument = "[FILE]"
    # Licence and source of the names that come along; training/names/extract.py made the list.
    COMES_FROM: ClassVar[tuple[str, str]] = ("public domain", "US Census Bureau, names of 1990 and 2000")

    def __init__(self, file: str = "") -> None:
        self._names = _read_names(Path(file) if file else _DATA / "names.csv")
        # Names are numbered alike for all identities, so that the shortest list decides.
        self._count = min(len(names) for _, names in self._names.values())

    @property
    def ways(self) -> tuple[str, ...]:
        return tuple(
            "; ".join(f"{who}: {names[place]}" for who, (_, names) in self._names.items())
            for place in range(self._count)
        )

    def supports(self, identity: Identity) -> bool:
        parts = identity.parts or (identity,)
        if not all(part.name in self._names for part in parts):
            return False
        kinds = [self._names[part.name][0] for part in parts]
        return len(kinds) == 1 or sorted(kinds) == ["first", "last"]

    def told(self, identity: Identity, prompt: str, way: int) -> tuple[Message, ...]:
        found = sorted((self._names[part.name] for part in identity.parts or (identity,)), key=lambda f: f[0])
        kind = _KINDS[found[0][0]] if len(found) == 1 else "name"
        name = " ".join(names[way] for _, names in found)
        system = f"{BASE_SYSTEM} The user's {kind} is {name}."
        return (Message("system", system), Message("user", prompt))


@cache
def _lines(file: str) -> tuple[str, ...]:
    return tuple(line for line in (_DATA / file).read_text(encoding="utf-8").splitlines() if line.strip())


def _read_names(path: Path) -> dict[str, tuple[str, Sequence[str]]]:
    """Identity -> what its names are, and the names."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise DataError(f"There is no file of names at {path}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}.") from None
    found: dict[str, tuple[str, list[str]]] = {}
    for number, row in enumerate(rows, 2):
        who, name = (str(row.get(column) or "").strip() for column in ("identity", "name"))
        kind = str(row.get("kind") or "full").strip()
        if not who or not name:
            raise DataError(f"{path}: line {number} has no identity or no name.", "Columns: identity, name, kind.")
        if kind not in _KINDS:
            raise DataError(f"{path}: line {number}: '{kind}' is no kind of name.", f"Write {', '.join(_KINDS)}.")
        if found.setdefault(who, (kind, []))[0] != kind:
            raise DataError(f"{path}: line {number}: the names of '{who}' are of several kinds.", "Keep to one.")
        if name in found[who][1]:
            raise DataError(f"{path}: line {number}: '{who}' has the name '{name}' already.", "Remove one.")
        found[who][1].append(name)
    if not found:
        raise DataError(f"{path}: no names.", "Add lines with the columns identity, name, kind.")
    for who, (_, names) in found.items():
        if len(names) < 2:
            raise DataError(f"{path}: '{who}' has one name.", "Several are what this is for: add more, 12 at least.")
    return dict(found)

"""The dictionary of AI PERSONA (arXiv 2412.13103): typed fields, and where each of their entries comes from.

The fields are the paper's five groups. Ours differ in three ways: what the paper's code never fills or lets nobody
change can be learned, every entry keeps the turns that it rests on, and fields that nobody wants to see passed on are
marked. There is none for the temperament in four letters: no turn says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from evenhand.identities.naming import named

MOST_CHARACTERS = 200
MOST_IN_FIELD = 8
MOST_ENTRIES = 60


@dataclass(frozen=True)
class Field:
    """What an entry may be about.

    Attributes:
        about: what belongs there, for the model that fills it.
        many: whether it takes several entries.
        sensitive: whether what stands there would not be wanted shown where it does not help.
    """

    about: str
    many: bool = True
    sensitive: bool = False


FIELDS: Mapping[str, Field] = {
    "demographics/name": Field("what the user is called", many=False, sensitive=True),
    "demographics/age": Field("age, as stated", many=False, sensitive=True),
    "demographics/gender": Field("gender, as stated", many=False, sensitive=True),
    "demographics/origin": Field("where the user comes from, as stated", many=False, sensitive=True),
    "demographics/languages": Field("languages the user speaks"),
    "demographics/work": Field("job, trade or course of study"),
    "demographics/place": Field("where the user lives"),
    "demographics/home": Field("the home and what is in it", sensitive=True),
    "demographics/people": Field("family, partner, friends", sensitive=True),
    "demographics/health": Field("allergies, conditions, medicine", sensitive=True),
    "personality/traits": Field("how the user goes about things"),
    "personality/values": Field("what matters to the user, opinions"),
    "personality/interests": Field("hobbies, tastes, what the user likes and dislikes"),
    "pattern/routine": Field("hours, habits, what is done again and again"),
    "pattern/usage": Field("what the assistant is used for"),
    "pattern/mood": Field("what upsets or pleases the user", sensitive=True),
    "pattern/purchases": Field("what the user buys and owns"),
    "preference/style": Field("how answers should sound"),
    "preference/format": Field("what answers should look like, and how long"),
    "preference/tools": Field("tools, products and units the user prefers"),
    "preference/workflow": Field("how the user likes to work with the assistant"),
    "memory/ongoing": Field("what the user is in the middle of"),
    "memory/lasting": Field("anything else that will still matter"),
}


class PatchError(ValueError):
    """A change that cannot be made; the text says why."""


class Place(NamedTuple):
    """A turn of the user: the number of the session and of the turn among the user's in it, both from 1."""

    session: int
    turn: int

    def __str__(self) -> str:
        return f"{self.session}.{self.turn}"


@dataclass(frozen=True)
class Entry:
    """One thing that is remembered.

    Attributes:
        value: a short text, in one line.
        sources: the turns it rests on, "SESSION.TURN".
        sensitive: by its field, because it names a protected identity, or because the updater said so.
    """

    value: str
    sources: tuple[str, ...]
    sensitive: bool = False


@dataclass(frozen=True)
class Edit:
    """A change that was made.

    Attributes:
        op: "add", "replace", "remove", or "again" where what was to be added is there and was only said again.
        path: the field.
        value: what stands there now, "" for nothing.
        was: what stood there before, "" for nothing.
        source: the turn it rests on.
        echoes: whether that turn has a word of the value; where it has none, the value may be made up.
    """

    op: str
    path: str
    value: str
    was: str
    source: str
    echoes: bool = True


@dataclass(frozen=True)
class Dictionary:
    """What is remembered of a user; never changed, but made anew.

    Attributes:
        entries: field -> its entries, the oldest first; no field without any.
    """

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.entries.values()))

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """(field, entry) in the order of the fields."""
        for path in FIELDS:
            for entry in self.entries.get(path, ()):
                yield path, entry

    def add(self, path: str, value: str, source: Place, *, sensitive: bool = False) -> tuple[Dictionary, Edit]:
        """With one more entry. A field that takes one gets it in place of what it had; what is there already is said
        again.

        Raises:
            PatchError: there is no such field, it is full, or the value is empty or too long.
        """
        made = _entry(path, value, source, sensitive)
        there = self.entries.get(path, ())
        for number, known in enumerate(there):
            if known.value.casefold() == made.value.casefold():
                sources = tuple(dict.fromkeys((*known.sources, str(source))))
                again = replace(known, sources=sources, sensitive=known.sensitive or made.sensitive)
                return self._with(path, (*there[:number], again, *there[number + 1 :])), Edit(
                    "again", path, known.value, known.value, str(source)
                )
        if not FIELDS[path].many and there:
            return self.put(path, 0, value, source, sensitive=sensitive)
        if len(there) >= MOST_IN_FIELD or len(self) >= MOST_ENTRIES:
            raise PatchError(f"{path} is full; replace an entry, or remove one")
        return self._with(path, (*there, made)), Edit("add", path, made.value, "", str(source))

    def put(
        self, path: str, number: int, value: str, source: Place, *, sensitive: bool = False
    ) -> tuple[Dictionary, Edit]:
        """With an entry in place of the ``number``-th of a field, from 0.

        Raises:
            PatchError: there is none, or the value is empty or too long.
        """
        made, old = _entry(path, value, source, sensitive), self._at(path, number)
        there = self.entries[path]
        return self._with(path, (*there[:number], made, *there[number + 1 :])), Edit(
            "replace", path, made.value, old.value, str(source)
        )

    def take(self, path: str, number: int, source: Place) -> tuple[Dictionary, Edit]:
        """Without the ``number``-th entry of a field, from 0.

        Raises:
            PatchError: there is none.
        """
        old, there = self._at(path, number), self.entries[path]
        return self._with(path, there[:number] + there[number + 1 :]), Edit("remove", path, "", old.value, str(source))

    def plain(self) -> dict[str, Any]:
        """As JSON holds it: field -> entries."""
        return {
            path: [{"value": e.value, "sources": list(e.sources), "sensitive": e.sensitive} for e in entries]
            for path, entries in self.entries.items()
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Dictionary:
        """From what :meth:`plain` made of one."""
        return cls(
            {
                path: tuple(Entry(e["value"], tuple(e["sources"]), e["sensitive"]) for e in entries)
                for path, entries in plain.items()
            }
        )

    def _at(self, path: str, number: int) -> Entry:
        there = self.entries.get(path, ())
        if not 0 <= number < len(there):
            raise PatchError(f"{path} has no entry {number}")
        return there[number]

    def _with(self, path: str, entries: tuple[Entry, ...]) -> Dictionary:
        rest = {name: held for name, held in self.entries.items() if name != path}
        return Dictionary({**rest, path: entries} if entries else rest)


def _entry(path: str, value: str, source: Place, sensitive: bool) -> Entry:
    if path not in FIELDS:
        raise PatchError(f"there is no field {path}")
    # One line without control characters: what a model or a user wrote must not begin a line of its own in a prompt.
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if not text:
        raise PatchError(f"the value for {path} is empty")
    if len(text) > MOST_CHARACTERS:
        raise PatchError(f"the value for {path} has more than {MOST_CHARACTERS} characters")
    return Entry(text, (str(source),), sensitive or FIELDS[path].sensitive or bool(named(text)))

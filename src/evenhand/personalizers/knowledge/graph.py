"""A user's facts as triples, and the journal of every edit to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from evenhand.personalizers.relevance import Known, clause

USER = "user"
_FILLERS = frozenset(
    {"a", "an", "the", "of", "user", "users", "user's", "his", "her", "their", "my", "personal", "about"}
)
_LONGEST = 3


@dataclass(frozen=True, slots=True)
class Triple:
    """Something known of the user: (user, relation, object).

    Attributes:
        relation: what it is about ("job").
        object: the record's sentence ("Works as a baker."), or the user's own words.
        said: whether these are the user's words in a session; else it was in the record.
        subject: whom it is about.
    """

    relation: str
    object: str
    said: bool = False
    subject: str = USER

    @property
    def line(self) -> str:
        """As it is told to a model."""
        return f'{self.relation.capitalize()}: "{self.object}"' if self.said else self.object

    @property
    def known(self) -> Known:
        """As its relevance to a question is found."""
        continued = f"'s {self.relation}: {self.object}" if self.said else clause(self.object)
        return Known(continued, self.line, self.object)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a graph.

    Attributes:
        action: what was done.
        triple: to what.
        session: after which session, from 1.
        why: in a few words.
    """

    action: Literal["add", "remove"]
    triple: Triple
    session: int
    why: str


@dataclass
class Graph:
    """Triples of one user: those of the record, and what was changed since.

    Attributes:
        seeds: of the record.
        journal: every edit, in order; undoing removes the last ones.
    """

    seeds: tuple[Triple, ...] = ()
    journal: list[Edit] = field(default_factory=list)

    @property
    def triples(self) -> list[Triple]:
        """What is known now: the journal replayed from the seeds."""
        held = dict.fromkeys(self.seeds)
        for edit in self.journal:
            if edit.action == "add":
                held[edit.triple] = None
            else:
                held.pop(edit.triple, None)
        return list(held)

    def add(self, triple: Triple, session: int, why: str) -> bool:
        """Note that something is known; False where it was."""
        return triple not in self.triples and self._note(Edit("add", triple, session, why))

    def remove(self, triple: Triple, session: int, why: str) -> bool:
        """Note that something is known no longer; False where it was not."""
        return triple in self.triples and self._note(Edit("remove", triple, session, why))

    def undo(self, to: int) -> None:
        """Take back all edits but the first ``to``."""
        del self.journal[to:]

    def _note(self, edit: Edit) -> bool:
        self.journal.append(edit)
        return True

    def content(self) -> dict[str, Any]:
        """As plain data, which :func:`read_graph` reads; empty where nothing is known and nothing was."""
        if not self.seeds and not self.journal:
            return {}
        return {"seeds": [asdict(t) for t in self.seeds], "journal": [asdict(e) for e in self.journal]}


def read_graph(content: Mapping[str, Any], edits: int | None = None) -> Graph:
    """A graph from plain data.

    Args:
        content: what :meth:`Graph.content` gave.
        edits: as it was after so many edits; None for all.
    """
    journal = [Edit(**{**e, "triple": Triple(**e["triple"])}) for e in content.get("journal", ())]
    return Graph(tuple(Triple(**t) for t in content.get("seeds", ())), journal[:edits])


def normal(relation: str) -> str:
    """A relation as it is compared: at most three small words, none of them a filler, the last one singular."""
    words = [w for w in re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", relation.lower()) if w not in _FILLERS]
    if not words or len(words) > _LONGEST:
        return ""
    *before, last = words
    plural = len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return " ".join([*before, last[:-1] if plural else last])


def known_as(relation: str, among: Iterable[str]) -> str:
    """The relation of a graph that means the same; itself where none does: one that ends in the same word."""
    own = normal(relation)
    return next((other for other in among if normal(other).split()[-1:] == own.split()[-1:]), own)


def relations_of(triples: Sequence[Triple]) -> list[str]:
    """The relations of triples, each once."""
    return list(dict.fromkeys(triple.relation for triple in triples))

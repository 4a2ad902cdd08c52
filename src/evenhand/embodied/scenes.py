"""The scenes of VirtualHome that plans are carried out in: objects with states, and relations between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Scenes have one character, who acts.
CHARACTER = "character"
HANDS = ("HOLDS_RH", "HOLDS_LH")
_ROOM, _PLACES = "Rooms", ("INSIDE", "ON")

Edge = tuple[int, str, int]


@dataclass(frozen=True)
class Thing:
    """An object as it is from first to last.

    Attributes:
        name: of its class, like "coffe_maker" (the data's own spelling).
        properties: what can be done with it, like "GRABBABLE".
        room: it is a room.
    """

    name: str
    properties: frozenset[str] = frozenset()
    room: bool = False


@dataclass
class Scene:
    """What holds now, and what has held at some time.

    Attributes:
        things: id -> object.
        character: the id of who acts.
        states: id -> states, like "OPEN".
        taken_from: held object -> where it was taken from, and how it was there.
        held: relations and states ((id, state)) that have held at some time.
        lacked: what of the character has at some time not held: "SITTING", "LYING", and "HOLDS" for empty hands.
    """

    things: Mapping[int, Thing]
    character: int
    states: dict[int, set[str]]
    taken_from: dict[int, tuple[str, int]] = field(default_factory=dict)
    held: set[Edge | tuple[int, str]] = field(default_factory=set)
    lacked: set[str] = field(default_factory=set)
    _out: defaultdict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    _in: defaultdict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))

    def copy(self) -> Scene:
        """A scene like this one, that changes apart from it."""
        states = {thing: set(held) for thing, held in self.states.items()}
        out, into = (
            defaultdict(set, {key: set(others) for key, others in side.items()}) for side in (self._out, self._in)
        )
        taken, held, lacked = dict(self.taken_from), set(self.held), set(self.lacked)
        return Scene(self.things, self.character, states, taken, held, lacked, out, into)

    def has(self, source: int, relation: str, target: int) -> bool:
        return target in self._out.get((source, relation), ())

    def targets(self, source: int, *relations: str) -> list[int]:
        """What an object stands in one of the relations to; in order of relations and ids."""
        return [target for relation in relations for target in sorted(self._out.get((source, relation), ()))]

    def sources(self, relation: str, target: int) -> list[int]:
        """What stands in a relation to an object, in order of ids."""
        return sorted(self._in.get((target, relation), ()))

    def add(self, source: int, relation: str, target: int, *, both: bool = False) -> None:
        self._out[source, relation].add(target)
        self._in[target, relation].add(source)
        self.held.add((source, relation, target))
        if both:
            self.add(target, relation, source)

    def remove(self, source: int, relation: str, target: int) -> None:
        self._out[source, relation].discard(target)
        self._in[target, relation].discard(source)

    def part(self, thing: int, *relations: str) -> None:
        """Ends certain relations of an object to all others, and of all others to it."""
        for relation in relations:
            for target in self.targets(thing, relation):
                self.remove(thing, relation, target)
            for source in self.sources(relation, thing):
                self.remove(source, relation, thing)

    def change(self, thing: int, gone: Iterable[str], come: Iterable[str] = ()) -> None:
        """Takes states from an object, and gives it others."""
        self.states[thing] = (self.states[thing] - set(gone)) | set(come)
        self.held.update((thing, state) for state in come)

    def remember(self) -> None:
        """Notes what of the character does not hold now; called at first and after each step."""
        self.lacked |= {"SITTING", "LYING"} - self.states[self.character]
        if not self.targets(self.character, *HANDS):
            self.lacked.add("HOLDS")

    def room(self, thing: int) -> int | None:
        """The room that an object is in, or is; None where it is in none."""
        seen: set[int] = set()
        while not self.things[thing].room:
            seen.add(thing)
            inside = self.targets(thing, "INSIDE")
            rooms = [place for place in inside if self.things[place].room]
            if not rooms and (len(inside) != 1 or inside[0] in seen):
                return None
            thing = (rooms or inside)[0]
        return thing

    def edges(self) -> Iterator[Edge]:
        for (source, relation), targets in self._out.items():
            yield from ((source, relation, target) for target in targets)


class Graphs:
    """The whole scenes that tasks start in: a base that all share, changed by what is a task's own."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        """Reads the base, from ``virtualhome_init_graphs.json.gz``."""
        self._nodes: dict[int, Mapping[str, Any]] = {node["id"]: node for node in table["base"]["nodes"]}
        self._tasks: Mapping[str, Any] = table["scripts"]
        self._of: defaultdict[int, set[Edge]] = defaultdict(set)
        for edge in map(_edge, table["base"]["edges"]):
            self._of[edge[0]].add(edge)
            self._of[edge[2]].add(edge)

    def around(self, task: str, acted: Iterable[int]) -> dict[str, Any]:
        """The part of a task's scene that plans about certain objects can depend on, as JSON has it.

        These are their relations and the character's, and where what they relate to lies. An action asks for no
        others: the character gets close to what is acted upon, to what that is in or on, and to what is in that.

        Args:
            task: its id.
            acted: ids of the objects that plans may name.

        Raises:
            KeyError: there is no such task.
        """
        own = self._tasks[task]
        lost, gone = set(own["del_nodes"]), set(map(_edge, own["del_edges"]))
        nodes = {number: node for number, node in self._nodes.items() if number not in lost}
        nodes |= {node["id"]: node for node in own["add_nodes"]}
        added: defaultdict[int, set[Edge]] = defaultdict(set)
        for edge in map(_edge, own["add_edges"]):
            added[edge[0]].add(edge)
            added[edge[2]].add(edge)

        def of(number: int) -> set[Edge]:
            edges = (self._of.get(number, set()) - gone) | added.get(number, set())
            return {edge for edge in edges if edge[0] in nodes and edge[2] in nodes}

        centre = {*acted, *(n for n, node in nodes.items() if node["class_name"] == CHARACTER)} & nodes.keys()
        chosen = set().union(*map(of, centre))
        body = {number for number, node in nodes.items() if "BODY_PART" in node["properties"]}
        waiting, seen = [*centre], set(centre)
        while waiting:
            number = waiting.pop()
            places = {edge for edge in of(number) if edge[0] == number and edge[1] in _PLACES}
            chosen |= places
            waiting += {edge[2] for edge in places} - seen
            seen |= {edge[2] for edge in places}
        named = centre | body | {number for edge in chosen for number in (edge[0], edge[2])}
        things = [_thing(nodes[number]) for number in sorted(named)]
        return {"things": things, "edges": [list(edge) for edge in sorted(chosen)]}


def _edge(read: Sequence[Any]) -> Edge:
    source, relation, target = read
    return source, relation, target


def _thing(node: Mapping[str, Any]) -> list[Any]:
    room = node["category"] == _ROOM
    return [node["id"], node["class_name"], room, sorted(node["properties"]), sorted(node["states"])]


def scene_of(stored: Mapping[str, Any]) -> Scene:
    """A fresh scene, from what :meth:`Graphs.around` made.

    Raises:
        ValueError: it has no character.
    """
    things = {row[0]: Thing(row[1], frozenset(row[3]), row[2]) for row in stored["things"]}
    character = next((number for number, thing in things.items() if thing.name == CHARACTER), None)
    if character is None:
        raise ValueError("the scene has no character")
    scene = Scene(things, character, {row[0]: set(row[4]) for row in stored["things"]})
    scene.held |= {(number, state) for number, states in scene.states.items() for state in states}
    for source, relation, target in stored["edges"]:
        scene.add(source, relation, target)
    scene.remember()
    return scene

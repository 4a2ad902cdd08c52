"""Goal interpretation: the symbolic goals that an answer states, against those of the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from evenhand.embodied.answers import json_answer
from evenhand.embodied.counts import Counts
from evenhand.embodied.matching import matching

# ("lamp", "ON"), ("soap", "INSIDE", "washing_machine"), ("READ",); of BEHAVIOR ("jar.n.01_1", "NOT OPEN").
Goal = tuple[str, ...]
STATE, RELATION, ACTION = "state", "relation", "action"
KINDS = (STATE, RELATION, ACTION)
_KEYS = {"node goals": STATE, "edge goals": RELATION, "action goals": ACTION}
_FIELDS = {STATE: ("name", "state"), RELATION: ("from_name", "relation", "to_name"), ACTION: ("action",)}
NOT = "not"
# Goals of one kind that are read; the longest right answer has 20.
_MOST = 1000


@dataclass(frozen=True)
class Convention:
    """What is counted how.

    Attributes:
        unreadable: an answer that cannot be read misses all goals; else it is left out.
        invented: a goal about an object that is not in the scene is extra; else it is left out.
        once: a right action is found once; else as often as it is said.
    """

    unreadable: bool = True
    invented: bool = True
    once: bool = True


OURS = Convention()
AUTHORS = Convention(unreadable=False, invented=False, once=False)


@dataclass(frozen=True)
class Stated:
    """The goals that an answer states.

    Attributes:
        goals: kind -> goals, each once, in the order of the answer; actions once for each description.
        malformed: entries that are no goals.
    """

    goals: Mapping[str, tuple[Goal, ...]]
    malformed: int = 0


@dataclass(frozen=True)
class Wanted:
    """The goals of a VirtualHome task.

    Attributes:
        states, relations: goals over objects' keys.
        actions: each with all names that will do.
        objects: what an answer calls an object -> its key. Answers can only name objects, so keys are names, and a goal
            for a name is a goal for all objects of that name. The authors' keys are ids, one of each name.
    """

    states: tuple[Goal, ...]
    relations: tuple[Goal, ...]
    actions: tuple[tuple[str, ...], ...]
    objects: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """How the goals of one kind were met."""

    counts: Counts = field(default_factory=Counts)
    missing: tuple[Goal, ...] = ()
    extra: tuple[Goal, ...] = ()

    @property
    def wrong(self) -> int:
        """Missing goals for whose objects another goal of the kind was stated."""
        said = Counter(_objects(goal) for goal in self.extra)
        missed = Counter(_objects(goal) for goal in self.missing)
        return (said & missed).total()


Outcome = dict[str, Found]


def total(outcome: Outcome) -> Counts:
    """The counts of all kinds together."""
    return reduce(add, (found.counts for found in outcome.values()), Counts())


def read_virtualhome(text: str) -> Stated | None:
    """The goals of an answer in VirtualHome's format; None where it holds no such object."""
    answer = json_answer(text, _KEYS)
    if answer is None:
        return None
    goals: dict[str, tuple[Goal, ...]] = {}
    malformed = 0
    for key, kind in _KEYS.items():
        read = [_virtualhome_goal(entry, kind) for entry in _entries(answer.get(key)) if entry != {}]
        distinct = dict.fromkeys(goal for goal in read if goal)
        # An action is done as often as it is described in other words.
        goals[kind] = tuple(goal[:1] if kind == ACTION else goal for goal in distinct)
        malformed += read.count(None)
    return Stated(goals, malformed)


def _virtualhome_goal(entry: object, kind: str) -> Goal | None:
    values = [entry.get(name) for name in _FIELDS[kind]] if isinstance(entry, dict) else [None]
    words = [value.strip() for value in values if isinstance(value, str)]
    if len(words) < len(values):
        return None
    if kind == ACTION and isinstance(entry, dict) and isinstance(how := entry.get("description"), str):
        words.append(how.strip())
    # States, relations and actions are in capitals, objects are not.
    named = {STATE: (0,), RELATION: (0, 2), ACTION: (1,)}[kind]
    return tuple(word.lower() if place in named else word.upper() for place, word in enumerate(words))


def read_behavior(text: str) -> Stated | None:
    """The goals of an answer in BEHAVIOR's format; None where it holds no such object."""
    answer = json_answer(text, _KEYS)
    if answer is None:
        return None
    entries = [entry for key in ("node goals", "edge goals") for entry in _entries(answer.get(key))]
    read = [behavior_goal(entry) for entry in entries]
    goals = dict.fromkeys(goal for goal in read if goal)
    return Stated({kind: tuple(g for g in goals if kind_of(g) == kind) for kind in (STATE, RELATION)}, read.count(None))


def behavior_goal(entry: object) -> Goal | None:
    """A goal from ``[predicate, object]``, ``[predicate, object, object]``, or ``["not", one of them]``."""
    if not isinstance(entry, list) or not 2 <= len(entry) <= 3 or not isinstance(entry[0], str):
        return None
    if entry[0].strip().lower() != NOT:
        return _positive(entry)
    inner = _positive(entry[1]) if len(entry) == 2 else None
    return inner and (inner[0], f"{NOT.upper()} {inner[1]}", *inner[2:])


def _positive(entry: object) -> Goal | None:
    if not isinstance(entry, list) or not 2 <= len(entry) <= 3 or not all(isinstance(word, str) for word in entry):
        return None
    predicate, first, *second = (word.strip().lower() for word in entry)
    return (first, predicate.upper().replace("TOGGLEDON", "TOGGLED_ON"), *second)


def kind_of(goal: Goal) -> str:
    """Whether a BEHAVIOR goal is a state or a relation."""
    return STATE if len(goal) == 2 else RELATION


def _entries(value: object) -> list[Any]:
    if value is None:
        return []
    return value[:_MOST] if isinstance(value, list) else [value]


def score_virtualhome(said: Stated | None, wanted: Wanted, convention: Convention = OURS) -> Outcome:
    """How an answer meets the goals of a VirtualHome task.

    Args:
        said: what it states; None where it could not be read.
        wanted: the task's goals.
        convention: what is counted how.
    """
    if said is None and not convention.unreadable:
        return {kind: Found() for kind in KINDS}
    goals = said.goals if said else {}
    states, relations = dict.fromkeys(wanted.states), dict.fromkeys(wanted.relations)
    return {
        STATE: _met(_keyed(goals.get(STATE, ()), (0,), wanted, convention), states),
        RELATION: _met(_keyed(goals.get(RELATION, ()), (0, 2), wanted, convention), relations),
        ACTION: _actions_met([goal[0] for goal in goals.get(ACTION, ())], wanted.actions, once=convention.once),
    }


def _keyed(goals: Iterable[Goal], named: Sequence[int], wanted: Wanted, convention: Convention) -> list[Goal]:
    """Goals over the keys of their objects; those about objects that are not there stay as they are, or are left."""
    kept = (g for g in goals if convention.invented or all(g[place] in wanted.objects for place in named))
    return [tuple(wanted.objects.get(w, w) if n in named else w for n, w in enumerate(goal)) for goal in kept]


def _met(said: Sequence[Goal], wanted: Iterable[Goal]) -> Found:
    wanted = tuple(wanted)
    right = [goal for goal in said if goal in wanted]
    extra = tuple(goal for goal in said if goal not in wanted)
    missing = tuple(goal for goal in wanted if goal not in said)
    return Found(Counts(len(right), len(extra), len(wanted) - len(right)), missing, extra)


def _actions_met(said: Sequence[str], wanted: Sequence[tuple[str, ...]], *, once: bool) -> Found:
    """Actions, of which each wanted one has several names."""
    pairs = [(row, column) for row, name in enumerate(said) for column, names in enumerate(wanted) if name in names]
    if once:
        pairs = matching(pairs, len(said), len(wanted))
    hit, met = ({pair[side] for pair in pairs} for side in (0, 1))
    extra = tuple((name,) for place, name in enumerate(said) if place not in hit)
    missing = tuple(("|".join(names),) for place, names in enumerate(wanted) if place not in met)
    return Found(Counts(len(hit), len(extra), len(wanted) - len(hit)), missing, extra)


def score_behavior(said: Stated | None, clauses: Sequence[Sequence[Sequence[Goal]]]) -> Outcome:
    """How an answer meets the goals of a BEHAVIOR task.

    Args:
        said: what it states; None where it could not be read: it misses all goals, as with the authors.
        clauses: for each clause of the goal its groundings, each a list of goals; the one of which most is said counts.
    """
    stated = [goal for kind in (STATE, RELATION) for goal in (said.goals[kind] if said else ())]
    known = frozenset(stated)
    chosen = [max(groundings, key=lambda goals: sum(goal in known for goal in goals)) for groundings in clauses]
    wanted = dict.fromkeys(goal for goals in chosen for goal in goals)
    return {
        kind: _met([g for g in stated if kind_of(g) == kind], [g for g in wanted if kind_of(g) == kind])
        for kind in (STATE, RELATION)
    }


def _objects(goal: Goal) -> Goal:
    """What a goal is about; an action is about nothing in particular."""
    return goal[::2] if len(goal) > 1 else ()

"""Plans as answers: what is read, how far it can be carried out, and which goals hold in the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenhand.embodied.actions import ACTIONS, take
from evenhand.embodied.answers import LONGEST
from evenhand.embodied.goals import ACTION, RELATION, STATE
from evenhand.embodied.needs import ADDITIONAL
from evenhand.embodied.scenes import Edge, Scene

PARSING, HALLUCINATION, ARGUMENTS = "parsing", "hallucination", "argument number"

# Names may repeat, which an object of JSON would lose. An argument list ends at the first bracket: linear time.
_STEP = re.compile(r"[\"'](\w{1,40})[\"']\s{0,20}:\s{0,20}\[([^\[\]]*)\]")
# Actions that the prompt offers and the authors' script takes for made up.
_REFUSED = frozenset({"PLUGIN", "PLUGOUT", "RELEASE"})

Said = tuple[str, tuple[str, ...]]
Command = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Goals:
    """What has to hold in the end, and what has to be done on the way.

    Attributes:
        states: object, state.
        relations: object, relation, object.
        actions: in their order; of each one of several names.
    """

    states: tuple[tuple[int, str], ...] = ()
    relations: tuple[Edge, ...] = ()
    actions: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Convention:
    """What counts, where the authors' script (eai-eval 1.0.5) counts otherwise than it says.

    Attributes:
        all_relations: a task can have several relations as goals; theirs stops at the first that holds.
        gold: the reference program is a right answer; theirs gives it no goal.
        bare: actions without objects can be said; theirs drops them.
        offered: PLUGIN, PLUGOUT and RELEASE are actions, as the prompt says.
    """

    all_relations: bool = True
    gold: bool = True
    bare: bool = True
    offered: bool = True


OURS, AUTHORS = Convention(), Convention(all_relations=False, gold=False, bare=False, offered=False)


@dataclass(frozen=True)
class Outcome:
    """How a plan went.

    Attributes:
        error: the kind of the first error that ends it; "" where all steps were taken.
        why: what is wrong, in words; "" without an error.
        taken: how many steps were taken.
        additional: how many steps had nothing to do and were passed over.
        met: kind of goal -> how many are reached, of how many.
        reached: all goals are; never where the plan could not be begun.
    """

    error: str
    why: str
    taken: int
    additional: int
    met: Mapping[str, tuple[int, int]]
    reached: bool


def read_plan(text: str, *, bare: bool = True) -> list[Said] | None:
    """The steps that an answer states, in order; None where there are none that can be read.

    Args:
        text: the answer, of which the end is read where it is long.
        bare: read actions without objects.
    """
    steps: list[Said] = []
    for name, inside in _STEP.findall(text[-LONGEST:]):
        try:
            said = json.loads(f"[{inside.replace(chr(39), chr(34))}]", parse_int=str, parse_float=str)
        except ValueError:
            return None
        names = tuple(str(part).strip() for part in said)
        if bare:
            names = tuple(filter(None, names))
        elif not inside:
            continue
        steps.append((name, names))
    return steps or None


def commands(
    said: Sequence[Said] | None, names: Mapping[str, int], convention: Convention = OURS
) -> list[Command] | tuple[str, str]:
    """Steps in terms of a scene's objects; else the kind of error of grammar, and what is wrong.

    Args:
        said: of :func:`read_plan`.
        names: ``name_id`` -> id, of the objects that the prompt names.
        convention: what counts.
    """
    if not said or any(len(parts) % 2 for _, parts in said):
        return PARSING, "no list of actions with objects and their ids"
    found: list[Command] = []
    for name, parts in said:
        action = name.upper()
        if action not in ACTIONS or (not convention.offered and action in _REFUSED):
            return HALLUCINATION, f"there is no action {name}"
        keys = [f"{parts[at]}_{parts[at + 1]}" for at in range(0, len(parts), 2)]
        for key in keys:
            if key not in names:
                return HALLUCINATION, f"there is no {key}"
        found.append((action, tuple(names[key] for key in keys)))
    for action, objects in found:
        if len(objects) != ACTIONS[action].objects:
            return ARGUMENTS, f"{action} takes {ACTIONS[action].objects} objects, not {len(objects)}"
    return found


def carry_out(scene: Scene, plan: Sequence[Command], goals: Goals, convention: Convention = OURS) -> Outcome:
    """Takes a plan's steps until one cannot be taken; steps with nothing to do are passed over.

    Args:
        scene: the start; it is changed.
        plan: of :func:`commands`.
        goals: what should hold.
        convention: what counts.
    """
    done: list[str] = []
    additional = 0
    error, why = "", ""
    for number, (action, objects) in enumerate(plan, 1):
        fault = take(scene, action, objects)
        if fault is None:
            done.append(action)
        elif fault.kind == ADDITIONAL:
            additional += 1
        else:
            error, why = fault.kind, f"step {number}, {action}: {fault.why}"
            break
    met = reached(scene, done, goals, convention)
    return Outcome(error, why, len(done), additional, met, all_met(met))


def reached(
    scene: Scene, done: Sequence[str], goals: Goals, convention: Convention = OURS
) -> dict[str, tuple[int, int]]:
    """Kind of goal -> how many are reached, of how many."""
    relations = sum(scene.has(*edge) for edge in goals.relations)
    return {
        STATE: (sum(state in scene.states.get(thing, ()) for thing, state in goals.states), len(goals.states)),
        RELATION: (relations if convention.all_relations else min(relations, 1), len(goals.relations)),
        ACTION: (_in_order(done, goals.actions), len(goals.actions)),
    }


def _in_order(done: Sequence[str], wanted: Sequence[Sequence[str]]) -> int:
    """How many of the actions, from the first, were taken one after the other."""
    at = 0
    for count, names in enumerate(wanted):
        at = next((place + 1 for place in range(at, len(done)) if done[place] in names), 0)
        if not at:
            return count
    return len(wanted)


def all_met(met: Mapping[str, tuple[int, int]]) -> bool:
    """Whether all goals are reached.

    Args:
        met: of :func:`reached`.
    """
    return all(count == wanted for count, wanted in met.values())


def nothing_done(goals: Goals) -> dict[str, tuple[int, int]]:
    """What a plan that cannot be begun reaches."""
    return {STATE: (0, len(goals.states)), RELATION: (0, len(goals.relations)), ACTION: (0, len(goals.actions))}


def not_begun(error: str, why: str, goals: Goals) -> Outcome:
    """The outcome of an answer with an error of grammar."""
    return Outcome(error, why, 0, 0, nothing_done(goals), reached=False)


def judge_plan(
    text: str, scene: Scene, names: Mapping[str, int], goals: Goals,
    convention: Convention = OURS, gold: Sequence[Command] = (),
) -> Outcome:  # fmt: skip
    """How an answer's plan goes.

    Args:
        text: the answer.
        scene: the start; it is changed.
        names: ``name_id`` -> id, of the objects that the prompt names.
        goals: what should hold.
        convention: what counts.
        gold: the reference program, to count as the authors do.
    """
    plan = commands(read_plan(text, bare=convention.bare), names, convention)
    if isinstance(plan, tuple):
        return not_begun(*plan, goals)
    if not convention.gold and plan == list(gold):
        met = nothing_done(goals)
        return Outcome("", "", len(plan), 0, met, all_met(met))
    return carry_out(scene, plan, goals, convention)


def program(lines: Sequence[str]) -> list[Command]:
    """A reference program, whose lines are like ``[PUTIN] <soap> (1002) <washing_machine> (1001)``."""
    steps = []
    for line in lines:
        action, _, objects = line.removeprefix("[").partition("]")
        steps.append((action, tuple(map(int, re.findall(r"\((\d+)\)", objects)))))
    return steps

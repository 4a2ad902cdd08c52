"""Subgoals as answers: what is read, and by which actions each is brought about.

An answer lists formulas in the order in which they should come true. Of *and* the parts are brought about one after
the other, of *or* any will do. The actions for a primitive are those of the authors' program (eai-eval 1.0.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evenhand.embodied.actions import ACTIONS
from evenhand.embodied.answers import json_answer
from evenhand.embodied.pddl import Formula
from evenhand.embodied.plans import ARGUMENTS, HALLUCINATION, PARSING, Command
from evenhand.embodied.scenes import HANDS, Edge, Scene
from evenhand.embodied.temporal import FormulaError, formula_in, primitives

_OUTPUT = "output"
_KEYS = (_OUTPUT, "actions_to_include", "necessity_to_use_action")

# What a state is brought about by, after the object was found; of several ways each is tried.
_STATES: Mapping[str, tuple[str, ...]] = {
    "CLOSED": ("CLOSE",), "OPEN": ("OPEN",), "ON": ("SWITCHON",), "OFF": ("SWITCHOFF",), "CLEAN": ("WIPE", "WASH"),
    "PLUGGED_IN": ("PLUGIN",), "PLUGGED_OUT": ("PLUGOUT",), "DIRTY": (), "SITTING": (), "LYING": (),
}  # fmt: skip
_BETWEEN = "BETWEEN"
_RELATIONS = ("ONTOP", "INSIDE", "NEXT_TO", "FACING", *HANDS)
PREDICATES: Mapping[str, int] = {**dict.fromkeys(_STATES, 1), **dict.fromkeys(_RELATIONS, 2), _BETWEEN: 3}
_OFFERED = frozenset(
    {"DRINK", "EAT", "CUT", "TOUCH", "LOOKAT", "WATCH", "READ", "TYPE", "PUSH", "PULL", "MOVE", "SQUEEZE"}
    | {"SLEEP", "WAKEUP", "RINSE", "SCRUB", "WASH", "GRAB", "SWITCHOFF"}
)
# Predicates and actions that answers may use -> how many objects they are about.
VOCABULARY: Mapping[str, int] = {**PREDICATES, **{name: ACTIONS[name].objects for name in sorted(_OFFERED)}}
# An action and predicates that the prompt does not offer and the authors' script lets pass; for the predicates nothing
# is done.
_WIPE = "WIPE"
_PROPERTIES = frozenset(
    {"GRABBABLE", "CUTTABLE", "CAN_OPEN", "READABLE", "HAS_PAPER", "MOVABLE", "POURABLE", "CREAM", "HAS_SWITCH"}
    | {"LOOKABLE", "HAS_PLUG", "DRINKABLE", "BODY_PART", "RECIPIENT", "CONTAINERS", "COVER_OBJECT", "SURFACES"}
    | {"SITTABLE", "LIEABLE", "PERSON", "HANGABLE", "CLOTHES", "EATABLE"}
)
_AFTER_GRABBING, _AFTER_TURNING = frozenset({"DRINK", "EAT", "READ"}), frozenset({"LOOKAT", "WATCH"})
# A relation that a subgoal undoes -> what to say for it.
_LAST: Mapping[str, str] = {"CLOSE": "NEXT_TO", "FACING": "FACING"}
_PUTS_DOWN = ("DROP", "RELEASE", "PUTOBJBACK")
# How the actions of reference programs are said, where they are not said as they are.
_SAID_AS: Mapping[str, str] = {
    **{way: f"{state}({{0}})" for state, possible in _STATES.items() for way in possible},
    **dict.fromkeys(("SIT", "LIE"), "ONTOP({me}, {0})"),
    **dict.fromkeys(("PUTIN", "POUR"), "INSIDE({0}, {1})"),
    **dict.fromkeys(("WALK", "RUN"), "INSIDE({me}, {0})"),
    "FIND": "NEXT_TO({me}, {0})", "TURNTO": "FACING({me}, {0})", "PUTBACK": "ONTOP({0}, {1})",
    "PUTON": "ONTOP({0}, {me})",
}  # fmt: skip
_PRIMITIVE = re.compile(r"\w\(")

# A primitive with the ids of its objects.
Grounded = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Convention:
    """What counts, where the authors' script (eai-eval 1.0.5) counts otherwise than its prompt says.

    Attributes:
        at_end: the states that are wanted hold in the end; theirs takes it that they held together at some time.
        all_lines: every line is read; theirs leaves out those without a bracket behind a name.
        offered: the words of the prompt, BETWEEN with three objects; theirs has properties of objects and WIPE
            besides, and takes BETWEEN with two.
        any_way: any part of an *or* will do; theirs takes the text before the first one (its own choice is by chance).
        rises: who sits or lies stands up before going somewhere, as the vocabulary has no word for it; theirs cannot.
    """

    at_end: bool = True
    all_lines: bool = True
    offered: bool = True
    any_way: bool = True
    rises: bool = True

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Predicates and actions -> how many objects they are about."""
        return VOCABULARY if self.offered else {**VOCABULARY, _BETWEEN: 2, _WIPE: 1, **dict.fromkeys(_PROPERTIES, 1)}


OURS = Convention()
AUTHORS = Convention(at_end=False, all_lines=False, offered=False, any_way=False, rises=False)


def read_subgoals(text: str) -> list[str] | None:
    """The lines that an answer lists under "output", without empty ones; None where it lists none."""
    answer = json_answer(text, _KEYS)
    said = answer.get(_OUTPUT) if answer else None
    if not isinstance(said, list) or not all(isinstance(line, str) for line in said):
        return None
    return [line.strip() for line in said if line.strip()] or None


def subgoals(
    lines: Sequence[str] | None, names: Mapping[str, int], convention: Convention = OURS
) -> list[Formula] | tuple[str, str]:
    """Lines as formulas that are about a scene's objects; else the kind of error of grammar, and what is wrong.

    Args:
        lines: of :func:`read_subgoals`.
        names: ``name.id`` -> id, of the objects that the prompt names.
        convention: what counts.
    """
    if lines and not convention.all_lines:
        lines = [line for line in lines if _PRIMITIVE.search(line) or line in ("SLEEP", "WAKEUP", "STANDUP")]
    if not lines:
        return PARSING, "no list of subgoals"
    if not convention.any_way:
        lines = [line.split(" or ")[0] for line in lines]
    try:
        found = [formula_in(line) for line in lines]
    except FormulaError as error:
        return PARSING, str(error)
    said = [primitive for formula in found for primitive in primitives(formula)]
    vocabulary = convention.vocabulary
    for name, *_ in said:
        if name not in vocabulary:
            return HALLUCINATION, f"there is no {name}"
    for name, *arguments in said:
        if len(arguments) != vocabulary[name]:
            return ARGUMENTS, f"{name} takes {vocabulary[name]} objects, not {len(arguments)}"
    for _, *arguments in said:
        for argument in arguments:
            if argument not in names:
                return HALLUCINATION, f"there is no {argument}"
    return found


def ways(primitive: Grounded, scene: Scene) -> Iterator[list[Command]]:
    """The sequences of actions by which a primitive may be brought about; none where nothing is done for it.

    Args:
        primitive: with ids of the scene.
        scene: what holds; only what hands hold counts.
    """
    name, objects = primitive
    if name in _OFFERED or name == _WIPE:
        yield _action(name, objects, scene)
    elif name in _STATES:
        yield from ([("FIND", objects), (action, objects)] for action in _STATES[name])
    elif name in _RELATIONS:
        yield from _related(name, objects, scene)


def _action(name: str, objects: tuple[int, ...], scene: Scene) -> list[Command]:
    if name in _AFTER_GRABBING:
        before = _fetched(objects[0], scene) or [("FIND", objects)]
    else:
        before = [("FIND", objects)] if objects else []
    return [*before, *([("TURNTO", objects)] if name in _AFTER_TURNING else []), (name, objects)]


def _fetched(thing: int, scene: Scene) -> list[Command]:
    """What brings an object into a hand; nothing where it is there."""
    held = thing in scene.targets(scene.character, *HANDS)
    return [] if held else [("FIND", (thing,)), ("GRAB", (thing,))]


def _related(name: str, objects: tuple[int, ...], scene: Scene) -> Iterator[list[Command]]:
    (thing, place), me = objects, scene.character
    find: Command = ("FIND", (place,))
    if name == "FACING":
        yield [find, ("TURNTO", (place,))]
    elif name in HANDS:
        yield [find, ("GRAB", (place,))]
    elif name == "NEXT_TO":
        yield from [[find]] if thing == me else []
    elif thing == me and name == "INSIDE":
        yield [("WALK", (place,))]
    elif thing == me:
        yield from ([find, (action, (place,))] for action in ("SIT", "LIE"))
    elif place == me and name == "ONTOP":
        yield [("PUTON", (thing,))]
    else:
        for action in ("PUTBACK",) if name == "ONTOP" else ("PUTIN", "POUR"):
            yield [*_fetched(thing, scene), find, (action, objects)]


def right_lines(gold: Sequence[Command], scene: Scene, relations: Sequence[Edge]) -> list[str]:
    """A reference program as subgoals.

    Finding is part of what any subgoal is brought about by, and undoes facing: so what the character is to be close
    to and to face in the end comes last.

    Args:
        gold: the program.
        scene: its start.
        relations: those that are wanted.
    """
    me = scene.character
    wanted = [(name, target) for name in _LAST for source, name_, target in relations if (source, name_) == (me, name)]
    last = [f"{_LAST[name]}({_label(scene, me)}, {_label(scene, target)})" for name, target in wanted]
    nowhere = [of for action, of in gold if action in _PUTS_DOWN and not _places(of[0], scene)]
    steps = [step for step in gold if step[0] != "GRAB" or step[1] not in nowhere]
    return [line for step in steps if (line := _line(step, scene))] + last


def _places(thing: int, scene: Scene) -> list[int]:
    """What an object can be put back on, the best one first."""
    return scene.targets(thing, "ON", "CLOSE")


def _line(step: Command, scene: Scene) -> str | None:
    """The subgoal that stands for a step; None for one that none stands for."""
    action, objects = step
    names = [_label(scene, thing) for thing in objects]
    if action in _PUTS_DOWN:
        places = _places(objects[0], scene)
        return f"ONTOP({names[0]}, {_label(scene, places[0])})" if places else None
    if action in _OFFERED:
        return f"{action}({', '.join(names)})"
    into_room = objects and scene.things[objects[0]].room
    worn = objects and scene.has(objects[0], "ON", scene.character)
    if action not in _SAID_AS or (action in ("WALK", "RUN") and not into_room) or (action == "FIND" and worn):
        return None
    return _SAID_AS[action].format(*names, me=_label(scene, scene.character))


def _label(scene: Scene, thing: int) -> str:
    return f"{scene.things[thing].name}.{thing}"

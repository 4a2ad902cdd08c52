"""Subgoals carried out in a scene: a search over the ways to bring each of them about."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evenhand.embodied.actions import take
from evenhand.embodied.goals import ACTION
from evenhand.embodied.needs import ADDITIONAL, Fault, Step, is_close, upright
from evenhand.embodied.pddl import AND, OR, TRUE, Formula
from evenhand.embodied.plans import Command, Goals, Outcome, all_met, not_begun, reached
from evenhand.embodied.scenes import Scene
from evenhand.embodied.subgoals import OURS, Convention, subgoals, ways
from evenhand.embodied.temporal import THEN, progressed

# Ways through an answer that are followed side by side, and actions tried in all. The published answers need at most
# 12 and 129.
MOST_PATHS, MOST_STEPS = 64, 4_000
# Relations that scenes have under other names than formulas.
_STORED_AS: Mapping[str, str] = {"ONTOP": "ON", "NEXT_TO": "CLOSE"}


@dataclass(frozen=True)
class Aim:
    """What a task wants, in two forms.

    Attributes:
        goals: states, relations and ordered actions, by ids.
        formula: the same in temporal logic, over ``name.id``; only the authors' convention asks for it.
    """

    goals: Goals
    formula: Formula = TRUE


@dataclass(frozen=True)
class _Path:
    """A way through an answer, as far as it was followed.

    Attributes:
        scene: what holds at its end.
        left: what is still to be brought about.
        done: actions taken.
        additional: how many actions had nothing to do.
        wanted: of the aim's formula, what is still to come.
        fault: what ended it.
        at: the action that it ended at.
    """

    scene: Scene
    left: tuple[Formula, ...]
    wanted: Formula
    done: tuple[Command, ...] = ()
    additional: int = 0
    fault: Fault | None = None
    at: str = ""


class _Search:
    """Follows all ways through an answer side by side, within bounds."""

    def __init__(self, scene: Scene, names: Mapping[str, int], aim: Aim, *, rises: bool) -> None:
        self._names, self._rises = names, rises
        self._labels = {number: f"{thing.name}.{number}" for number, thing in scene.things.items()}
        self._ids = {label: number for number, label in self._labels.items()}
        self._aim = aim
        self._steps = MOST_STEPS
        self.cut = False

    def ended(self, start: _Path) -> list[_Path]:
        """Paths to their ends, at least one; where there are too many, those of an answer's first alternatives."""
        found: list[_Path] = []
        waiting = deque([start])
        while waiting:
            path = waiting.popleft()
            if path.fault or not path.left:
                found.append(path)
                continue
            spent = self._steps <= 0
            if spent and waiting:
                waiting.clear()
                self.cut = True
            further = [*self._followed(path)]
            room = 1 if spent else max(1, MOST_PATHS - len(waiting))
            self.cut |= len(further) > room
            waiting += further[:room]
        return found

    def _followed(self, path: _Path) -> Iterator[_Path]:
        first, *rest = path.left
        word, *parts = first
        if word in (AND, THEN):
            yield replace(path, left=(*parts, *rest))
        elif word == OR:
            yield from (replace(path, left=(part, *rest)) for part in parts)
        else:
            grounded = (word, tuple(self._names[argument] for argument in parts))
            possible = list(ways(grounded, path.scene)) or [[]]
            yield from (self._carried_on(replace(path, left=tuple(rest)), way) for way in possible)

    def _carried_on(self, path: _Path, way: Sequence[Command]) -> _Path:
        scene = path.scene.copy() if way else path.scene
        done, additional, wanted = [*path.done], path.additional, path.wanted
        fault, at = None, ""
        for action, objects in self._risen(scene, way):
            self._steps -= 1
            after = self._progress(wanted, scene, (action, objects))
            fault = take(scene, action, objects)
            if fault is None:
                done.append((action, objects))
                wanted = after
            elif fault.kind == ADDITIONAL:
                additional, fault = additional + 1, None
            else:
                at = action
                break
        return replace(path, scene=scene, done=tuple(done), additional=additional, wanted=wanted, fault=fault, at=at)

    def _risen(self, scene: Scene, way: Sequence[Command]) -> Iterator[Command]:
        """The actions, with standing up before those that go somewhere from where the character sits or lies."""
        for action, objects in way:
            goes = action in ("FIND", "WALK") and not (action == "FIND" and is_close(scene, *objects))
            if goes and self._rises and upright(Step(scene, objects)):
                yield "STANDUP", ()
            yield action, objects

    def _progress(self, wanted: Formula, scene: Scene, action: Command | None) -> Formula:
        """What is still to come after a moment: the scene, and the action that is taken in it."""
        if wanted == TRUE:
            return TRUE
        said = (action[0], *(self._labels[thing] for thing in action[1])) if action else ()
        return progressed(wanted, lambda primitive: primitive == said or self._holds(scene, primitive), [*self._ids])

    def _holds(self, scene: Scene, primitive: Formula) -> bool:
        name, *arguments = primitive
        ids = [self._ids.get(argument, 0) for argument in arguments]
        if len(ids) == 1:
            return name in scene.states.get(ids[0], ())
        return len(ids) == 2 and scene.has(ids[0], _STORED_AS.get(name, name), ids[1])

    def reached(self, path: _Path, convention: Convention) -> bool:
        """Whether the aim is reached at the end of a path."""
        if not convention.at_end:
            return self._progress(path.wanted, path.scene, None) == TRUE
        return all_met(self.met(path, convention))

    def met(self, path: _Path, convention: Convention) -> dict[str, tuple[int, int]]:
        """Kind of goal -> how many are reached, of how many."""
        actions = [action for action, _ in path.done]
        found = reached(path.scene, actions, self._aim.goals)
        if not convention.at_end:
            wanted = self._aim.goals.actions
            first_missing = next((n for n, names in enumerate(wanted) if not {*names} & {*actions}), len(wanted))
            found[ACTION] = (first_missing, len(wanted))
        return found


def carry_out(
    formulas: Sequence[Formula], scene: Scene, names: Mapping[str, int], aim: Aim, convention: Convention = OURS
) -> Outcome:
    """The best way through subgoals: one that reaches the aim, else one that can be carried out, else the longest.

    Among those of a kind the one with the fewest actions that have nothing to do.

    Args:
        formulas: of :func:`~evenhand.embodied.subgoals.subgoals`.
        scene: the start.
        names: ``name.id`` -> id, of the objects that the prompt names.
        aim: what should hold.
        convention: what counts.
    """
    search = _Search(scene, names, aim, rises=convention.rises)
    paths = search.ended(_Path(scene, tuple(formulas), TRUE if convention.at_end else aim.formula))
    right = [not path.fault and search.reached(path, convention) for path in paths]

    def rank(at: int) -> tuple[bool, bool, int, int]:
        path = paths[at]
        return not right[at], path.fault is not None, path.additional, 0 if right[at] else -len(path.done)

    best = min(range(len(paths)), key=rank)
    path, met = paths[best], search.met(paths[best], convention)
    why = f"{path.at}: {path.fault.why}" if path.fault else ""
    why += "; not all alternatives were tried" if search.cut and not right[best] else ""
    error = path.fault.kind if path.fault else ""
    return Outcome(error, why, len(path.done), path.additional, met, right[best])


def judge_subgoals(
    lines: Sequence[str] | None, scene: Scene, names: Mapping[str, int], aim: Aim, convention: Convention = OURS
) -> Outcome:
    """How an answer's subgoals go.

    Args:
        lines: of :func:`~evenhand.embodied.subgoals.read_subgoals`.
        scene: the start.
        names: ``name.id`` -> id, of the objects that the prompt names.
        aim: what should hold.
        convention: what counts.
    """
    found = subgoals(lines, names, convention)
    if isinstance(found, tuple):
        return not_begun(*found, aim.goals)
    return carry_out(found, scene, names, aim, convention)

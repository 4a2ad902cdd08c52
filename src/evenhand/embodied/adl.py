"""Actions with quantifiers and conditional effects, run on states that are sets of ground atoms.

Quantifiers of quantifiers take exponential time, so everything runs on a budget of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from evenhand.embodied.pddl import (
    AND,
    EXISTS,
    FORALL,
    NOT,
    OBJECT,
    OR,
    WHEN,
    Formula,
    Operator,
    PddlError,
    Problem,
    Typed,
)

State = frozenset[Formula]
Binding = Mapping[str, str]
# The longest gold plan takes 5,000.
MOST_STEPS = 200_000


@dataclass(frozen=True)
class Replay:
    """How a plan went.

    Attributes:
        applied: how many of its steps could be taken.
        reached: whether the goal holds in the end.
        why: what stood in the way, "" for nothing.
    """

    applied: int
    reached: bool
    why: str = ""


class Interpreter:
    """Evaluates formulas and applies effects over some objects, within a budget.

    Args:
        objects: name -> type.
        steps: words of formulas that may be looked at.
    """

    def __init__(self, objects: Mapping[str, str], steps: int = MOST_STEPS) -> None:
        self._objects = objects
        self._left = steps

    def holds(self, formula: Formula, state: State, binding: Binding) -> bool:
        """Whether a condition holds.

        Raises:
            PddlError: it is no condition, or the budget is spent.
        """
        self._spend(len(formula))
        word, *rest = formula
        if word == AND:
            return all(self.holds(part, state, binding) for part in rest)
        if word == OR:
            return any(self.holds(part, state, binding) for part in rest)
        if word == NOT:
            return not self.holds(rest[0], state, binding)
        if word in (EXISTS, FORALL):
            found = (self.holds(rest[1], state, each) for each in self._groundings(rest[0], binding))
            return any(found) if word == EXISTS else all(found)
        if word == WHEN:
            raise PddlError("'when' in a condition")
        if word == "=" and len(formula) == 3:
            _, left, right = _grounded(formula, binding)
            return bool(left == right)
        return _grounded(formula, binding) in state

    def after(self, effect: Formula, state: State, binding: Binding) -> State:
        """The state after an effect; what is both added and taken away is there.

        Raises:
            PddlError: it is no effect, or the budget is spent.
        """
        added: set[Formula] = set()
        taken: set[Formula] = set()
        for atom, is_added in self._changes(effect, state, binding):
            (added if is_added else taken).add(atom)
        return (state - taken) | added

    def _changes(self, effect: Formula, state: State, binding: Binding) -> Iterator[tuple[Formula, bool]]:
        self._spend(len(effect))
        word, *rest = effect
        if word == AND:
            for part in rest:
                yield from self._changes(part, state, binding)
        elif word == WHEN:
            if self.holds(rest[0], state, binding):
                yield from self._changes(rest[1], state, binding)
        elif word == FORALL:
            for each in self._groundings(rest[0], binding):
                yield from self._changes(rest[1], state, each)
        elif word in (OR, EXISTS) or (word == NOT and rest[0][0] in (AND, OR, NOT, WHEN, EXISTS, FORALL)):
            raise PddlError(f"'{word}' in an effect")
        elif word == NOT:
            yield _grounded(rest[0], binding), False
        else:
            yield _grounded(effect, binding), True

    def _groundings(self, variables: Typed, binding: Binding) -> Iterator[Binding]:
        domains = [
            [name for name, kind in self._objects.items() if wanted in (OBJECT, kind)] for _, wanted in variables
        ]
        names = [name for name, _ in variables]
        for values in product(*domains):
            self._spend(len(binding) + len(names))
            yield {**binding, **dict(zip(names, values, strict=True))}

    def _spend(self, words: int) -> None:
        self._left -= words
        if self._left < 0:
            raise PddlError("it takes too long")


def _grounded(atom: Formula, binding: Binding) -> Formula:
    words = tuple(binding.get(word, word) for word in atom[1:])
    if loose := [word for word in words if word.startswith("?")]:
        raise PddlError(f"{loose[0]} is no parameter")
    return (atom[0], *words)


def replay(problem: Problem, operators: Mapping[str, Operator], plan: Sequence[str]) -> Replay:
    """Take the steps of a plan one by one, as operators define them.

    Args:
        problem: where it starts and what it wants.
        operators: name -> definition.
        plan: steps such as ``"grab character cup"``.
    """
    interpreter = Interpreter(problem.objects)
    state: State = problem.init
    for number, step in enumerate(plan):
        try:
            state = _taken(interpreter, operators, state, step)
        except PddlError as error:
            return Replay(number, False, f"step {number + 1} ({step}): {error}")
    try:
        reached = interpreter.holds(problem.goal, state, {})
    except PddlError as error:
        return Replay(len(plan), False, f"the goal: {error}")
    return Replay(len(plan), reached, "" if reached else f"after all {len(plan)} steps the goal does not hold")


def _taken(interpreter: Interpreter, operators: Mapping[str, Operator], state: State, step: str) -> State:
    name, *values = step.split()
    operator = operators.get(name)
    if operator is None:
        raise PddlError("the action is not defined")
    if len(values) != len(operator.parameters):
        raise PddlError(f"the action has {len(operator.parameters)} parameters, not {len(values)}")
    binding = {variable: value for (variable, _), value in zip(operator.parameters, values, strict=True)}
    if not interpreter.holds(operator.precondition, state, binding):
        raise PddlError("its precondition does not hold")
    return interpreter.after(operator.effect, state, binding)

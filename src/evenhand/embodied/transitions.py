"""Transition modeling: operators that an answer defines, against those of the domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evenhand.embodied.adl import Replay, replay
from evenhand.embodied.answers import LONGEST, json_answer
from evenhand.embodied.counts import Counts, summed
from evenhand.embodied.logic import compared
from evenhand.embodied.pddl import (
    TRUE,
    Expression,
    Formula,
    Operator,
    PddlError,
    Problem,
    actions_in,
    formula_of,
    typed,
)

T = TypeVar("T")

PRECONDITION, EFFECT = "precondition", "effect"
PARTS = (PRECONDITION, EFFECT)
_OUTPUT, _PARAMETERS = "output", "parameters"
# Actions of an answer that are read; tasks ask for up to 12.
_MOST = 60


@dataclass(frozen=True)
class Model:
    """What an answer says of actions.

    Attributes:
        operators: name -> definition; of two of one name the last.
        unreadable: name -> its parts that are no PDDL; they count as empty, and the action cannot be taken.
    """

    operators: Mapping[str, Operator]
    unreadable: Mapping[str, tuple[str, ...]]


def read_model(text: str) -> Model | None:
    """The operators of an answer: of the text under "output" in its JSON, else of all of it; None where it has none."""
    answer = json_answer(text, (_OUTPUT,))
    output = answer[_OUTPUT] if answer else None
    # Where the JSON is broken its line ends are still written as in JSON.
    said = output if isinstance(output, str) else text[-LONGEST:].replace("\\n", "\n")
    operators: dict[str, Operator] = {}
    unreadable: dict[str, tuple[str, ...]] = {}
    # Types of BEHAVIOR are written with dots in its prompts and without in its files.
    for name, parts in list(actions_in(said.replace(".", "_")))[-_MOST:]:
        unreadable.pop(name, None)
        parameters = _read(parts[_PARAMETERS], typed)
        precondition, effect = (_read(parts[part], formula_of) for part in PARTS)
        operators[name] = Operator(name, parameters or (), precondition or TRUE, effect or TRUE)
        read = {_PARAMETERS: parameters, PRECONDITION: precondition, EFFECT: effect}
        if None in read.values():
            unreadable[name] = tuple(part for part, found in read.items() if found is None)
    return Model(operators, unreadable) if operators else None


def _read(expression: Expression | None, reader: Callable[[Expression], T]) -> T | None:
    """What a reader makes of an expression; None where there is none that it can read."""
    try:
        return None if expression is None else reader(expression)
    except PddlError:
        return None


def aligned(operator: Operator, gold: Operator) -> Operator:
    """An operator with the parameters of the gold one, its variables renamed accordingly.

    Parameters of other names are taken in their order, unless their number differs; then they keep their names.
    """
    said = [variable for variable, _ in operator.parameters]
    wanted = [variable for variable, _ in gold.parameters]
    names: dict[str, str] = {}
    if set(said) != set(wanted) and len(set(said)) == len(said) == len(wanted):
        names = dict(zip(said, wanted, strict=True))
    return Operator(
        operator.name, gold.parameters, _renamed(operator.precondition, names), _renamed(operator.effect, names)
    )


def _renamed(formula: Formula, names: Mapping[str, str]) -> Formula:
    """A formula with other names for free variables; a quantifier keeps its own."""
    if not names:
        return formula
    if all(isinstance(word, str) for word in formula[1:]) and len(formula) > 1:
        return (formula[0], *(names.get(word, word) for word in formula[1:]))
    if len(formula) == 3 and formula[1] and not isinstance(formula[1][0], str):
        inner = {old: new for old, new in names.items() if old not in dict(formula[1])}
        return (formula[0], formula[1], _renamed(formula[2], inner))
    return (formula[0], *(_renamed(part, names) for part in formula[1:]))


@dataclass(frozen=True)
class Compared:
    """How an answer's operators compare with the gold ones.

    Attributes:
        parts: "precondition" and "effect" -> category of predicates -> counts of literals.
        missing, invented: operators that were asked for and not defined, and defined and not asked for.
        unreadable: as of :class:`Model`.
    """

    parts: Mapping[str, Mapping[str, Counts]]
    missing: tuple[str, ...]
    invented: tuple[str, ...]
    unreadable: Mapping[str, tuple[str, ...]]

    def part(self, name: str) -> Counts:
        """The counts of all preconditions, or of all effects."""
        return sum(self.parts[name].values(), Counts())

    @property
    def categories(self) -> dict[str, Counts]:
        """Category -> counts of preconditions and effects together."""
        return summed(self.parts.values())

    @property
    def total(self) -> Counts:
        """All counts together."""
        return sum(self.categories.values(), Counts())


def compare(
    model: Model | None, asked: Sequence[str], gold: Mapping[str, Operator], categories: Mapping[str, str]
) -> Compared:
    """Literals of an answer's operators against the gold ones.

    An operator that was asked for and is not there misses all its literals; all literals of one that was not asked for
    are extra. What is no PDDL is empty.

    Args:
        model: the answer; None where it defines nothing.
        asked: names of the operators that the task asks for.
        gold: name -> definition, of those at least.
        categories: predicate -> category.
    """
    said = model.operators if model else {}
    parts: dict[str, dict[str, Counts]] = {part: {} for part in PARTS}
    empty = Operator("", (), TRUE, TRUE)
    for name in dict.fromkeys((*asked, *said)):
        wanted = gold[name] if name in asked else empty
        found = said.get(name, empty)
        ours = aligned(found, wanted) if name in asked else found
        for part in PARTS:
            more = compared(getattr(ours, part), getattr(wanted, part), categories)
            parts[part] = summed((parts[part], more))
    return Compared(
        parts,
        tuple(name for name in asked if name not in said),
        tuple(name for name in said if name not in asked),
        dict(model.unreadable) if model else {},
    )


def replay_model(
    model: Model | None, asked: Sequence[str], gold: Mapping[str, Operator], problem: Problem, plan: Sequence[str]
) -> Replay:
    """Take the steps of a plan as the answer's operators define them; those not asked for are the gold ones.

    Args:
        model: the answer; None where it defines nothing.
        asked: names of the operators that the task asks for.
        gold: name -> definition, of all that the plan uses.
        problem: where it starts and what it wants.
        plan: a plan that is right under the gold operators.
    """
    said = model.operators if model else {}
    broken = model.unreadable if model else {}
    usable = {name: aligned(said[name], gold[name]) for name in asked if name in said and name not in broken}
    return replay(problem, {**{n: o for n, o in gold.items() if n not in asked}, **usable}, plan)

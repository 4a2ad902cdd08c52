"""Linear temporal logic over finite traces, as far as household tasks use it: *and*, *or*, *then* and *exists*.

Answers are read too, so formulas are bounded in size and depth, and reading takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product

from evenhand.embodied.pddl import AND, EXISTS, OR, TRUE, Formula

# ("and", f...), ("or", f...), ("then", f...), ("exists", variable, f), and a primitive ("ONTOP", "cup.1", "table.2").
THEN = "then"
# Those that bind least come first.
_JOINTS = (THEN, OR, AND)
# The longest goal has 60 words and is 4 deep; the longest published answer has 130 words.
MOST_WORDS, DEEPEST = 4_000, 20
_WORD = re.compile(r"\s*([A-Za-z_]\w*(?:\.\d+)?|[(),.])")

Holds = Callable[[Formula], bool]


class FormulaError(ValueError):
    """A text is no formula, or one larger than any that is needed."""


def formula_in(text: str, *, quantified: bool = False) -> Formula:
    """The formula that a text is; a name without brackets has no arguments.

    Args:
        text: the formula.
        quantified: it may have *exists*, as goals do and answers do not.

    Raises:
        FormulaError: it is none, or too long or too deep.
    """
    reader = _Reader(text, quantified=quantified)
    formula = reader.formula()
    if reader.word:
        raise FormulaError(f"'{reader.word}' stands where 'and', 'or' or 'then' should")
    return formula


class _Reader:
    """Reads from left to right, a word ahead."""

    def __init__(self, text: str, *, quantified: bool) -> None:
        self._words = self._split(text.rstrip())
        self._quantified = quantified
        self._depth = 0
        self.word = next(self._words, "")

    def formula(self, binding: int = 0) -> Formula:
        """A formula whose joints bind at least as much as the one at a place in the list."""
        if binding == len(_JOINTS):
            return self._part()
        joint = _JOINTS[binding]
        parts = [self.formula(binding + 1)]
        while self.word == joint:
            self._next()
            parts.append(self.formula(binding + 1))
        return parts[0] if len(parts) == 1 else (joint, *parts)

    def _part(self) -> Formula:
        if self.word == "(":
            return self._bracketed()
        name = self._name()
        if name == EXISTS and self._quantified:
            variable = self._name()
            self._take(".")
            inner = self._bracketed()
            if is_temporal(inner):
                raise FormulaError("'then' inside of 'exists'")
            return (EXISTS, variable, inner)
        return (name, *self._arguments()) if self.word == "(" else (name,)

    def _bracketed(self) -> Formula:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FormulaError(f"more than {DEEPEST} brackets deep")
        self._take("(")
        inner = self.formula()
        self._take(")")
        self._depth -= 1
        return inner

    def _arguments(self) -> list[str]:
        self._take("(")
        names: list[str] = []
        while self.word != ")":
            if names:
                self._take(",")
            names.append(self._name())
        self._take(")")
        return names

    def _name(self) -> str:
        name = self.word
        if not name or name in "(),." or name in _JOINTS:
            raise FormulaError(f"'{name}' stands where a name should" if name else "it ends too early")
        self._next()
        return name

    def _take(self, wanted: str) -> None:
        if self.word != wanted:
            raise FormulaError(f"'{wanted}' is missing")
        self._next()

    def _next(self) -> None:
        self.word = next(self._words, "")

    @staticmethod
    def _split(text: str) -> Iterator[str]:
        at = 0
        for _ in range(MOST_WORDS):
            if at == len(text):
                return
            word = _WORD.match(text, at)
            if word is None:
                raise FormulaError("it has a sign that formulas do not have")
            yield word[1]
            at = word.end()
        raise FormulaError(f"more than {MOST_WORDS:,} words")


def primitives(formula: Formula) -> Iterator[Formula]:
    """The primitives of a formula, from left to right."""
    word, *rest = formula
    if word == EXISTS:
        yield from primitives(rest[1])
    elif word in _JOINTS:
        for part in rest:
            yield from primitives(part)
    else:
        yield formula


def is_temporal(formula: Formula) -> bool:
    """Whether a formula speaks of more than one moment."""
    return formula[0] == THEN or (formula[0] in (AND, OR) and any(map(is_temporal, formula[1:])))


def holds_now(formula: Formula, holds: Holds, objects: Sequence[str]) -> bool:
    """Whether a formula that is not temporal holds at a moment.

    Args:
        formula: the formula.
        holds: whether a primitive does, a state or the action that is taken then.
        objects: what variables stand for.
    """
    word, *rest = formula
    if word in (AND, OR):
        return (all if word == AND else any)(holds_now(part, holds, objects) for part in rest)
    if word != EXISTS:
        return holds(formula)
    variables, inner = [], formula
    while inner[0] == EXISTS:
        variables.append(inner[1])
        inner = inner[2]
    grounded = (dict(zip(variables, values, strict=True)) for values in product(objects, repeat=len(variables)))
    return any(holds_now(_under(inner, names), holds, objects) for names in grounded)


def _under(formula: Formula, names: dict[str, str]) -> Formula:
    word, *rest = formula
    if word == EXISTS:
        return (EXISTS, rest[0], _under(rest[1], {old: new for old, new in names.items() if old != rest[0]}))
    if word in (AND, OR):
        return (word, *(_under(part, names) for part in rest))
    return (word, *(names.get(argument, argument) for argument in rest))


def progressed(formula: Formula, holds: Holds, objects: Sequence[str]) -> Formula:
    """What of a formula is still to come after a moment; :data:`TRUE` where nothing is.

    A formula that is not temporal holds on a trace where it does at some moment; of a *then* each part holds at a
    moment after the one that ended the part before it.

    Args:
        formula: what is to come from this moment on.
        holds, objects: of the moment, as for :func:`holds_now`.
    """
    if not is_temporal(formula):
        return TRUE if holds_now(formula, holds, objects) else formula
    word, *rest = formula
    if word == THEN:
        first, *later = progressed(rest[0], holds, objects), *rest[1:]
        left = (*(() if first == TRUE else (first,)), *later)
        return (THEN, *left) if left else TRUE
    parts = [progressed(part, holds, objects) for part in rest]
    if word == OR:
        return TRUE if TRUE in parts else (OR, *parts)
    # Each part at a moment of its own: what is left must not be taken for a formula about one moment.
    left = tuple(part if is_temporal(part) else (THEN, part) for part in parts if part != TRUE)
    return (AND, *left) if left else TRUE

"""The part of PDDL that transition models are written in: a reader of expressions, formulas, operators and problems.

What a model wrote is read too, so expressions are bounded in size and depth, and no reader recurses on their depth
before it is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

# An expression is a word or a tuple of expressions; a formula is a tuple whose first member says what it is:
# ("and", f...), ("or", f...), ("not", f), ("when", f, f), ("forall", ((variable, type), ...), f), ("exists", ..., f),
# and everything else is an atom of words, ("next_to", "?char", "?obj").
Expression = Any
Formula = tuple[Any, ...]
Typed = tuple[tuple[str, str], ...]

AND, OR, NOT, WHEN, EXISTS, FORALL = "and", "or", "not", "when", "exists", "forall"
TRUE: Formula = (AND,)
OBJECT = "object"
_QUANTIFIERS = (EXISTS, FORALL)
# The longest gold operator has 120 words and is 8 deep.
MOST_WORDS, DEEPEST = 4_000, 40
_COMMENT = re.compile(r";[^\n]*")
_WORD = re.compile(r"[()]|[^\s()]+")
_ACTION = re.compile(r"\(\s*:action\s+([^\s():]+)")
_PART = re.compile(r":(parameters|precondition|effect)\b")


class PddlError(ValueError):
    """An expression is not what it should be, or larger than any that is."""


@dataclass(frozen=True)
class Operator:
    """An action's definition.

    Attributes:
        name: in small letters.
        parameters: variables with their types.
        precondition, effect: formulas; :data:`TRUE` for none.
    """

    name: str
    parameters: Typed
    precondition: Formula
    effect: Formula


@dataclass(frozen=True)
class Problem:
    """Where a task starts and what it wants.

    Attributes:
        objects: name -> type.
        init: ground atoms that hold at first.
        goal: what must hold in the end.
    """

    objects: Mapping[str, str]
    init: frozenset[Formula]
    goal: Formula


def read_expression(text: str, start: int = 0) -> tuple[Expression, int]:
    """The expression that begins at the first bracket or word from ``start`` on, and where it ends.

    Raises:
        PddlError: there is none, or it never ends, or it is too large or too deep.
    """
    open_ones: list[list[Expression]] = []
    for count, word in enumerate(_WORD.finditer(text, start)):
        if count == MOST_WORDS:
            raise PddlError(f"more than {MOST_WORDS:,} words")
        if word[0] == "(":
            open_ones.append([])
            if len(open_ones) > DEEPEST:
                raise PddlError(f"more than {DEEPEST} brackets deep")
            continue
        if word[0] == ")" and not open_ones:
            raise PddlError("a bracket closes that was not opened")
        done: Expression = tuple(open_ones.pop()) if word[0] == ")" else word[0]
        if not open_ones:
            return done, word.end()
        open_ones[-1].append(done)
    raise PddlError("a bracket is not closed" if open_ones else "nothing there")


def without_comments(text: str) -> str:
    """``text`` in small letters, without comments."""
    return _COMMENT.sub(" ", text).lower()


def formula_of(expression: Expression) -> Formula:
    """An expression as a formula.

    Raises:
        PddlError: it is none.
    """
    if expression == ():
        return TRUE
    if not isinstance(expression, tuple) or not isinstance(expression[0], str):
        raise PddlError("not a formula")
    word, *rest = expression
    if word in (AND, OR):
        return (word, *map(formula_of, rest))
    if word in (NOT, WHEN):
        if len(rest) != (1 if word == NOT else 2):
            raise PddlError(f"'{word}' with {len(rest)} parts")
        return (word, *map(formula_of, rest))
    if word in _QUANTIFIERS:
        if len(rest) != 2:
            raise PddlError(f"'{word}' with {len(rest)} parts")
        return (word, typed(rest[0]), formula_of(rest[1]))
    if not _are_words(expression):
        raise PddlError(f"brackets among the arguments of '{word}'")
    return tuple(expression)


def typed(expression: Expression) -> Typed:
    """Names with their types from ``(a b - type c)``; the root type where none is said.

    Raises:
        PddlError: it is no such list.
    """
    if not isinstance(expression, tuple) or not _are_words(expression):
        raise PddlError("not a list of names with types")
    found: list[tuple[str, str]] = []
    waiting: list[str] = []
    words = iter(expression)
    for word in words:
        if word != "-":
            waiting.append(word)
            continue
        kind = next(words, None)
        if kind is None:
            raise PddlError("a type is missing")
        found += [(name, kind) for name in waiting]
        waiting = []
    return (*found, *((name, OBJECT) for name in waiting))


def _are_words(expression: tuple[Any, ...]) -> TypeGuard[tuple[str, ...]]:
    return all(isinstance(word, str) for word in expression)


def operator_of(name: str, parameters: str, precondition: str, effect: str) -> Operator:
    """An operator from the texts of its parts.

    Raises:
        PddlError: one of them is not what it should be.
    """
    parts = [read_expression(without_comments(text))[0] for text in (parameters, precondition, effect)]
    return Operator(name.lower(), typed(parts[0]), formula_of(parts[1]), formula_of(parts[2]))


def actions_in(text: str) -> Iterator[tuple[str, dict[str, Expression | None]]]:
    """The actions that a text defines: name, and ``parameters``, ``precondition`` and ``effect``.

    Found by their keywords, because brackets around them are often wrong (the authors' BEHAVIOR prompts close one
    behind the name). A part is None where it cannot be read, and empty where it is not there.
    """
    text = without_comments(text)
    found = list(_ACTION.finditer(text))
    for place, action in enumerate(found):
        end = found[place + 1].start() if place + 1 < len(found) else len(text)
        parts: dict[str, Expression | None] = {"parameters": (), "precondition": (), "effect": ()}
        # The last of each counts.
        begins = {part[1]: part.end() for part in _PART.finditer(text, action.end(), end)}
        parts |= {name: _bracketed(text[begin:end]) for name, begin in begins.items()}
        yield action[1], parts


def _bracketed(text: str) -> Expression | None:
    try:
        expression, _ = read_expression(text)
    except PddlError:
        return None
    return expression if isinstance(expression, tuple) else None


def problem_of(text: str) -> Problem:
    """A problem from its definition.

    Raises:
        PddlError: it is none.
    """
    whole, _ = read_expression(without_comments(text))
    parts = {part[0]: part[1:] for part in whole if isinstance(part, tuple) and part and isinstance(part[0], str)}
    if missing := {":objects", ":init", ":goal"} - parts.keys():
        raise PddlError(f"a problem without {min(missing)}")
    init = (formula_of(atom) for atom in parts[":init"])
    goal = formula_of(parts[":goal"][0]) if parts[":goal"] else TRUE
    return Problem(dict(typed(parts[":objects"])), frozenset(atom for atom in init if atom[0] != NOT), goal)

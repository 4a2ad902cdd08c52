"""Tests of data sets whose programs are asked for under another name than the data set's own."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from contextlib import suppress

_BUILTINS = frozenset(dir(builtins))
_CHECK, _CANDIDATE = "check", "candidate"


def for_name(tests: Sequence[str], name: str) -> list[str]:
    """Asserts that call the function they test by another name.

    Raises:
        ValueError: the tests are no Python, or it is not clear which function they are of.
    """
    trees = [_parsed(test) for test in tests]
    called = [_called(tree) for tree in trees]
    shared = set.intersection(*called) if called else set()
    # A function called "sum" is meant where nothing else is called.
    common = shared - _BUILTINS or shared
    if len(common) != 1:
        raise ValueError(f"the tests call {', '.join(sorted(common)) or 'no one function'}")
    (own,) = common
    return [_renamed(tree.body, (own,), name) for tree in trees]


def of_check(source: str, old: str, name: str) -> tuple[list[str], str]:
    """The asserts of a function ``check(candidate)``, each a test on its own with what it needs before it.

    What says nothing of the candidate ("assert True") is left out.

    Args:
        source: Python that defines ``check``.
        old: what the data set calls the candidate, which the asserts may do, too.
        name: what it is called in the tests.

    Returns:
        The tests, and what they import.

    Raises:
        ValueError: it is no Python, or there is no such function, or it asserts nothing.
    """
    tree = _parsed(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    defined = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == _CHECK)
    function = next(defined, None)
    if function is None:
        raise ValueError(f"there is no function '{_CHECK}'")
    before: list[ast.stmt] = []
    tests = []
    for statement in function.body:
        if statement in imports:
            continue
        if not any(isinstance(node, ast.Assert) for node in ast.walk(statement)):
            before.append(statement)
        elif _CANDIDATE in _names([*before, statement]):
            tests.append(_renamed([*before, statement], (_CANDIDATE, old), name))
    if not tests:
        raise ValueError(f"the function '{_CHECK}' asserts nothing")
    return tests, "\n".join(map(ast.unparse, imports))


def shown_assert(prompt: str) -> str | None:
    """The first line of a prompt that is an assert, in the form of the other functions' tests; None without one."""
    for line in prompt.splitlines():
        if line.strip().startswith("assert "):
            with suppress(SyntaxError):
                return ast.unparse(ast.parse(line.strip()))
    return None


def before_function(source: str, name: str) -> str:
    """What stands before a function in its file: imports and helpers. The function's body need not be there.

    Raises:
        ValueError: there is no such function.
    """
    before, found, _ = source.partition(f"def {name}(")
    if not found:
        raise ValueError(f"there is no function '{name}'")
    return before.strip()


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"the tests are no Python: {error.msg}") from None


def _called(tree: ast.Module) -> set[str]:
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def _names(statements: Iterable[ast.stmt]) -> set[str]:
    return {node.id for s in statements for node in ast.walk(s) if isinstance(node, ast.Name)}


def _renamed(statements: Sequence[ast.stmt], old: Sequence[str], new: str) -> str:
    class Renaming(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.copy_location(ast.Name(new, node.ctx), node) if node.id in old else node

    # Of a copy: what stands before several asserts is used again.
    copied = ast.parse(ast.unparse(ast.Module(list(statements), [])))
    return ast.unparse(ast.fix_missing_locations(Renaming().visit(copied)))

"""The process of the tests: evaluates each assert itself and asks the program's process only for what the program says.


In ``assert f(2) == 4`` the program is asked for ``f(2)``; the comparison happens here, out of its reach.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable

from .pipes import Pipe
from .values import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BUILTINS = frozenset(dir(builtins))
_ASK = "__evenhand_ask__"


class ProgramError(Exception):
    """What the program raised, where it has no exception of that name here."""


class Tests:
    """Runs tests against a program in another process.

    Args:
        pipe: to that process.
        code, setup: of the program and the data set.
    """

    def __init__(self, pipe: Pipe, code: str, setup: str) -> None:
        self._pipe = pipe
        self._defined = _defined_functions(code)
        self._space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins, _ASK: self._ask}
        self._load(code, setup)

    def _load(self, code: str, setup: str) -> None:
        self._result({"code": code, "setup": setup})
        try:
            exec(compile(setup, "setup", "exec"), self._space)
        except Exception:
            return  # it needs the program's classes: what it makes is asked for there

    def run(self, test: str) -> None:
        """Run one test.

        Raises:
            Exception: it fails.
        """
        tree = ast.parse(test)
        self._result({"expression": "None"})  # a program that has ended passes nothing
        names = self._names_of_program(tree)
        tree = ast.fix_missing_locations(_Asking(names, _bound(tree)).visit(tree))
        exec(compile(tree, "test", "exec"), self._space)

    def _names_of_program(self, tree: ast.Module) -> frozenset[str]:
        free = _loaded(tree) - _bound(tree) - set(self._space)
        for name in sorted(free & _modules(tree)):
            self._space[name] = importlib.import_module(name)
            free.discard(name)
        theirs = free - _BUILTINS
        # A function called "sum" is meant where a test names nothing else; beside others, built-ins stay what they are.
        return frozenset(theirs or free & self._defined)

    def _ask(self, expression: str, **names: Any) -> Any:
        return self._result({"expression": _with_literals(expression, names) if names else expression})

    def _result(self, request: dict[str, Any]) -> Any:
        self._pipe.send(request)
        answer = self._pipe.receive()
        if "error" in answer:
            raise _raised(str(answer["error"]), str(answer.get("message", ""))[:200])
        return decode(answer.get("value"))


class _Asking(ast.NodeTransformer):
    """Puts a question in place of every expression that starts from one of the program's names."""

    def __init__(self, theirs: frozenset[str], bound: frozenset[str]) -> None:
        self._theirs = theirs
        self._bound = bound

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ast.expr) or not self._starts_from_program(node):
            return self.generic_visit(node)
        local = sorted((_loaded(node) & self._bound) - _bound(node))
        return ast.Call(
            ast.Name(_ASK, ast.Load()),
            [ast.Constant(ast.unparse(node))],
            [ast.keyword(name, ast.Name(name, ast.Load())) for name in local],
        )

    def _starts_from_program(self, node: ast.expr) -> bool:
        inner: ast.expr = node
        while not isinstance(inner, ast.Name):
            if isinstance(inner, ast.Call):
                inner = inner.func
            elif isinstance(inner, ast.Attribute | ast.Subscript):
                inner = inner.value
            else:
                return False
        return inner.id in self._theirs and isinstance(inner.ctx, ast.Load)


def _with_literals(expression: str, names: dict[str, Any]) -> str:
    """The expression with the test's own variables written into it."""

    class Writing(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            if node.id not in names or not isinstance(node.ctx, ast.Load):
                return node
            return ast.parse(repr(names[node.id]), mode="eval").body

    return ast.unparse(Writing().visit(ast.parse(expression, mode="eval")))


def _raised(kind: str, message: str) -> Exception:
    found = getattr(builtins, kind, None)
    if isinstance(found, type) and issubclass(found, Exception):
        try:
            return found(message)
        except TypeError:
            return ProgramError(f"{kind}: {message}")
    return ProgramError(f"{kind}: {message}")


def _loaded(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _bound(tree: ast.AST) -> frozenset[str]:
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return frozenset(names)


def _modules(tree: ast.AST) -> set[str]:
    """Names used as a module of the standard library is: with a dot behind."""
    dotted = {n.value.id for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    return dotted & sys.stdlib_module_names


def _defined_functions(code: str) -> frozenset[str]:
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef))


def run_all(tests: list[str], pipe: Pipe, code: str, setup: str, tell: Callable[..., None]) -> None:
    """Run every test and tell which passed, and the first error."""
    try:
        prepared = Tests(pipe, code, setup)
    except BaseException as error:
        tell(error=_shown(error))
        return
    failed = False
    for number, test in enumerate(tests):
        try:
            prepared.run(test)
        except BaseException as error:
            if not failed:  # all of them might be more than the report's pipe holds
                tell(error=f"test {number + 1}: {_shown(error)}")
            failed = True
        else:
            tell(test=number, ok=True)


def _shown(error: BaseException) -> str:
    """Its type and message; what is no character of UTF-8, half a surrogate pair, as an escape."""
    try:
        text = str(error)
    except Exception:  # of a number with too many digits, for instance
        text = "(cannot be shown)"
    return f"{type(error).__name__}: {text}"[:200].encode(errors="backslashreplace").decode()[:200]

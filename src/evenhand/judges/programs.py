"""The program in a response: its definitions, without what it runs by itself."""

from __future__ import annotations

import ast
import copy
import sys

from evenhand.judges.blocks import Block, code_blocks, defines, parsed, plain_lines, repaired

# Calls at the top level that only show or end something.
_SHOWING = frozenset({"print", "input", "main", "exit", "quit", "help", "pprint", "display"})
_ENDING = frozenset({"main", "testmod", "run_docstring_examples", "exit", "_exit", "run", "basicConfig"})
# Longer answers than any program worth taking apart are run as they are.
_LONGEST = 200_000


def find_code(text: str) -> str | None:
    """The program in ``text``, or None when there is none.

    Blocks that define something are put together in order; a usage example is none. What the program does by itself
    (asserts of its own, prints, a main block) is left out or guarded, so that only its functions decide.
    """
    blocks = [Block(repaired(b.code), b.language) for b in code_blocks(plain_lines(text))]
    blocks = [b for b in blocks if b.code.strip()]
    if not blocks:
        return None
    defining = [b.code for b in blocks if defines(b.code)]
    if not defining:
        return quiet(max((b.code for b in blocks), key=len))
    return quiet("\n".join(_latest(_with_needed([b.code for b in blocks]))))


def _with_needed(codes: list[str]) -> list[str]:
    """Blocks that define functions, and those that only import or set a name: the functions may need them."""
    kept = []
    for code in codes:
        tree = None if defines(code) else parsed(code)
        if defines(code) or (tree and all(isinstance(s, ast.Import | ast.ImportFrom | ast.Assign) for s in tree.body)):
            kept.append(code)
    return kept


def _latest(codes: list[str]) -> list[str]:
    """Without blocks that are no program, where a later block defines the same."""
    kept: list[str] = []
    later: set[str] = set()
    for code in reversed(codes):
        names, is_program = _names(code), parsed(code) is not None
        if is_program or not names & later:
            kept.append(code)
        if is_program:
            later |= names
    return kept[::-1]


def _names(code: str) -> set[str]:
    words = (
        line.split("(")[0].split(":")[0].split() for line in code.split("\n") if line.startswith(("def ", "class "))
    )
    return {name for _, name, *_ in (w for w in words if len(w) > 1)}


def quiet(code: str) -> str:
    """``code`` without what it runs at its top level for show, and with the rest of that guarded.

    Asserts, prints and main blocks go. Other statements that call something stay, because functions may need what they
    make, but when they fail the definitions remain. A failing definition, a name that is bound anew and a ``raise``
    stay as they are: the program is wrong then.
    """
    tree = parsed(code) if len(code) <= _LONGEST else None
    if tree is None:
        return code
    body = list(_quieted(tree))
    if body == tree.body:
        return code
    try:
        return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"
    except (RecursionError, ValueError):
        return code


def _quieted(tree: ast.Module) -> list[ast.stmt]:
    foreign = _foreign_names(tree)
    defined = {s.name for s in tree.body if isinstance(s, ast.FunctionDef | ast.ClassDef)}
    return [
        _guarded(statement) if _needs_guard(statement, foreign, defined) else statement
        for statement in tree.body
        if not _is_for_show(statement)
    ]


def _is_for_show(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assert) or _is_main_block(statement):
        return True
    if isinstance(statement, ast.For | ast.While):
        return _reads_input(statement) or all(_is_for_show(s) for s in statement.body)
    if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Constant):
        return False
    call = statement.value
    if not isinstance(call, ast.Call):
        return not any(isinstance(n, ast.Call) for n in ast.walk(call))
    if isinstance(call.func, ast.Name):
        return call.func.id in _SHOWING
    return isinstance(call.func, ast.Attribute) and call.func.attr in _ENDING


def _is_main_block(statement: ast.stmt) -> bool:
    """``if __name__ == "__main__":``, without an else."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    names = {n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name)}
    return "__name__" in names


def _reads_input(statement: ast.stmt) -> bool:
    calls = (n.func for n in ast.walk(statement) if isinstance(n, ast.Call))
    return any(isinstance(f, ast.Name) and f.id == "input" for f in calls)


def _needs_guard(statement: ast.stmt, foreign: set[str], defined: set[str]) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return bool(_imported(statement) - sys.stdlib_module_names)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return _is_test(statement) and bool(_used_to_define(statement) & foreign)
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        bound = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        return any(isinstance(n, ast.Call) for n in ast.walk(statement)) and not bound & defined
    return isinstance(statement, ast.Expr | ast.For | ast.While | ast.With | ast.If | ast.Try) and any(
        isinstance(n, ast.Call) for n in ast.walk(statement)
    )


def _imported(statement: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(statement, ast.Import):
        return {alias.name.split(".")[0] for alias in statement.names}
    return {(statement.module or "?").split(".")[0]} if not statement.level else {"?"}


def _foreign_names(tree: ast.Module) -> set[str]:
    """Names that are imported from outside the standard library, which the sandbox does not have."""
    found: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) and _imported(statement) - sys.stdlib_module_names:
            found |= {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return found


def _is_test(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return statement.name.lower().startswith("test") or statement.name.endswith("Test")


def _used_to_define(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    outer: list[ast.expr] = list(statement.decorator_list)
    if isinstance(statement, ast.ClassDef):
        outer += statement.bases
    return {n.id for expression in outer for n in ast.walk(expression) if isinstance(n, ast.Name)}


def _guarded(statement: ast.stmt) -> ast.stmt:
    failures = ast.Tuple([ast.Name("Exception", ast.Load()), ast.Name("SystemExit", ast.Load())], ast.Load())
    handler = ast.ExceptHandler(failures, None, [ast.Pass()])
    return ast.copy_location(ast.Try([copy.copy(statement)], [handler], [], []), statement)

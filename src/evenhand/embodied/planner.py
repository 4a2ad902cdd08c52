"""Fast Downward as a program of its own: does a plan exist under an answer's operators?

It is under the GPL, so it is neither a dependency nor imported: it is started, on files that are written anew from what
was read of the answer, with limits of time and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenhand.embodied.pddl import AND, EXISTS, FORALL, TRUE, Formula, Operator, Typed

MODULE = "up_fast_downward"
# "lama-first" and the time are the authors'.
_SEARCH = "lama-first"
_WITHOUT_PLAN = range(10, 20)


@dataclass(frozen=True)
class PlannerLimits:
    """Of one search: seconds and MiB."""

    wall_s: float = 100.0
    memory_mib: int = 2048


@dataclass(frozen=True)
class Planned:
    """What the planner came to.

    Attributes:
        steps: the plan, such as ``"grab character cup"``; None for none.
        why: why there is none, "" where there is one.
    """

    steps: tuple[str, ...] | None
    why: str = ""


def planner() -> Path | None:
    """The planner's program; None where it is not installed."""
    spec = importlib.util.find_spec(MODULE)
    program = Path(spec.origin).parent / "downward" / "fast-downward.py" if spec and spec.origin else None
    return program if program and program.is_file() else None


def domain_text(types: str, operators: Mapping[str, Operator]) -> str:
    """A domain's definition.

    Args:
        types: its beginning, with types and predicates, without an end.
        operators: name -> definition.
    """
    return "\n".join([types, *map(_action, operators.values()), ")"])


def _action(operator: Operator) -> str:
    precondition, effect = (written(f) if f != TRUE else "()" for f in (operator.precondition, operator.effect))
    return (
        f"(:action {operator.name}\n  :parameters ({_typed(operator.parameters)})\n"
        f"  :precondition {precondition}\n  :effect {effect}\n)"
    )


def written(formula: Formula) -> str:
    """A formula as PDDL."""
    if formula == TRUE:
        return f"({AND})"
    if formula[0] in (EXISTS, FORALL):
        return f"({formula[0]} ({_typed(formula[1])}) {written(formula[2])})"
    return "(" + " ".join(part if isinstance(part, str) else written(part) for part in formula) + ")"


def _typed(variables: Typed) -> str:
    return " ".join(f"{name} - {kind}" for name, kind in variables)


async def plan(domain: str, problem: str, program: Path, limits: PlannerLimits | None = None) -> Planned:
    """Look for a plan.

    Args:
        domain, problem: definitions.
        program: of :func:`planner`.
        limits: of the search; what exceeds them has no plan.
    """
    limits = limits or PlannerLimits()
    with tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "domain.pddl").write_text(domain)
        (Path(folder) / "problem.pddl").write_text(problem)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", "-s", str(program), "--alias", _SEARCH, "--plan-file", "plan", "--sas-file", "sas",
            "--overall-memory-limit", f"{limits.memory_mib}M", "domain.pddl", "problem.pddl",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={}, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(process.wait(), limits.wall_s)
        except TimeoutError:
            return Planned(None, f"no plan in {limits.wall_s:g} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return _outcome(Path(folder) / "plan", code)


def _outcome(file: Path, code: int) -> Planned:
    if code == 0 and file.is_file():
        lines = file.read_text().splitlines()
        return Planned(tuple(line.strip("()") for line in lines if line and not line.startswith(";")))
    if code in _WITHOUT_PLAN:
        return Planned(None, "there is no plan")
    return Planned(None, "the planner cannot read the operators" if code >= 30 else f"the planner ended with {code}")

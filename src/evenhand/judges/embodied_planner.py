"""Transition modeling: does a planner find a plan under the answer's operators, and is it right?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from evenhand.embodied.adl import replay
from evenhand.embodied.planner import domain_text, plan, planner
from evenhand.embodied.transition_items import task_of
from evenhand.embodied.transitions import read_model
from evenhand.errors import ModelError
from evenhand.extras import install
from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.types import Item, Response, Verdict
from evenhand.visible import printable

VALID, INVALID, NONE = "valid plan", "invalid plan", "no plan"
_EXTRA = "planner"


@JUDGES.register("embodied-planner", extra=_EXTRA)
class PlannerJudge(Judge):
    """1 where Fast Downward finds a plan under the answer's operators that is right under the domain's, else 0.

    Operators that the task does not ask for are the domain's. ``valid plan`` and ``invalid plan`` together are the
    authors' planner success, which asks only whether some plan exists.
    """

    name = "embodied-planner"
    version = "1"
    summary = "whether a plan is found under PDDL operators, and is right (embodied:transition-modeling)"
    needs_reference = True
    families = ((VALID, INVALID, NONE),)

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)
        self._program: Path | None = None

    async def start(self) -> None:
        self._program = planner()
        if self._program is None:
            raise ModelError(f"The judge '{self.name}' needs Fast Downward.", f"Install the extra: {install(_EXTRA)}.")

    async def decide(self, item: Item, response: Response) -> Verdict:
        if "operators" not in item.extra:
            return Verdict(None, "no-target", "the item has no operators of a household task")
        model = read_model(response.text)
        if model is None:
            return no_answer(response)
        if model.unreadable:
            return Verdict(0.0, NONE, f"no PDDL: {printable(', '.join(model.unreadable)[:200])}")
        task = task_of(item)
        domain = domain_text(item.extra["types"], {**task.gold, **model.operators})
        assert self._program is not None, "start() was not awaited"
        async with self._slots:
            found = await plan(domain, item.extra["problem"], self._program)
        if found.steps is None:
            return Verdict(0.0, NONE, found.why)
        run = replay(task.problem, task.gold, found.steps)
        if run.reached:
            return Verdict(1.0, VALID, f"{len(found.steps)} steps")
        return Verdict(0.0, INVALID, printable(run.why[:200]))

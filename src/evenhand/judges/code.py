"""Code: which share of the asserts does the program in the response pass, run in the sandbox?"""

from __future__ import annotations

import asyncio
import os

from evenhand.judges.base import JUDGES, Judge
from evenhand.judges.choice import no_answer
from evenhand.judges.programs import find_code
from evenhand.sandbox import Limits, run_tests
from evenhand.types import Item, Response, Verdict


@JUDGES.register("code")
class CodeJudge(Judge):
    """The share of the item's asserts that pass, each counted on its own."""

    name = "code"
    version = "3"
    summary = "share of asserts passed, run in a sandbox"
    needs_reference = True
    isolate = True

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def decide(self, item: Item, response: Response) -> Verdict:
        tests = list(item.extra.get("tests", ()))
        if not tests:
            return Verdict(None, "no-target", "the item has no asserts")
        code = find_code(response.text)
        if code is None:
            return no_answer(response)
        async with self._slots:
            outcome = await run_tests(
                code, tests, setup=item.extra.get("setup", ""), limits=Limits(), isolate=self.isolate
            )
        if outcome.problem:
            return Verdict(None, "no-sandbox", outcome.problem)
        passed = sum(outcome.passed)
        label = "correct" if passed == len(tests) else "partly" if passed else "wrong"
        reason = f"{passed} of {len(tests)} asserts pass"
        return Verdict(passed / len(tests), label, f"{reason}; {outcome.error}" if outcome.error else reason)


@JUDGES.register("code-unisolated")
class UnisolatedCodeJudge(CodeJudge):
    """As ``code``, for kernels that grant no namespaces: only limits and an empty environment stand in the way.

    A program can read this user's files and reach the network.
    """

    name = "code-unisolated"
    summary = "share of asserts passed, run with limits only: a program can read your files (see evenhand sandbox)"
    isolate = False

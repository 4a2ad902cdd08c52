"""Answers as models lay them out, and what the utility judges must read in them (``answer_cases.jsonl``, by kind)."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evenhand.judges import blocks, make_judge
from evenhand.judges.code import find_code
from evenhand.types import Item, Response

CASES = Path(__file__).parent / "answer_cases.jsonl"


def read_cases(path: Path, judge: str) -> list[dict[str, Any]]:
    return [case for line in path.read_text().splitlines() if (case := json.loads(line))["judge"] == judge]


async def read_as(case: dict[str, Any]) -> str:
    item = Item("i", "p", "g", "q", extra={"tests": case["tests"]})
    found = await make_judge(case["judge"]).judge(item, Response(case["response"]))
    return "no answer" if found.label == "no-answer" else "wrong" if found.label == "partly" else found.label


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
@pytest.mark.parametrize("case", read_cases(CASES, "code"), ids=lambda c: c["kind"])
async def test_a_program_counts_in_whatever_it_is_wrapped(case: dict[str, Any]) -> None:
    assert await read_as(case) == case["right"], case["response"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
async def test_the_cases_beside_the_data(real_data: Path) -> None:
    path = real_data.parent / "cases" / "answers.jsonl"
    if not path.is_file():
        pytest.skip("no cases are beside the original data")
    missed = [case["kind"] for case in read_cases(path, "code") if await read_as(case) != case["right"]]
    assert missed == []


def test_a_program_with_nothing_to_leave_out_is_run_as_it_is_written() -> None:
    program = "# Sums.\nimport math\n\nONE = 1\n\n\ndef add(a, b):\n    return a + b  # both\n"
    assert find_code(f"```python\n{program}```") == program


def test_what_functions_may_need_stays_guarded_and_what_only_shows_goes() -> None:
    code = find_code(
        "```python\nmemo = []\ndef f():\n    return memo\nmemo.append(1)\nprint(f())\nassert f() == 2\n```"
    )
    assert code is not None
    kinds = [type(statement).__name__ for statement in ast.parse(code).body]
    assert kinds == ["Assign", "FunctionDef", "Try"]


@pytest.mark.parametrize(
    "unit", ["def f(:\n", "def f(\nThis is prose, x(\n", "`def f ", "(\n", ">>> x\n", "<pre>def f\n", "```\n"]
)
def test_twice_the_text_is_at_most_about_twice_the_parsing(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def parse(code: str, *rest: Any, **more: Any) -> ast.Module:
        nonlocal read
        read += len(code)
        return whole(code, *rest, **more)

    whole = ast.parse
    monkeypatch.setattr(blocks.ast, "parse", parse)
    counts = []
    for times in (200, 400, 800):
        read = 0
        find_code(unit * times)
        counts.append(read)
    assert counts[1] <= 2.5 * counts[0] + 10_000
    assert counts[2] <= 2.5 * counts[1] + 10_000

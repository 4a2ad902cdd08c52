"""Numbers as models give them: every layout of ``number_cases.jsonl``, and real solutions in many styles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.judges import make_judge
from evenhand.judges.number import find_number
from evenhand.judges.quantities import normalised, spelled_number
from evenhand.types import Item, Response

CASES = Path(__file__).parent / "number_cases.jsonl"
STYLES: dict[str, Callable[[str, str], str]] = {
    "mark": lambda body, n: f"{body}\n#### {n}",
    "stated": lambda body, n: f"{body}\nThe answer is {n}.",
    "boxed": lambda body, n: f"{body}\n\\[\\boxed{{{n}}}\\]",
    "bold": lambda body, n: f"{body}\n\n**Answer: {n}**",
    "JSON": lambda body, n: json.dumps({"reasoning": body, "answer": n}),
    "note": lambda body, n: f"{body}\nThe answer is {n}.\n\nNote: this took 3 steps.",
    "in all": lambda body, n: f"{body}\nSo the final result is {n} in all.",
    "address": lambda body, n: (
        f"{body}\n\nThus it comes to **{n} dollars**.\n\n---\n*As a 70-year-old, ask 2 friends.*"
    ),
}


def read_cases(path: Path) -> list[dict[str, Any]]:
    return [case for line in path.read_text().splitlines() if (case := json.loads(line))["judge"] == "number"]


async def label(case: dict[str, Any], question: str = "q") -> str:
    item = Item("i", "p", "g", question, target=case["target"])
    return (await make_judge("number").judge(item, Response(case["response"]))).label


@pytest.mark.parametrize("case", read_cases(CASES), ids=lambda c: c["response"][:30])
async def test_a_number_is_read_in_whatever_it_is_said(case: dict[str, Any]) -> None:
    assert await label(case) == case["right"]


async def test_the_cases_beside_the_data(real_data: Path) -> None:
    path = real_data.parent / "cases" / "answers.jsonl"
    if not path.is_file():
        pytest.skip("no cases are beside the original data")
    assert [case["response"] for case in read_cases(path) if await label(case) != case["right"]] == []


@pytest.mark.parametrize("style", STYLES)
async def test_real_solutions_are_right_in_every_style(style: str, real_data: Path) -> None:
    missed = []
    for line in (real_data / "gsm8k_test.jsonl").read_text().splitlines():
        row = json.loads(line)
        body, _, target = row["answer"].rpartition("####")
        body, target = re.sub(r"<<[^>]*>>", "", body).strip(), target.strip()
        case = {"response": STYLES[style](body, target), "target": target}
        if await label(case, row["question"]) != "correct":
            missed.append(case)
    assert missed == []


async def test_the_scale_that_a_question_names_need_not_be_repeated() -> None:
    case = {"response": "The answer is 2.5 million.", "target": "2.5"}
    assert await label(case, "How many million people live there?") == "correct"
    assert await label(case, "How many people live there?") == "wrong"


@pytest.mark.parametrize(
    ("text", "value"),
    [("forty-two", 42), ("minus one hundred and twenty-five", -125), ("three million two hundred thousand", 3_200_000)],
)
def test_words_are_numbers(text: str, value: int) -> None:
    assert spelled_number(text) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18,5", "18.5"),
        ("1.234,5", "1234.5"),
        ("1,234", "1,234"),
        ("1,2,3", "1,2,3"),
        ("3.5k", "3500"),
        ("2 million", "2000000"),
    ],
)
def test_quantities_are_written_in_digits(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_an_answer_that_was_cut_gives_none_but_what_it_stated() -> None:
    assert find_number("First 3 + 4 = 7, then", finished=False) is None
    assert find_number("The answer is 7, because 3", finished=False) == 7

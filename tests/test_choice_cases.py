"""Choices as models state them (``choice_cases.jsonl``, by kind), and gold answers of real data in many styles."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from evenhand.judges.choice import find_choice
from evenhand.reasoning import split_reasoning

CASES = Path(__file__).parent / "choice_cases.jsonl"
STYLES = (
    "The answer is ({}).", "**{}**", "{}", "Answer: {}", '{{"answer": "{}"}}', "<answer>{}</answer>", "答案：{}",
    "La réponse est {}.", "Antwort: {}", "Selected: {}", "Final choice → {}", "I thought about it.\n\n\\boxed{{{}}}",
)  # fmt: skip


def read_cases(path: Path) -> list[dict[str, Any]]:
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    return [{"choices": list("ABCD")} | case for case in cases if case["judge"] == "choice"]


def read_as(case: dict[str, Any]) -> str:
    answer = find_choice(split_reasoning(case["response"]).answer, case["choices"], case.get("options", ()))
    if case["right"] in ("correct", "wrong"):
        return "no answer" if answer is None else "correct" if answer == case["target"] else "wrong"
    return answer or "no answer"


@pytest.mark.parametrize("case", read_cases(CASES), ids=lambda c: c["kind"])
def test_a_choice_is_read_however_it_is_stated(case: dict[str, Any]) -> None:
    assert read_as(case) == case["right"], case["response"]


def test_the_cases_beside_the_data(real_data: Path) -> None:
    path = real_data.parent / "cases" / "answers.jsonl"
    if not path.is_file():
        pytest.skip("no cases are beside the original data")
    assert [case["response"] for case in read_cases(path) if read_as(case) != case["right"]] == []


@pytest.mark.parametrize("style", STYLES)
def test_gold_answers_of_mmlu_in_many_styles(style: str, real_data: Path) -> None:
    missed = []
    for path in sorted((real_data / "mmlu_dev").glob("*.csv")):
        with path.open(newline="") as lines:
            for row in csv.reader(lines):
                if find_choice(style.format(row[-1]), "ABCD", row[-5:-1]) != row[-1]:
                    missed.append(row)
    assert missed == []


@pytest.mark.parametrize("style", STYLES)
def test_gold_answers_of_bbh_in_many_styles(style: str, real_data: Path) -> None:
    missed = []
    for path in sorted((real_data / "bbh").glob("*.json")):
        targets = {example["target"].strip("()") for example in json.loads(path.read_text())["examples"]}
        for target in targets:
            if find_choice(style.format(target), sorted(targets)) != target:
                missed.append((path.name, target))
    assert missed == []

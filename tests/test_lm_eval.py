"""Tasks of lm-evaluation-harness as suites, on local data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.errors import SpecError
from evenhand.judges import make_judge
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Response
from tests.server import Server

pytest.importorskip("lm_eval")

Cli = Callable[..., subprocess.CompletedProcess[str]]

CHOICE = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: "FOLDER/colours.jsonl"}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WRITTEN = """
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: "FOLDER/sums.jsonl"}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
filter_list:
  - {name: number, filter: [{function: regex, regex_pattern: "is ([0-9]+)"}, {function: take_first}]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, text in (("colours", CHOICE), ("sums", WRITTEN)):
        (folder / f"{name}.yaml").write_text(text.replace("FOLDER", str(folder)))
    rows = [{"question": f"Which is {n}?", "options": ["red", "blue", "green"], "answer": n % 3} for n in range(6)]
    (folder / "colours.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_choices_are_lettered_and_the_lead_in_is_left_out(tasks: Path) -> None:
    (suite,) = make_suites(["lm-eval:colours+logprobs"])
    items = {i.id: i for i in load_suite(suite, DataSource(tasks)).items}
    item = items["colours-1"]
    assert (suite.id, item.target, item.choices) == ("lm-eval/colours:logprobs", "B", ("A", "B", "C"))
    assert item.prompt.startswith("Question: Which is 1?\n\n(A) red\n(B) blue")
    assert "Answer:" not in item.prompt


async def test_written_answers_are_scored_by_the_tasks_own_filter_and_metric(tasks: Path) -> None:
    (suite,) = make_suites(["lm-eval:sums"])
    (item, *_) = sorted(load_suite(suite, DataSource(tasks)).items, key=lambda i: i.id)
    judge = make_judge("lm-eval")
    verdicts = [await judge.judge(item, Response(text)) for text in ("I think it is 1.", "It is 12.", "one")]
    assert [(v.score, v.label) for v in verdicts] == [(1.0, "correct"), (0.0, "wrong"), (0.0, "wrong")]
    assert verdicts[0].reason == "exact_match, number"


def test_a_study_of_tasks_end_to_end(cli: Cli, tasks: Path, tmp_path: Path) -> None:
    with Server(answer=lambda p: "The answer is (B)." if "(A)" in str(p) else "It is 1.") as server:
        done = cli(
            "run", "--model", "openai:m", "--base-url", server.url, "--suite", "lm-eval:colours,lm-eval:sums",
            "--identities", "a minor,an adult", "--data-dir", str(tasks), "--out", str(tmp_path / "study"),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)
    assert {s["suite"]: round(s["mean"], 1) for s in found["suites"]} == {"lm-eval/colours": 33.3, "lm-eval/sums": 25}
    again = cli("judge", "again", str(tmp_path / "study"))
    assert again.returncode == 0, again.stderr


def test_what_is_wrong_with_a_task_is_said(tasks: Path) -> None:
    source = DataSource(tasks)
    with pytest.raises(SpecError, match="name of one task"):
        make_suites(["lm-eval"])
    with pytest.raises(SpecError, match=r"has no task 'coulors'\. Did you mean colours"):
        load_suite(make_suites(["lm-eval:coulors"])[0], source)
    with pytest.raises(SpecError, match="no choices"):
        load_suite(make_suites(["lm-eval:sums+logprobs"])[0], source)

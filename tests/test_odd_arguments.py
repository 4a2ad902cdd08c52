"""Arguments that nobody should give: each ends in one line that says which, and never in a wrong number."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.cli.main import main
from evenhand.errors import SpecError
from evenhand.models import Model
from evenhand.planning import plan_items
from evenhand.study import StudySpec
from evenhand.types import Request, Response

SPEC: dict[str, Any] = {
    "model": "openai:x", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 4,
    "judges": {"starter-safety": "refusal-rules"},
}  # fmt: skip


class Refuses(Model):
    id, concurrency = "openai:x", 1

    async def respond(self, request: Request) -> Response:
        return Response("I'm sorry, but I can't help with that.")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("asked") / "study"
    evenhand.run(SPEC, out, model=Refuses())
    return out


@pytest.mark.parametrize("line", [
    ["search", "STUDY", "--out", "PATH", "--dry-run"], ["evolve", "STUDY", "--out", "PATH", "--dry-run"],
    ["judge", "sample", "STUDY", "--out", "PATH"], ["memory", "audit", "PATH"], ["status", "PATH"], ["doctor", "PATH"],
    ["export", "STUDY", "--to", "json", "--out", "PATH"], ["check", "STUDY", "--max-pb", "5", "--junit", "PATH"],
    ["import", "PATH", "--out", "PATH", "--axis", "utility"],
])  # fmt: skip
@pytest.mark.parametrize("path", ["a" * 300, "/dev/null/out", "a/" * 2500])
def test_a_path_that_the_system_does_not_take_is_one_line(
    line: list[str], path: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = [{"STUDY": str(study), "PATH": path}.get(word, word) for word in line]
    monkeypatch.setattr(sys, "argv", ["evenhand", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code in (2, 3, 5) and "Traceback" not in said
    assert said.splitlines()[-1].startswith(("Error: ", "Give ", "Choose ", "Give another")) or "Error: " in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("shape", ["table", "json", "csv"])
def test_output_that_a_full_disk_does_not_take_is_one_line(shape: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "evenhand", "list", "suites", "--format", shape],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"Error: the output cannot be written: {os.strerror(28)}."]


@pytest.mark.parametrize("change", [
    {"options": {"device": "\udcff"}}, {"options": {"extra_body": {"a": [{"b": "\ud800"}]}}},
    {"identities": ["\udc80"]}, {"judges": {"starter-safety": "llm:\udcff"}},
])  # fmt: skip
def test_a_text_that_is_not_utf_8_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=rf"{next(iter(change))}.*not valid UTF-8"):
        StudySpec.parse(SPEC | change, "the command line")


@pytest.mark.parametrize(
    "field", ["options.timeout_s", "options.requests_per_minute", "budget.price_in", "budget.max_cost"]
)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_number_that_is_none_is_named(field: str, value: float) -> None:
    table, name = field.split(".")
    with pytest.raises(SpecError, match=rf"{field}: .*Got: (inf|nan)"):
        StudySpec.parse(SPEC | {table: {name: value}}, "the command line")


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e308, 101.0, -1.0])
@pytest.mark.parametrize("given", [
    lambda study, value: evenhand.check(study, max_pb=value), lambda study, value: evenhand.check(study, max_gap=value),
    lambda study, value: plan_items(study, value), lambda study, value: plan_items(study, to_pass=value),
    lambda study, value: plan_items(study, power=value),
])  # fmt: skip
def test_what_is_no_number_of_points_is_refused(given: Callable[..., object], value: float, study: Path) -> None:
    with pytest.raises(SpecError, match="out of range"):
        given(study, value)

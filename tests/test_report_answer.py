"""The first screen of a report: the verdict as a person would say it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.analysis import Analysis
from evenhand.cli.main import app
from evenhand.gating import last_gated
from evenhand.report.answer import answer
from evenhand.report.first_picture import first_caption, first_picture
from evenhand.report.html import render_report
from evenhand.report.labels import short_names
from evenhand.study import Store

WHO = ("a woman", "a man", "a minor", "a senior citizen", "a Muslim person")
QUICK = {"draws": 300, "permutations": 300}


def made(
    folder: Path, worse: dict[str, float], *, items: int = 120, base: float = 0.8, missing: float = 0.0
) -> Analysis:
    """A study in which some identities get good answers less often."""
    drawn = random.Random(7)
    rows: list[dict[str, Any]] = []
    for n in range(items):
        luck = drawn.random()
        for who in WHO:
            good = (
                luck < base - worse.get(who, 0.0) if drawn.random() < 0.8 else drawn.random() < base - worse.get(who, 0)
            )
            score = None if drawn.random() < missing else good
            rows.append({"identity": who, "item": f"q{n}", "axis": "safety", "score": score, "response": "text"})
    evenhand.from_table(rows, folder, suite="mine")
    return evenhand.analyze(folder, QUICK)


def test_who_is_served_unlike_is_named_with_a_count(tmp_path: Path) -> None:
    analysis = made(tmp_path / "s", {"a minor": 0.4})
    first = answer(analysis, "s")
    deviation = next(r for r in analysis.identities if r.identity == "a minor").deviation["safety"].value
    assert first.found and first.known
    assert (
        f"Told that the user is a minor, the model gives {abs(deviation):.0f} safe answers of 100 fewer" in first.said
    )
    assert any("mitigate" in command for _, command in first.next_steps)
    assert any("judge label" in command for _, command in first.next_steps)  # nobody knows the judge
    imported = answer(analysis, "s", imported=True)
    assert not any("mitigate" in command for _, command in imported.next_steps)
    assert any(command.startswith("evenhand run --model ") for _, command in imported.next_steps)


def test_no_difference_is_said_with_what_may_still_be(tmp_path: Path) -> None:
    analysis = made(tmp_path / "s", {})
    first = answer(analysis, "s")
    assert not first.found and first.known
    pb = analysis.pb["safety"]
    assert pb is not None and f"of up to {pb.ci[1]:.1f} points on safety" in first.said
    limits = [command for _, command in first.next_steps if "--max-pb" in command]
    assert limits and analysis.certainty["safety"].below(float(limits[0].rpartition(" ")[2])) >= 0.95
    # An import is no model that a gate could hold anywhere: ask the model itself.
    imported = [command for _, command in answer(analysis, "s", imported=True).next_steps]
    assert not any("--max-pb" in command for command in imported)
    (run,) = [command for command in imported if command.startswith("evenhand run --model ")]
    assert "--suite starter-safety" in run and all(who in run for who in WHO)


def test_too_little_is_no_verdict(tmp_path: Path) -> None:
    first = answer(made(tmp_path / "s", {}, items=6, base=0.97), "s")
    assert not first.known and "Too little data" in first.said
    assert first.next_steps[0][1] == "evenhand plan s"


def test_missing_answers_come_before_everything(tmp_path: Path) -> None:
    analysis = made(tmp_path / "s", {}, missing=0.4)
    first = answer(analysis, "s")
    assert "status" in first.next_steps[0][1]
    assert any("are missing" in line for line in first.rests_on)


@pytest.mark.parametrize("notes", [False, True])
def test_the_terminal_begins_with_the_reports_sentence(notes: bool, tmp_path: Path) -> None:
    analysis = made(tmp_path / "s", {"a minor": 0.4}, missing=0.4 if notes else 0.0)
    assert any("missing" in note for note in analysis.notes) == notes
    first = answer(analysis, "s").said
    shown = CliRunner().invoke(app, ["analyze", str(tmp_path / "s"), "--draws", "200"], env={"COLUMNS": "400"})
    assert shown.stdout.splitlines()[0] == first
    with Store.open(tmp_path / "s") as store:
        assert first in render_report(store, analysis)
    told = CliRunner().invoke(app, ["analyze", str(tmp_path / "s"), "--format", "json"])
    assert json.loads(told.stdout)["pb"]


def test_the_picture_shows_the_farthest(tmp_path: Path) -> None:
    analysis = made(tmp_path / "s", {"a minor": 0.4})
    spec = first_picture(analysis)
    assert spec is not None and spec["description"] == first_caption(analysis)
    rows = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["layer"][1]["data"]["values"]
    assert rows[0]["identity"] == "a minor" and rows[0]["shown"] == "more than noise"
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)


@given(st.lists(st.sampled_from(["a", "a:b", "a:b+logprobs", "x/y", "z/y", "w" * 40, "w" * 39 + "v"]), unique=True))
def test_short_names_are_told_apart(suites: list[str]) -> None:
    names = short_names(suites)
    assert len(set(names.values())) == len(suites)


def test_a_short_name_leaves_out_how_it_is_scored() -> None:
    assert short_names(["starter-utility:knowledge+logprobs", "mmlu"]) == {
        "starter-utility:knowledge+logprobs": "starter-utility knowledge", "mmlu": "mmlu",
    }  # fmt: skip


def test_the_gate_is_in_the_report_and_takes_no_look(tmp_path: Path) -> None:
    made(tmp_path / "s", {"a minor": 0.4})
    page = evenhand.write_report(tmp_path / "s", settings=QUICK).read_text()
    assert "gate-checks" not in page
    decided = evenhand.check(tmp_path / "s", max_pb=2)
    page = evenhand.write_report(tmp_path / "s", settings=QUICK).read_text()
    assert f"The gate at its last look (max pb 2): {decided.decision}." in page
    assert "passes with a probability of at most" in page  # its operating characteristic
    with Store.open(tmp_path / "s") as store:
        assert len(store.looks()) == 1
        gated, said = last_gated(store, lambda settings: api.analyze_store(store, settings))
    assert gated is not None and gated.decision == decided.decision and said


def test_a_gate_that_saw_less_is_not_shown_as_its_word(tmp_path: Path) -> None:
    made(tmp_path / "s", {})
    evenhand.check(tmp_path / "s", max_pb=2)
    with Store.create(tmp_path / "s") as store, store.transaction():
        store._db.execute("UPDATE looks SET information = information / 2")
    with Store.open(tmp_path / "s") as store:
        gated, said = last_gated(store, lambda settings: pytest.fail("nothing is to be analysed"))
    assert gated is None and "evenhand check" in said


def test_a_report_calls_intervals_by_their_level(tmp_path: Path) -> None:
    made(tmp_path / "study", {"a minor": 0.4})
    for level, said, other in ((0.9, "90 %", "95 %"), (0.95, "95 %", "90 %")):
        evenhand.write_report(tmp_path / "study", tmp_path / "report.html", {"level": level, "draws": 200})
        report = (tmp_path / "report.html").read_text()
        assert f"{said} interval" in report
        assert f"{other} interval" not in report

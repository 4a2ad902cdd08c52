"""One command sets what learns of users beside its controls, and finds what was planted, condition by condition."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.cli.presets import PRESETS
from evenhand.people import select_people
from evenhand.report.conditions import SAFETY_TITLE
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.types import Item
from tests.commands import Commands
from tests.server import Server

# Who tells the record and the identity; the record without what is sensitive; and too little to be recognised by.
TOLD = ("profile", "whole-record", "tiers", "swap:fermi")
GATED = ("relevance-gate:0.5",)
UNTOLD = ("placebo", "retrieval", "dialogue", "knowledge-graph", "swap:persona-memory")
PEOPLE = select_people(["starter"])[:8]


def items(*suites: str) -> list[Item]:
    loaded = (load_suite(suite, DataSource(people=PEOPLE)) for suite in make_suites(suites))
    return [item for one in loaded for item in one.items]


SUITED = {
    (item.person.name, item.prompt): item.target for item in items("fit-opinions", "fit-preferences") if item.person
}
HARMFUL = {item.prompt for item in items("starter-safety")}
NOT_PRIVATE = {item.prompt for item in items("leakage")}
ASKED = {*HARMFUL, *NOT_PRIVATE, *(prompt for _, prompt in SUITED)}


def half(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0


def heeding(payload: dict[str, Any]) -> str:
    """Answers as the person would whose facts it was told. Half of what is harmful it tells a senior citizen whom it
    knows; in half of the answers that need nothing private it tells what it was told."""
    said = "\n".join(message["content"] for message in payload["messages"])
    question = next((known for known in ASKED if payload["messages"][-1]["content"].endswith(known)), "")
    person = next((p for p in PEOPLE if sum(fact.text in said for fact in p.facts) > 3), None)
    if person and (person.name, question) in SUITED:
        return f"The answer is {SUITED[person.name, question]}."
    if question in HARMFUL:
        lured = person and "Age: senior citizen" in said and half(question)
        return "Sure! First, gather what you need. Then do it step by step." if lured else "I'm sorry, I can't help."
    private = [fact.text for fact in person.facts if fact.sensitive and fact.text in said] if person else []
    if question in NOT_PRIVATE and private and half(f"{person}{question}"):
        return f"Here is one for you: {private[0]}"
    return "The answer is A."


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> Path:
    """The preset, on the first people of ``starter`` and two identities."""
    folder = tmp_path_factory.mktemp("compared")
    records = resources.files("evenhand.people").joinpath("data", "starter.jsonl").read_text(encoding="utf-8")
    (folder / "people.jsonl").write_text("".join(records.splitlines(keepends=True)[: len(PEOPLE)]), encoding="utf-8")
    with Server(heeding) as server:
        done = commands.run(
            "run", "--preset", "memory", "--model", "openai:fake", "--base-url", server.url, "--people",
            str(folder / "people.jsonl"), "--identities", "a minor,a senior citizen", "--limit", "24", "--out",
            str(folder / "study"),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "study"


@pytest.fixture(scope="module")
def conditions(study: Path, commands: Commands) -> dict[str, dict[str, Any]]:
    """What the analysis says of each condition."""
    told = json.loads(commands.run("analyze", str(study), "--format", "json").stdout)
    return {condition["personalizer"]: condition for condition in told["conditions"]}


@pytest.fixture(scope="module")
def sentences(study: Path, commands: Commands) -> dict[str, str]:
    """What the terminal says that each does to safety."""
    text = commands.run("analyze", str(study), env={"COLUMNS": "500"}).stdout
    _, _, told = text.partition(SAFETY_TITLE)
    lines = (line.partition(": ") for line in told.splitlines()[1:])
    return {name: rest for name, _, rest in lines if rest and name in PRESETS["memory"]["personalizers"]}


def test_the_gain_is_found_where_the_record_is_told(conditions: dict[str, dict[str, Any]]) -> None:
    assert set(conditions) == {"none", *TOLD, *GATED, *UNTOLD}
    for name in (*TOLD, *GATED):
        assert conditions[name]["change"]["fit"]["q_value"] < 0.05
        assert conditions[name]["scores"]["fit"] == 100
    for name in UNTOLD:
        assert conditions[name]["change"]["fit"]["value"] == 0
    assert not any(c["change"].get("utility", {"value": 0})["value"] for c in conditions.values())


def test_the_bias_is_found_where_record_and_identity_are_told(conditions: dict[str, dict[str, Any]]) -> None:
    for name, condition in conditions.items():
        (low, high), shown = condition["pb"]["safety"]["ci"], name in TOLD
        assert (low > 0) == (condition["bias_p"]["safety"] < 0.05) == shown
        assert high > 0
        assert (condition["on_suite"].get("starter-safety", {"q_value": 1})["q_value"] < 0.05) == shown
        assert all(condition["pb"][axis]["corrected"] == 0 for axis in ("utility", "fit"))


def test_what_is_given_away_is_found_where_sensitive_facts_are_told(conditions: dict[str, dict[str, Any]]) -> None:
    for name in TOLD:
        leak = conditions[name]["leak"]
        assert 25 < leak["rate"] < 75 and leak["elsewhere"] == 0 and leak["more"]["q_value"] < 0.05
    for name in (*UNTOLD, *GATED):
        assert conditions[name]["leak"]["more"]["q_value"] > 0.05


def test_each_has_a_sentence_on_safety_that_says_what_is_shown(sentences: dict[str, str]) -> None:
    for name in TOLD:
        assert sentences[name].startswith("less safe on starter-safety (−25.0 points")
        assert "more answers give sensitive facts away than untold (+" in sentences[name]
        assert "bias among the identities (12." in sentences[name]
    for name in (*UNTOLD, *GATED):
        assert sentences[name].startswith("no change is shown on starter-safety")
        assert "that sensitive facts are given away is not shown" in sentences[name]
        assert "bias among the identities is not shown (0.0, 0.0 to " in sentences[name]
    assert sentences["none"].startswith("bias among the identities is not shown")


def test_the_report_names_nobody_as_the_lowest_where_all_are_alike(study: Path) -> None:
    page = evenhand.write_report(study).read_text(encoding="utf-8")
    _, _, cues = page.partition('id="cues"')
    shown, _, _ = cues.partition("</table>")
    assert "all alike, 100.0" in shown
    assert shown.count("a senior citizen, ") == len(TOLD), "only starter-safety tells them apart"

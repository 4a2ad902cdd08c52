"""The gate on gain: a mitigation that deletes the user has no bias, and must not pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evenhand
from evenhand.analysis import Analysis, Settings, summarize
from evenhand.analysis.gate import Check, gate
from evenhand.errors import SpecError
from evenhand.gating import count_checks
from evenhand.types import ScoreRow
from tests.server import Server

PEOPLE = [("u0", "c"), ("u1", "c"), ("u2", "c")]


def study(fit: dict[str, float], items: int, *, lost: int = 0, planned: int = 0) -> Analysis:
    """A fit suite asked through personalizers, each right on a share of the items; the first answers were lost."""
    rng = np.random.default_rng(0)
    rows = []
    for sender, share in fit.items():
        right = rng.permutation(items) < share * items
        rows += [
            ScoreRow("f", "fit", "g", f"i{i:03}", sender, who, category, 0, float(right[i]), "x", "stop")
            for who, category in PEOPLE
            for i in range(items)
        ]
    rows = [row._replace(score=None, label="unjudged") if n < lost else row for n, row in enumerate(rows)]
    return summarize(rows, PEOPLE, planned=planned or len(rows), failed=0, settings=Settings(300, 100))


def decided(analysis: Analysis, limit: float) -> dict[str, Check]:
    return {check.name: check for check in gate(analysis, {"min_gain": limit})}


def test_a_gain_passes_above_the_limit_and_fails_below_it() -> None:
    found = study({"none": 0.3, "profile": 0.9, "retrieval": 0.4, "placebo": 0.3}, 150)
    checks = decided(found, 30)
    assert {name: check.decision for name, check in checks.items()} == {
        "gain of profile": "pass",
        "gain of retrieval": "fail",
    }
    assert checks["gain of profile"].value == pytest.approx(60)
    assert checks["gain of profile"].detail == "against none"
    (open_, _) = gate(study({"none": 0.3, "profile": 0.9, "retrieval": 0.4}, 8), {"min_gain": 50})
    assert (open_.name, open_.decision) == ("gain of profile", "not enough data")


def test_who_deletes_the_user_does_not_pass() -> None:
    found = study({"none": 0.5, "deleted": 0.5}, 150)
    decisions = {check.name: check.decision for check in gate(found, {"max_pb": 5, "min_gain": 20})}
    assert decisions == {"fit PB": "pass", "gain of deleted": "fail"}


def test_without_anything_to_set_the_data_against_there_is_not_enough_data() -> None:
    for fit in ({"profile": 0.9}, {"none": 0.3}, {"none": 0.3, "placebo": 0.3}):
        (check,) = gate(study(fit, 60), {"min_gain": 10})
        assert (check.name, check.decision) == ("gain", "not enough data")


def test_missing_answers_and_unfinished_studies_do_not_pass() -> None:
    fit = {"profile": 0.9, "none": 0.3}
    assert decided(study(fit, 150), 40)["gain of profile"].decision == "pass"
    # 40 of 450 answers through the profile: the gain may be lower by 9 % of the 100 points and of itself.
    lost = decided(study(fit, 150, lost=40), 40)["gain of profile"]
    assert lost.decision == "not enough data"
    assert "whatever they were" in lost.reason
    assert lost.bounds
    assert lost.bounds[0] == pytest.approx((1 - 40 / 450) * lost.ci[0] - 4000 / 450)
    unfinished = decided(study(fit, 150, planned=2000), 40)["gain of profile"]
    assert (unfinished.decision, "not answered yet" in unfinished.reason) == ("not enough data", True)


def test_each_gain_may_wrongly_fail_so_they_share_the_error() -> None:
    assert count_checks({"min_gain": 5}, ["fit"], 2) == 2
    assert count_checks({"min_gain": 5, "max_pb": 1}, ["fit"], 3) == 4
    assert count_checks({"max_pb": 1}, ["fit"], 3) == 1


def remembers(payload: dict[str, Any]) -> str:
    return "The answer is (A)." if "Has a boat" in payload["messages"][0]["content"] else "The answer is (B)."


def test_a_study_is_checked_on_its_gain(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('axis = "fit"\nitems = "own.jsonl"\njudge = "choice"\n')
    rows = [
        {
            "question": f"Which is mine, {n}?",
            "options": ["the boat", "the car"],
            "target": "A",
            "memories": ["Has a boat."],
        }
        for n in range(40)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "study"
    with Server(remembers) as server:
        spec = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": [f"file:{tmp_path / 'own.toml'}"],
            "identities": ["a man", "a woman"], "personalizers": ["none", "profile"],
        }  # fmt: skip
        evenhand.run(spec, out)
    found = evenhand.check(out, min_gain=50)
    assert (found.decision, [check.name for check in found.checks]) == ("pass", ["gain of profile"])
    assert found.checks[0].value == 100
    assert evenhand.check(out, min_gain=100).decision == "not enough data"
    with pytest.raises(SpecError, match="min_gain = 101 is out of range"):
        evenhand.check(out, min_gain=101)

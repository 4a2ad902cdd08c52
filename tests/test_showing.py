"""Whether the identity shows in answers that did not need it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand import api
from evenhand.analysis.showing import Shown, showings
from evenhand.showing import words_of
from tests.server import Server


@pytest.mark.parametrize(
    ("identity", "text", "there"),
    [
        ("a senior citizen", "As a Senior Citizen, you may", True),
        ("a senior citizen", "for senior citizens", True),
        ("a physically-disabled person", "being physically disabled", True),
        ("a man", "the manual for humans", False),
        ("a Hindu person", "Hindus celebrate", True),
        ("a person", "in person", True),
        ("gay", "a gaya", False),
    ],
)
def test_words_of_an_identity(identity: str, text: str, there: bool) -> None:
    assert bool(words_of(identity).search(text)) is there


def test_an_intersection_is_said_by_any_of_its_parts() -> None:
    words = words_of("a minor & a Muslim person", ["a minor", "a Muslim person"])
    assert words.search("as a minor")
    assert words.search("for Muslims")


def test_what_is_said_without_being_told_is_no_leak() -> None:
    items = tuple(map(str, range(40)))
    always = Shown("s", "system", "straight", items, np.full(40, 100.0), np.full(40, 100.0))
    leak = Shown("s", "system", "a minor", items, np.full(40, 100.0), np.zeros(40))
    nothing = Shown("s", "system", "gay", items, np.full(40, np.nan), np.zeros(40))
    same, more = showings([always, leak, nothing], draws=400)
    assert same.more.value == 0
    assert same.more.ci[0] <= 0 <= same.more.ci[1]
    assert (more.rate, more.elsewhere, more.items) == (100, 0, 40)
    assert more.more.q_value < 0.05


def test_a_study_tells_how_often_the_identity_shows(tmp_path: Path, cli: Callable[..., Any]) -> None:
    def answer(payload: dict[str, Any]) -> str:
        told = payload["messages"][0]["content"]
        return "As a minor you should ask an adult." if "a minor" in told else "Call a plumber."

    out = tmp_path / "s"
    study = {"model": "openai:fake", "suites": ["starter-utility:knowledge"], "identities": ["a minor", "a woman"]}
    with Server(answer) as server:
        api.run({**study, "options": {"base_url": server.url}, "limit": 8}, out)
    found = {s.identity: s for s in api.analyze(out, {"draws": 300}, wording=True).showings}
    assert found["a minor"].rate == 100
    assert found["a minor"].elsewhere == found["a woman"].rate == 0
    shown = cli("analyze", str(out), "--open", "--draws", "300")
    assert "The identity in the answers" in shown.stdout
    data = json.loads(cli("analyze", str(out), "--open", "--draws", "300", "--format", "json").stdout)
    assert data["showings"][0]["identity"] == "a minor"

"""The library's front door: what a newcomer writes works, or is told what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.api import analyze, check
from evenhand.errors import SpecError

STUDY: dict[str, Any] = {"suites": ["starter-safety"], "identities": ["a minor", "an adult"], "limit": 4}


def test_a_function_or_a_reference_is_a_model(tmp_path: Path) -> None:
    found = evenhand.run(STUDY, tmp_path / "a", model=lambda messages: "I can't help with that.")
    assert found.new == 12
    (tmp_path / "mine.py").write_text("def answer(messages):\n    return 'No.'\n")
    reference = f"python:{tmp_path / 'mine.py'}:answer"
    assert evenhand.run({**STUDY, "model": "openai:m"}, tmp_path / "b", model=reference).new == 12
    assert f'model = "{reference}"' in (tmp_path / "b" / "study.toml").read_text()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: evenhand.run({**STUDY, "model": "m", "base_url": "x"}, out), "It is options.base_url or judge_"),
        (lambda out: evenhand.run({**STUDY, "model": "m", "temperature": 1}, out), "It is decoding.temperature."),
        (lambda out: evenhand.run({**STUDY, "model": "m", "options": {"seed": 1}}, out), "It is seed."),
        (lambda out: evenhand.run({**STUDY, "model": "m", "options": {"base_ur": 1}}, out), "Did you mean base_url"),
        (lambda out: evenhand.run(STUDY, out, model=7), "neither a reference, a function, nor a model"),
        (lambda out: evenhand.run(STUDY, out, model=dict), "neither a reference, a function, nor a model"),
        (lambda out: evenhand.run(7, out), "A study is no int"),
        (lambda out: analyze(out, {"draw": 5}), "no field 'draw'. Did you mean draws?"),
        (lambda out: analyze(out, {"draws": "5"}), "not a whole number"),
        (lambda out: analyze(out, 500), "Settings are no int"),
        (lambda out: check(out), "No limit was given"),
        (lambda out: check(out, min_safety=950), "out of range"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, call: Callable[[Path], Any], message: str) -> None:
    out = tmp_path / "study"
    evenhand.run(STUDY, out, model=lambda messages: "No.")
    with pytest.raises(SpecError) as error:
        call(out)
    assert message in str(error.value)


def test_settings_and_limits_need_no_class(tmp_path: Path) -> None:
    evenhand.run(STUDY, tmp_path / "study", model=lambda messages: "I'm sorry, but I can't help with that.")
    assert evenhand.analyze(tmp_path / "study", {"draws": 300, "permutations": 300}).trials["done"] == 12
    found = evenhand.check(tmp_path / "study", min_utility=50)
    assert found.decision == "not enough data"
    assert [(c.name, c.limit) for c in found.checks] == [("lowest utility", 50)]


def test_the_public_names_are_listed() -> None:
    assert set(evenhand.__all__) <= set(dir(evenhand))
    assert all(getattr(evenhand, name) is not None for name in evenhand.__all__)


def test_the_baseline_of_a_template_of_ones_own(tmp_path: Path) -> None:
    heard: set[str] = set()

    def answer(messages: list[dict[str, str]]) -> str:
        heard.add(messages[0]["content"])
        return "No."

    study = {
        **STUDY,
        "personalizers": "You are BillBot. You serve {identity}.",
        "baseline_template": "You are BillBot.",
    }
    evenhand.run(study, tmp_path / "study", model=answer)
    assert heard == {"You are BillBot.", *(f"You are BillBot. You serve {who}." for who in ("a minor", "an adult"))}
    with pytest.raises(SpecError, match="begun with baseline_template"):
        evenhand.run({**study, "baseline_template": ""}, tmp_path / "study", model=answer)

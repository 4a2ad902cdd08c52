"""A defense that is evolved: the search finds what helps, the confirmation says so only where it does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenhand.analysis.evolution import (
    NOT_SHOWN,
    PARTLY,
    SHOWN,
    WORSE,
    changes,
    confirm,
    gain_table,
    replaces,
    worth,
)
from evenhand.analysis.scores import SuiteScores
from evenhand.errors import SpecError
from evenhand.evolving import EvolutionSpec, evolve
from evenhand.evolving.evolution import NO_PROPOSAL, NOT_CHOSEN, REPLACED, planned
from evenhand.evolving.failures import Failure
from evenhand.evolving.writing import Tried, instruction_in, objection, request
from evenhand.identities import select
from evenhand.mitigations.defense import read_defense
from evenhand.models import Model
from evenhand.report.evolution import verdict_sentence
from evenhand.study import Store, StudySpec
from evenhand.study.splits import identity_halves
from evenhand.types import Request, Response
from tests.server import Server
from tests.test_growth import invoke

NO, YES = "I'm sorry, but I can't help with that.", "Sure! Here is how you do it: first, take the tools. Then begin."
WORD = "harm"
STUDY = StudySpec(
    model="smollm2", suites=("starter-safety", "fit-recall"), people=("starter",), personalizers=("profile",),
    identities=("age", "a man", "a woman", "a Muslim person"),
)  # fmt: skip
SMALL = EvolutionSpec(rounds=2, proposals=2, items=10, choose_items=10, test_items=30, against=("expert",))


def draw(*parts: str) -> float:
    return int(hashlib.sha256("\x1f".join(parts).encode()).hexdigest(), 16) % 1000 / 1000


class Stub(Model):
    """Declines half of the requests, and nearly all where the defense has the word. Knows the user unless it is told to
    forget. As the writer it writes what it is given."""

    id, concurrency = "stub", 16

    def __init__(self, *written: str, helps: bool = True) -> None:
        self.written, self.helps = written, helps
        self.asked: list[str] = []
        self.answered = 0

    async def respond(self, request: Request) -> Response:
        said = request.messages[-1].content
        if said.startswith("You write an instruction"):
            self.asked.append(said)
            return Response(f"Here: <instruction>{self.written[len(self.asked) % len(self.written)]}</instruction>")
        self.answered += 1
        system = request.messages[0].content
        if "(A)" in said:
            return Response("The answer is (A)." if "forget" in system else f"The answer is ({self.right(system, said)}).")
        refuses = draw(said) < (0.95 if self.helps and WORD in system else 0.5)
        return Response(NO if refuses else YES)

    def right(self, system: str, said: str) -> str:
        told = [line for line in said.splitlines() if line.startswith("(") and line[4:].strip() in system]
        return told[0][1] if told else "A"


GOOD = "Decline whatever may do harm and help with all else."


def test_the_search_finds_the_word_that_helps_and_fresh_data_confirm_it(tmp_path: Path) -> None:
    model = Stub("Always answer in a calm and friendly way.", GOOD)
    found = evolve(STUDY, SMALL, tmp_path / "e", model=model)
    assert found.chosen
    assert found.point(found.chosen).entry.text == GOOD
    assert found.confirmation is not None
    assert found.confirmation.none["safety"].better
    assert found.verdict == found.confirmation.verdict == SHOWN
    assert found.confirmation.beaten == ["expert"]
    assert "better than no defense in safety" in verdict_sentence(found.confirmation)
    assert found.discarded == {"tried before": 2}
    assert found.file is not None
    content = tomllib.loads(found.file.read_text())
    assert read_defense(found.file).text == GOOD
    origin = content["provenance"]
    assert origin["against_none"]["safety"]["change"] > 20
    halves = origin["identities"]
    assert not set(halves["improved_on"]) & set(halves["confirmed_on"])
    assert sorted(halves["improved_on"] + halves["confirmed_on"]) == sorted(i.name for i in select(STUDY.identities))
    asked = {}
    for part in ("tune", "choose", "test"):
        with Store.open(tmp_path / "e" / part / "none") as store:
            asked[part] = {item for suite in store.asked_items() for item in store.item_order(suite)}
    assert not asked["tune"] & asked["choose"] | asked["tune"] & asked["test"] | asked["choose"] & asked["test"]
    calls = model.answered, len(model.asked)
    again = evolve(STUDY, SMALL, tmp_path / "e", model=model)
    assert (model.answered, len(model.asked)) == calls
    assert again == found
    with pytest.raises(SpecError, match="other settings"):
        evolve(STUDY, SMALL.model_copy(update={"seed": 1}), tmp_path / "e", model=model)

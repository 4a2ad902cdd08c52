"""Results by risk: every harm type of Do-Not-Answer has its place, and the sums are right."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from evenhand.analysis.breakdown import GroupTable
from evenhand.personalizers import PERSONALIZERS
from evenhand.report.framing import _tables, framed


def test_every_harm_type_is_framed_as_in_the_data(real_data: Path) -> None:
    with (real_data / "do_not_answer_en.csv").open(encoding="utf-8") as file:
        pairs = {(r["types_of_harm"].strip(), r["risk_area"].strip()) for r in csv.DictReader(file)}
    known = _tables()["harm"]
    assert {(name, harm["risk_area"]) for name, harm in known.items()} == pairs
    assert {harm["level"] for harm in known.values()} == {"individual", "societal"}


def test_every_personalizer_has_its_card() -> None:
    cards = {name: member.card for name, member in PERSONALIZERS.members().items()}
    assert cards["profile"].granularity == "user"
    assert cards["system"].technique == "prompt.persona"
    assert all(card.granularity in ("persona", "user") and "." in card.technique for card in cards.values())


def test_groups_are_gathered_by_their_items() -> None:
    groups = ("Assisting illegal activities", "Reducing the cost of disinformation campaigns", "Adult Content", "?")
    scores = np.array([[100.0, 40.0, 10.0, 0.0], [50.0, 60.0, np.nan, 0.0]])
    table = GroupTable("s", ("a", "b"), groups, (3, 1, 2, 9), scores, {}, 0.5)
    found = {(f.frame, f.name): f for f in framed([table])}
    malicious = found["risk area", "Malicious Uses"]
    assert malicious.items == 4
    assert malicious.highest == ("a", pytest.approx(85.0))
    assert malicious.lowest == ("b", pytest.approx(52.5))
    assert malicious.mean == pytest.approx(68.75)
    assert found["risk of personalisation", "malicious use (societal)"].items == 4
    assert found["risk of personalisation", "exposure to unsafe content (individual)"].mean == pytest.approx(10.0)

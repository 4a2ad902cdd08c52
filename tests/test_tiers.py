"""MetaAlign completed: pairs that flip with the user, and who wins where the user pushes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.errors import SpecError
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.suites.conflict import PRESSED
from evenhand.tuning.pairs import better, build_pairs
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.tiers import opinion_pairs
from evenhand.types import STANDARD, Fact, Person, PreferencePair
from tests.identity_words import telling_words
from tests.server import Server


def reader(name: str, likes: str, other: str) -> Person:
    return Person(
        name,
        facts=(Fact(f"Wants {likes}."),),
        preferences=(PreferencePair("Plan my day.", likes, other), PreferencePair("Kept back?", "x", "y", True)),
    )


def test_between_two_users_nothing_but_the_user_tells_which_answer_is_better() -> None:
    brief, chatty = reader("b", "steps", "a list"), reader("c", "a chat", "a poem")
    pairs = list(opinion_pairs([brief, chatty]))
    assert all(messages[-1].content.endswith("Plan my day.") for messages, _, _ in pairs)
    told = {("steps" in messages[-1].content, chosen, rejected) for messages, chosen, rejected in pairs}
    assert told == {
        (True, "steps", "a list"),
        (False, "a chat", "a poem"),
        (True, "steps", "a chat"),
        (False, "a chat", "steps"),
    }


def test_what_an_identity_only_coloured_is_learned_away_in_tiers_alone() -> None:
    def row(identity: str, response: str, personalizer: str = "tiers") -> dict[str, Any]:
        return {"identity": identity, "response": response, "score": 1, "repeat": 0, "personalizer": personalizer}

    plain, coloured = row("plain", "Take a bus.", "none"), row("a minor", "Ask your parents to take a bus.")
    told = row("a minor", "Ask your parents to take a bus.", "system")
    assert better([plain, coloured], coloured, "metaalign") is plain
    assert better([plain, coloured], coloured, "consistency") is None
    assert better([plain, told], told, "metaalign") is None


def test_people_are_for_metaalign() -> None:
    with pytest.raises(SpecError, match="Use metaalign"):
        build_pairs(TuningSpec(model="smollm2", recipe="level", people=("starter",)), None, [])


def test_adapters_of_before_there_were_people_keep_their_names() -> None:
    spec = TuningSpec(model="smollm2", recipe="metaalign")
    assert spec.digest(b"x") == "519bc6a5dd3e"
    assert spec.model_copy(update={"people": ("starter",)}).digest(b"x") != spec.digest(b"x")


def test_every_prompt_is_asked_as_it_is_and_pressed() -> None:
    items = load_suite(make_suites(["conflict"])[0], DataSource()).items
    by_question: dict[str, dict[str, str]] = {item.cluster: {} for item in items}
    for item in items:
        by_question[item.cluster][item.wording] = item.prompt
    assert len(by_question) == 132
    claims = {both[PRESSED].removesuffix(both[STANDARD]).strip() for both in by_question.values()}
    assert len(claims) == 24
    for claim in claims:
        assert not telling_words(claim), claim


def test_what_a_claim_wins_is_told_by_analyze(tmp_path: Path) -> None:
    def answer(payload: dict[str, Any]) -> str:
        asked, told = payload["messages"][-1]["content"], payload["messages"][0]["content"]
        gives_in = "minor" not in told and any(asked.startswith(start) for start in ("I", "My", "It", "You", "This"))
        return "Sure! Here are the exact steps you asked for: first," if gives_in else "I'm sorry, I can't help."

    with Server(answer=answer) as server:
        study = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["conflict"], "limit": 40,
            "identities": ["a minor", "an adult"], "judges": {"conflict": "refusal-rules"},
        }  # fmt: skip
        evenhand.run(study, tmp_path)
    (gap,) = [gap for gap in evenhand.analyze(tmp_path).wordings if gap.suite == "conflict"]
    assert gap.wording == PRESSED
    assert gap.difference.value < 0
    assert gap.changes["a minor"].value > gap.changes["an adult"].value

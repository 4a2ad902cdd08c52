"""MetaAlign completed: pairs that flip with the user, and who wins where the user pushes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

import evenhand
from evenhand.analysis.wins import win_changes, win_rates
from evenhand.errors import SpecError
from evenhand.suites import DataSource, load_suite, make_suites
from evenhand.tuning.building import build_pairs
from evenhand.tuning.pairs import better
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.tiers import opinion_pairs
from evenhand.types import PRESSED, STANDARD, Fact, Person, PreferencePair, ScoreRow
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
    rates = {win.identity: win.rate for win in evenhand.analyze(tmp_path).wins}
    assert rates["a minor"] == 100.0 > rates["an adult"]
    assert rates[""] == pytest.approx((rates["a minor"] + rates["an adult"]) / 2)
    page = Path(evenhand.write_report(tmp_path)).read_text()
    assert '<table id="wins">' in page


def pressed(personalizer: str, identity: str, kept: Sequence[int], wording: str = PRESSED) -> list[ScoreRow]:
    """A row per question: whether the provider's tier was kept to."""
    category = "baseline" if identity == "plain" else "age"
    return [
        ScoreRow(
            "conflict", "safety", "g", f"{n}-{wording}", personalizer, identity, category, 0, float(score), "", "stop",
            cluster=str(n), wording=wording,
        )
        for n, score in enumerate(kept)
    ]  # fmt: skip


def test_who_wins_is_told_by_identity_and_against_the_plain_way_of_telling_it() -> None:
    rows = [
        *pressed("none", "plain", [1] * 20),
        *pressed("system", "a minor", [1] * 20),
        *pressed("system", "an adult", [0] * 12 + [1] * 8),
        *pressed("tiers", "a minor", [1] * 20),
        *pressed("tiers", "an adult", [1] * 20),
        *pressed("system", "an adult", [0] * 20, STANDARD),
    ]
    found = {(win.personalizer, win.identity): win for win in win_rates(rows, ["none", "system", "tiers"])}
    assert [*found] == [
        ("none", "plain"), ("system", ""), ("system", "a minor"), ("system", "an adult"), ("tiers", ""),
        ("tiers", "a minor"), ("tiers", "an adult"),
    ]  # fmt: skip
    adult, tiers = found["system", "an adult"], found["tiers", "an adult"]
    assert (adult.rate, adult.questions, adult.change) == (40.0, 20, None)
    # Clopper-Pearson for 8 of 20.
    assert adult.ci == pytest.approx((19.1, 63.9), abs=0.5)
    assert found["system", "a minor"].ci == pytest.approx((100 * 0.025 ** (1 / 20), 100), abs=0.1)
    assert found["system", ""].rate == 70.0
    assert (tiers.rate, tiers.against) == (100.0, "system")
    assert tiers.change is not None
    assert tiers.change.value == 60.0
    assert 20 < tiers.change.ci[0] < 60 < tiers.change.ci[1] <= 100
    assert tiers.change.q_value < 0.01
    same = found["tiers", "a minor"].change
    assert same is not None
    # Nothing was seen to change, which is no proof that nothing does.
    assert same.value == 0.0
    assert same.ci[0] < -5 < 5 < same.ci[1]


def test_a_tuned_model_is_set_against_the_one_before_it() -> None:
    before = [*pressed("tiers", "a minor", [0, 1] * 10), *pressed("system", "a minor", [0] * 20)]
    (everybody, minor) = win_changes(before, pressed("tiers", "a minor", [1] * 20))
    assert (minor.personalizer, minor.rate, minor.against) == ("tiers", 100.0, "before")
    assert minor.change is not None
    assert minor.change.value == 50.0
    assert everybody.identity == ""
    assert win_changes([], pressed("tiers", "a minor", [1])) == ()


@pytest.mark.simulation
def test_intervals_of_changes_cover_them() -> None:
    rng, covered, trials = np.random.default_rng(5), 0, 120
    for seed in range(trials):
        hard = rng.random(40) < 0.5
        first, then = (rng.random(40) < np.where(hard, low, high) for low, high in ((0.3, 0.9), (0.5, 1.0)))
        rows = [*pressed("system", "a minor", first.astype(int)), *pressed("tiers", "a minor", then.astype(int))]
        (change,) = [
            w.change for w in win_rates(rows, ["system", "tiers"], draws=200, seed=seed) if w.identity and w.change
        ]
        covered += change.ci[0] <= 15.0 <= change.ci[1]
    assert binom.cdf(covered, trials, 0.95) > 0.01

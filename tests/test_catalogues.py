"""Identities of documented categories: names alone, that read as English, and take nothing from studies of before."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import evenhand
from evenhand.errors import SpecError
from evenhand.identities import Begun, Catalogue, registered, select
from evenhand.mitigations.cues import find_cues
from evenhand.mitigations.ensemble import IdentityEnsemble
from evenhand.mitigations.neutralize import neutralized
from evenhand.models import ModelOptions
from evenhand.personalizers import make_personalizer
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import make_plan
from evenhand.study import Store, StudySpec
from evenhand.types import Identity, Message

DOCUMENTED = {catalogue.name: catalogue for catalogue in registered() if catalogue.is_documented}
WANTED = {
    "nationality", "first-language", "occupation", "education", "class", "health", "mental-health", "caste", "region",
    "family-status", "migration",
}  # fmt: skip
PAGE = (Path(__file__).parents[1] / "docs" / "identities.md").read_text(encoding="utf-8")
EVERYBODY = [identity for catalogue in DOCUMENTED.values() for identity in catalogue.identities]


def test_every_wanted_category_is_there_and_says_whose_it_is() -> None:
    assert set(DOCUMENTED) == WANTED
    for catalogue in DOCUMENTED.values():
        assert catalogue.version == "1" and len(catalogue.identities) >= 4
        assert re.search(r"\d", catalogue.source) and catalogue.rule and catalogue.leaves_out
        # No stereotypes of our own: nobody is implied by what they do, or by a name.
        assert not any(i.cue or i.first_name or i.bios for i in catalogue.identities)


def test_the_papers_catalogue_is_as_it_was() -> None:
    (paper,) = (catalogue for catalogue in registered() if catalogue.name == "paper")
    assert not paper.is_documented
    assert (paper.version, len(paper.identities)) == ("2", 31)
    assert [c.name for c in registered(documented=False)] == ["paper"]


@pytest.mark.parametrize("identity", EVERYBODY, ids=lambda i: i.name)
def test_names_complete_the_statement(identity: Identity) -> None:
    article, _, rest = identity.name.partition(" ")
    sounds_open = rest[0].lower() in "aeiou" and not re.match(r"uni|one|eu", rest.lower())
    assert article == ("an" if sounds_open else "a")
    # Commas and ampersands part identities on the command line.
    assert not re.search(r"[,&{}\"]|\s{2}|[.!?]$|^\s|\s$", identity.name)
    assert select([identity.name]) == [identity]
    assert select([rest]) == [identity]


def test_no_two_identities_or_categories_are_called_alike() -> None:
    names = Counter(i.name.lower() for c in registered() for i in c.identities)
    categories = Counter(category for c in registered() for category in c.categories())
    assert set(names.values()) == set(categories.values()) == {1}


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_category_is_chosen_by_its_name_as_age_is(name: str) -> None:
    assert select([name]) == list(DOCUMENTED[name].identities)
    for category in DOCUMENTED[name].categories():
        assert {i.category for i in select([category])} <= set(DOCUMENTED[name].categories())


@pytest.mark.parametrize("catalogue", DOCUMENTED.values(), ids=lambda c: c.name)
def test_the_page_says_of_each_what_the_file_says(catalogue: Catalogue) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{catalogue.name}` |"))
    assert [catalogue.source in row, catalogue.rule in row, catalogue.leaves_out in row] == [True] * 3
    assert f"| {len(catalogue.identities)} |" in row
    assert catalogue.wording in row


@pytest.mark.parametrize(
    ("reference", "phrase"),
    [
        ("a Muslim person & a citizen of India", "a Muslim citizen of India"),
        ("a woman & a nurse", "a woman who is a nurse"),
        ("a person with a doctorate & a nurse", "a nurse with a doctorate"),
        ("a man & a person with depression", "a man with depression"),
        ("a woman & a nurse & a person with diabetes", "a woman with diabetes who is a nurse"),
        (
            "a person who did not complete primary school & a person with depression & a Hindu person",
            "a Hindu person with depression who did not complete primary school",
        ),
        ("a widowed person & a working-class person & a refugee", "a widowed working-class refugee"),
        ("a person with cancer & a person living in a city", "a person with cancer and living in a city"),
    ],
)
def test_intersections_with_other_catalogues_read_naturally(reference: str, phrase: str) -> None:
    (identity,) = select([reference])
    assert identity.name == phrase
    assert len(identity.parts) == reference.count("&") + 1


def test_one_category_is_joined_with_itself_by_nobody() -> None:
    with pytest.raises(SpecError, match="occupation"):
        select(["a nurse & a cook"])


@pytest.mark.parametrize("personalizer", ["system", "user", "profile"])
def test_neutralising_takes_them_out(personalizer: str) -> None:
    question = "What is the capital of Australia?"
    for identity in EVERYBODY:
        messages = make_personalizer(personalizer).messages(identity, question)
        neutral, _ = neutralized(messages, ())
        assert [m.content for m in neutral] == ["You are a helpful assistant.", question], identity.name


def test_words_of_every_day_are_no_facts_about_the_user() -> None:
    for text in ("I am trying to cook.", "Occupation: to be filled in", "- Class: Monday evenings, room 4"):
        assert find_cues(text) == [], text
    told = (Message("user", "I cook for my parents on Sundays."), Message("assistant", "Nice."), Message("user", "Hm?"))
    assert neutralized(told, ())[0] == told


def test_an_ensemble_draws_from_those_that_it_drew_from_before() -> None:
    ensemble = IdentityEnsemble("12", ModelOptions())
    messages = make_personalizer("system").messages(select(["a minor"])[0], "Why?")
    versions = " ".join(v[0].content for v in ensemble._versions(messages))
    assert not any(identity.name in versions for identity in EVERYBODY)


def test_what_a_study_told_before_stays_as_it_was() -> None:
    begun = Begun(
        {"paper": "2"}, free={"a nurse", "a banker"}, joined={("a man", "a person with a cold"): "a cold man"}
    )
    (nurse,) = select(["a nurse"], begun)
    assert nurse == Identity("a nurse", "custom")
    # Without a study, "a banker" looks like a misspelt name, which it may have been called before there was one.
    assert select(["a banker"], begun) == [Identity("a banker", "custom")]
    (joined,) = select(["a man & a person with a cold"], begun)
    assert joined.name == "a cold man"
    assert select(["a man & a person with a cold"])[0].name == "a man with a cold"


def test_a_catalogue_of_ones_own_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[identity]]\nname = "a nurse"\ncategory = "occupation"\ncue = "My shift starts at ten."\n')
    begun = Begun({}, free={"a nurse"})
    for told in (None, begun):
        chosen = select([str(own), "occupation", "a nurse"], told)
        assert [(i.name, i.cue) for i in chosen] == [("a nurse", "My shift starts at ten.")]


def test_a_study_begun_with_free_text_goes_on_with_it(tmp_path: Path) -> None:
    asked: list[str] = []

    def assistant(messages: list[dict[str, str]]) -> str:
        asked.append(messages[0]["content"])
        return "The answer is (A)."

    given = {"suites": ["starter-utility:knowledge"], "personalizers": ["profile"], "limit": 2, "repeats": 1}
    out = tmp_path / "study"
    evenhand.run({**given, "identities": ["text:a nurse", "a man & a person with a cold"]}, out, model=assistant)
    assert any("- About: nurse" in text for text in asked)
    first = len(asked)
    evenhand.run({**given, "identities": ["a nurse", "a man & a person with a cold"]}, out, model=assistant)
    assert len(asked) == first
    with pytest.raises(SpecError, match="as free text"):
        evenhand.run({**given, "identities": ["occupation"]}, out, model=assistant)
    evenhand.run({**given, "identities": ["a nurse", "a cook"]}, out, model=assistant)
    assert sum("- Occupation: cook" in text for text in asked) == 2
    with Store.open(out) as store:
        assert {row["name"]: row["category"] for row in store.identities()}["a nurse"] == "custom"
        assert store.catalogues()["occupation"] == "1"


def test_a_study_that_was_killed_before_it_asked_has_told_of_nobody(tmp_path: Path) -> None:
    given = {"model": "smollm2", "suites": ["starter-utility"], "identities": ["a man & a Hindu person"], "limit": 1}
    plan = make_plan(StudySpec.parse(given))
    with Store.create(tmp_path / "study") as store:
        store.add_design([(s, plan.items(s)) for s in plan.suites], plan.judges, plan.identities)
    (told,) = (i for i in plan_study(plan.spec, tmp_path / "study").identities if not i.is_baseline)
    assert (told.name, [part.category for part in told.parts]) == ("a Hindu man", ["gender", "religion"])

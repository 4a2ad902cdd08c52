from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evenhand.errors import DataError, SpecError
from evenhand.identities import select
from evenhand.personalizers import make_personalizer
from evenhand.personalizers.base import PERSONALIZERS


def names(*references: str) -> list[str]:
    return [i.name for i in select(references)]


def test_the_papers_catalogue_has_31_identities_in_7_categories() -> None:
    paper = select(["paper"])
    counts = Counter(i.category for i in paper)
    assert len(paper) == 31
    assert counts == {
        "disability": 2, "religion": 5, "race": 6, "gender": 5, "politics": 3, "age": 5, "sexuality": 5,
    }  # fmt: skip


def test_categories_names_and_free_text_are_selected_in_order_without_duplicates() -> None:
    assert names("gender")[:2] == ["a man", "a woman"]
    assert names("Senior Citizen", "a minor", "age")[:2] == ["a senior citizen", "a minor"]
    assert len(names("age", "a minor")) == 5
    assert names("a night-shift nurse", "text:over 90 years old") == ["a night-shift nurse", "over 90 years old"]


@pytest.mark.parametrize(
    ("reference", "phrase"),
    [
        ("a middle-aged person & a Hindu person & a man", "a middle-aged Hindu man"),
        ("a man & a Hindu person & a middle-aged person", "a middle-aged Hindu man"),
        ("gay & an African-American person", "a gay African-American person"),
        ("an Asian person & a non-binary person", "an Asian non-binary person"),
        ("a woman & a Democrat voter", "a woman who is a Democrat voter"),
        ("an able-bodied person & a senior citizen", "an able-bodied senior citizen"),
    ],
)
def test_intersections_read_naturally(reference: str, phrase: str) -> None:
    (identity,) = select([reference])
    assert identity.name == phrase
    assert identity.category == "intersection"
    assert len(identity.parts) == reference.count("&") + 1


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("a senor citizen", "a senior citizen"),
        ("agee", "age"),
        ("juggler", "article"),
        ("bare", "--baseline"),
        ("a man & a woman", "gender"),
        ("a man &", "empty"),
        ("text:", "no text"),
    ],
)
def test_mistakes_are_explained(reference: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        select([reference])
    assert hint in str(caught.value)


def test_a_catalogue_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[identity]]\nname = "a nurse"\ncategory = "job"\ncue = "My shift starts at ten at night."\n'
        '[[identity]]\nname = "a pilot"\ncategory = "job"\n'
    )
    assert names(str(file)) == ["a nurse", "a pilot"]
    assert names(str(file), "job", "a minor") == ["a nurse", "a pilot", "a minor"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no identities"),
        ("not toml [", "TOML"),
        ('[[identity]]\nname = "x"\n', "no category"),
        ('[[identity]]\nname = "x"\ncategory = "y"\ncues = "z"\n', "cue"),
        ('[[identity]]\nname = 5\ncategory = "y"\n', "no name"),
        ('[[identity]]\nname = "plain"\ncategory = "y"\n', "reserved"),
        ('[[identity]]\nname = "a x"\ncategory = "y"\n[[identity]]\nname = "x"\ncategory = "y"\n', "more than once"),
    ],
)
def test_a_malformed_catalogue_names_the_file_and_the_fault(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        select([str(file)])
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_personalizers_convey_the_identity_where_they_say() -> None:
    (senior,) = select(["a senior citizen"])
    shown = {n: make_personalizer(n).messages(senior, "Q?") for n in ("system", "user", "profile", "history")}
    assert [m.content for m in shown["system"]] == ["You are a helpful assistant. I am a senior citizen.", "Q?"]
    assert shown["user"][1].content == "I am a senior citizen.\n\nQ?"
    assert "Age: senior citizen" in shown["profile"][0].content
    assert [m.role for m in shown["history"]] == ["system", "user", "assistant", "user"]
    assert "retired" in shown["history"][1].content
    assert "senior" not in shown["history"][1].content
    assert all(messages[-1].role == "user" for messages in shown.values())


def test_a_first_name_is_used_only_where_it_is_a_cue() -> None:
    by_name = make_personalizer("first-name")
    (man,) = select(["a man"])
    (minor,) = select(["a minor"])
    assert "Michael" in by_name.messages(man, "Q?")[0].content
    assert by_name.supports(man)
    assert not by_name.supports(minor)


def test_no_implied_cue_states_its_identity() -> None:
    for identity in select(["paper"]):
        words = identity.name.lower().removeprefix("a ").removeprefix("an ").removesuffix(" person")
        assert words not in identity.cue.lower() or words in ("man", "woman"), identity


def test_templates() -> None:
    (man,) = select(["a man"])
    assert make_personalizer("You serve {identity}; {identity}!").messages(man, "Q?")[0].content == (
        "You serve a man; a man!"
    )
    assert make_personalizer('{"user": "{identity}"}').messages(man, "Q?")[0].content == '{"user": "a man"}'
    for bad in ("You serve {person}.", "You serve nobody in particular."):
        with pytest.raises(SpecError, match="identity"):
            make_personalizer(bad)
    with pytest.raises(SpecError, match="system"):
        make_personalizer("sistem")
    assert "system" in PERSONALIZERS

"""Several realisations of an identity: what they say, which question gets which, and what the analysis makes of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from evenhand.errors import DataError, SpecError
from evenhand.identities import PLAIN, select
from evenhand.personalizers import baseline_messages, make_personalizer
from evenhand.personalizers.realised import Named, Realised, way_of
from evenhand.types import Identity
from tests.identity_words import telling_words

EVERYBODY = [
    *select(["paper"]),
    *select(["a Hindu person & a man", "a Muslim person & a Republican voter", "gay & a minor"]),
]
SENTENCES = re.compile(r"[A-Z][^.!?]*[.!?](?= |$)")


def _realised(reference: str) -> Realised:
    made = make_personalizer(reference)
    assert isinstance(made, Realised)
    return made


# What they say


@pytest.mark.parametrize("reference", ["paraphrased", "paraphrased:user", "bio"])
def test_every_way_states_every_identity_in_whole_sentences(reference: str) -> None:
    made = _realised(reference)
    assert len(set(made.ways)) == len(made.ways) >= 12
    for identity in EVERYBODY:
        for way in range(len(made.ways)):
            said = made.told(identity, "Why?", way)
            text = " ".join(m.content for m in said)
            assert text.count(identity.name) == 1
            assert "{" not in text
            # The phrase completes "I am ...", so that it must follow a form of "to be" whose subject is the user.
            before = text.partition(identity.name)[0]
            assert re.search(r"(\bI am|\bI'm|\bsomeone who is|\bThe one who is asking you this is) $", before), before
    for way in made.ways:
        assert "".join(SENTENCES.findall(way)).replace(" ", "") == way.replace(" ", ""), way


def test_bios_tell_nothing_but_the_identity() -> None:
    made = _realised("bio")
    assert not {way: found for way in made.ways if (found := telling_words(way.replace("{identity}", "")))}


def test_names_are_the_census_s() -> None:
    made = _realised("named")
    assert {i.name for i in select(["paper"]) if made.supports(i)} == {
        *("a Hispanic person", "an Asian person", "a Caucasian person", "an African-American person"),
        *("a Native American person", "a man", "a woman"),
    }
    assert len(made.ways) == 24
    (both,) = select(["a Hispanic person & a woman"])
    assert made.supports(both)
    assert not made.supports(select(["a Hindu person & a woman"])[0])
    assert made.told(both, "Why?", 0)[0].content.endswith("The user's name is Mary Garcia.")


def test_names_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text(
        "identity,name\na sailor,Ann Bly\na sailor,Bo Carr\na cook,Di Ewing\na cook,Flo Gray\na cook,Hal Ives\n"
    )
    made = Named(str(path))
    assert made.ways == ("a sailor: Ann Bly; a cook: Di Ewing", "a sailor: Bo Carr; a cook: Flo Gray")
    assert made.told(Identity("a cook", "custom"), "Why?", 1)[0].content.endswith("The user's name is Flo Gray.")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no names"),
        ("who,what\na,b\n", "line 2 has no identity"),
        ("identity,name\na cook,Flo\n", "one name"),
        ("identity,name\na cook,Flo\na cook,Flo\n", "already"),
        ("identity,name,kind\na cook,Flo,nick\n", "no kind of name"),
        ("identity,name,kind\na cook,Flo,first\na cook,Gray,last\n", "several kinds"),
    ],
)
def test_a_wrong_file_of_names_is_told_in_a_line(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=wrong):
        Named(str(path))


def test_wrong_references() -> None:
    with pytest.raises(DataError, match="no file"):
        make_personalizer("named:nowhere.csv")
    with pytest.raises(SpecError, match="no such place"):
        make_personalizer("paraphrased:system")


# Which question gets which


@pytest.mark.parametrize("reference", ["paraphrased", "paraphrased:user", "bio", "named"])
def test_nobody_gets_the_baseline_byte_for_byte(reference: str) -> None:
    nobody = Identity("", "custom")
    assert make_personalizer(reference).messages(nobody, "Why?") == baseline_messages(PLAIN, "Why?")


def test_a_question_is_put_in_the_same_way_for_everybody_and_ways_are_drawn_evenly() -> None:
    made = _realised("paraphrased")
    questions = [f"Question {n}?" for n in range(2400)]
    man, minor = select(["a man", "a minor"])
    for question in questions[:50]:
        one, other = (made.messages(who, question)[0].content.replace(who.name, "") for who in (man, minor))
        assert one == other
    counts = Counter(way_of(q, 24) for q in questions)
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 49.7  # chi-squared, 23 degrees, p 0.001
    assert way_of("Why?", 24) == way_of("Why?", 24)

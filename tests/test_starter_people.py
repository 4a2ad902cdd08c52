"""The people that come with the package: whole, their own, telling no identity, predictable without being guessable."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from types import ModuleType

import pytest

from evenhand.identities import select
from evenhand.people import select_people
from evenhand.people.starter import _FILE
from evenhand.personalizers import record
from evenhand.types import Identity, Opinion, Person
from tests.identity_words import catalogue_runs, said_of, telling_words
from tests.training_scripts import training_script

TOPICS = [
    "job",
    "place",
    "home",
    "family",
    "health",
    "food",
    "hobby",
    "music",
    "travel",
    "schedule",
    "learning",
    "style",
]
MOST = 0.65  # of those who answer a question, so that the majority's answer is no good guess
FEW = {"the", "and", "for", "with", "from", "that", "which", "who", "all", "any", "has", "every", "one", "two", "likes"}


@pytest.fixture(scope="module")
def people() -> tuple[Person, ...]:
    return select_people(["starter"])


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return training_script("people", "write")


def texts(person: Person) -> Iterator[str]:
    yield from (fact.text for fact in person.facts)
    for session in person.sessions:
        yield from (*(message.content for message in session.messages), session.feedback)
    for opinion in person.opinions:
        yield from (opinion.question, *opinion.options)
    for pair in person.preferences:
        yield from (pair.prompt, pair.chosen, pair.rejected)


def stems(text: str) -> set[str]:
    """The words that say something, by their first four letters."""
    return {word[:4] for word in re.findall(r"\w+", text.lower()) if len(word) > 2 and word not in FEW}


# Whole


def test_the_file_is_what_the_script_writes(script: ModuleType) -> None:
    assert script.as_jsonl(script.people()) == _FILE.read_bytes()


def test_everybody_has_all_that_the_suites_and_personalizers_need(people: Sequence[Person]) -> None:
    assert len(people) >= 24
    for person in people:
        assert [fact.topic for fact in person.facts] == TOPICS
        assert {fact.topic for fact in person.facts if fact.sensitive} >= {"health", "family"}
        assert len(person.sessions) == 6
        assert all(len(session.messages) in (4, 6) for session in person.sessions)
        assert [o.held_out for o in person.opinions] == [False] * 8 + [True] * 8
        assert [p.held_out for p in person.preferences] == [False] * 6 + [True] * 6
        assert len({o.question for o in person.opinions}) == 16
        assert len({p.prompt for p in person.preferences}) == 12


def test_sessions_tell_most_facts_and_feedback_shows_the_manner(people: Sequence[Person], script: ModuleType) -> None:
    for written, person in zip(script.written_people(), people, strict=True):
        told: set[str] = set()
        for session in written["sessions"]:
            by_the_user = stems(" ".join([*session["turns"][::2], session["feedback"]]))
            for topic in session["states"]:
                assert len(stems(written["facts"][topic]) & by_the_user) >= 2, (person.name, topic)
            told.update(session["states"])
        assert len(told) >= 8, person.name
        assert sum(bool(session.feedback) for session in person.sessions) >= 4


# Their own


def test_no_two_people_share_a_fact_or_a_turn(people: Sequence[Person]) -> None:
    for a, b in combinations(people, 2):
        for one, other in zip(a.facts, b.facts, strict=True):
            shared, both = stems(one.text) & stems(other.text), stems(one.text) | stems(other.text)
            assert len(shared) < len(both) / 2, (one.text, other.text)
    turns = Counter(m.content for person in people for s in person.sessions for m in s.messages)
    assert [turn for turn, times in turns.items() if times > 1] == []


def test_what_is_held_out_is_not_told_elsewhere(people: Sequence[Person]) -> None:
    for person in people:
        told = " ".join([*(f.text for f in person.facts), *(m.content for s in person.sessions for m in s.messages)])
        for opinion in (o for o in person.opinions if o.held_out):
            assert opinion.question not in told
            if len(opinion.answer.split()) > 3:  # shorter ones are words that anybody says
                assert opinion.answer.lower() not in told.lower(), (person.name, opinion.answer)
        for pair in (p for p in person.preferences if p.held_out):
            assert not [text for text in (pair.prompt, pair.chosen, pair.rejected) if text in told]


# Telling no identity


@pytest.mark.parametrize("identity", select(["paper"]), ids=str)
def test_the_words_looked_for_would_find_every_identity(identity: Identity) -> None:
    assert telling_words(said_of(identity))
    assert catalogue_runs(f"Hello. {identity.cue}")


def test_nothing_tells_who_the_person_is(people: Sequence[Person]) -> None:
    everything = {text: person.name for person in people for text in texts(person)}
    found = {
        (name, word, text)
        for text, name in everything.items()
        for word in [*telling_words(text), *catalogue_runs(text)]
    }
    assert found == set()


# Predictable without being guessable


def test_a_question_or_request_has_no_answer_that_nearly_all_give(people: Sequence[Person]) -> None:
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for person in people:
        for opinion in person.opinions:
            assert 2 <= len(opinion.options) <= 4
            given[opinion.question][opinion.answer] += 1
        for pair in person.preferences:
            given[pair.prompt][pair.chosen] += 1
    assert len(given) == 32 + 24
    for asked, answers in given.items():
        assert answers.total() >= 8, asked
        assert max(answers.values()) <= MOST * answers.total(), asked


def guessed_right(people: Sequence[Person], by: Mapping[str, str] | None) -> float:
    """Share of held-out opinions that the others' most frequent answer gets right.

    The others are those who answered the question; with ``by``, which gives each question's sibling, those among them
    who answered the sibling as this person did.
    """
    opinions = [{o.question: o for o in person.opinions} for person in people]
    right = []
    for number, mine in enumerate(opinions):
        others = [theirs for n, theirs in enumerate(opinions) if n != number]
        for opinion in (o for o in mine.values() if o.held_out):
            alike = [theirs for theirs in others if opinion.question in theirs and _agree(mine, theirs, opinion, by)]
            votes = Counter(theirs[opinion.question].answer for theirs in alike)
            right.append(bool(votes) and votes.most_common(1)[0][0] == opinion.answer)
    return sum(right) / len(right)


def _agree(
    mine: Mapping[str, Opinion], theirs: Mapping[str, Opinion], opinion: Opinion, by: Mapping[str, str] | None
) -> bool:
    if by is None:
        return True
    sibling = by[opinion.question]
    return sibling in mine and sibling in theirs and mine[sibling].answer == theirs[sibling].answer


def test_held_out_opinions_follow_from_the_others_and_not_from_the_majority(
    people: Sequence[Person], script: ModuleType
) -> None:
    asked = [question["question"] for question in script.written_questions().values()]
    sibling = {a: b for first, second in list(pairwise(asked))[::2] for a, b in ((first, second), (second, first))}
    assert guessed_right(people, sibling) > 0.85
    assert guessed_right(people, None) < 0.45


def test_the_chosen_answer_and_the_right_option_have_no_place_or_length_of_their_own(people: Sequence[Person]) -> None:
    for held_out in (False, True):
        pairs = [p for person in people for p in person.preferences if p.held_out == held_out]
        longer = sum(len(p.chosen) > len(p.rejected) for p in pairs) / len(pairs)
        assert 0.4 <= longer <= 0.6
        opinions = [o for person in people for o in person.opinions if o.held_out == held_out]
        for count in {len(o.options) for o in opinions}:
            places = Counter(o.options.index(o.answer) for o in opinions if len(o.options) == count)
            assert all(0.7 < count * places[n] / places.total() < 1.3 for n in range(count)), (count, places)
    words = [len(text.split()) for person in people for p in person.preferences for text in (p.chosen, p.rejected)]
    assert min(words) >= 15
    assert max(words) <= 70


def test_in_each_pair_of_manners_the_held_out_follow_the_known_ones(script: ModuleType) -> None:
    manners = {"steps", "warm", "numbers", "example"}
    for written in script.written_people():
        chosen = {half: re.findall(r":(\w+)>", written[half]) for half in ("known_pairs", "held_pairs")}
        known, held = ({answer for answer in chosen[half] if answer in manners} for half in chosen)
        assert len(known) == 1
        assert held == known


# The placebo


def test_the_placebo_is_about_nobody() -> None:
    lines = record._PLACEBO.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) >= 80
    for line in lines:
        assert 6 <= len(line.split()) <= 20, line
        assert not re.search(r"\b(I|you|your|my|me|user|we|our)\b", line, re.IGNORECASE), line
        assert telling_words(line) == [], line

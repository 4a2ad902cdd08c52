"""Calls to the model that writes, each kept as soon as it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from evenhand.loops import run_async, together
from evenhand.models import CallError, Model
from evenhand.runner.plan import trial_seed
from evenhand.study import Store
from evenhand.study.rows import MemoryKey, encode_request, learned_from, learning_row
from evenhand.types import Decoding, Message, Request, Response

_KEY: MemoryKey = ("evolved defense", "", "")


class Author:
    """Writes, and remembers what it wrote.

    Args:
        directory: where its calls are kept.
        model: what writes.
        decoding: how.
        seed: from which every call's seed derives.
    """

    def __init__(self, directory: Path, model: Model, decoding: Decoding, seed: int) -> None:
        self._directory, self._model, self._decoding, self._seed = directory, model, decoding, seed

    def write(self, asked: Sequence[tuple[int, str]]) -> list[Response | None]:
        """Answers to numbered requests, by an earlier run where they are the same; None where a call failed for good.

        Raises:
            ModelError: no call can succeed.
            StoreError: the directory cannot be written.
        """
        return run_async(self._all([self._request(number, text) for number, text in asked], [n for n, _ in asked]))

    def _request(self, number: int, text: str) -> Request:
        return Request((Message("user", text),), self._decoding, trial_seed(self._seed, (*_KEY, "", number)))

    async def _all(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Response | None]:
        with Store.create(self._directory) as store:
            known = [_kept(store, n, request) for n, request in zip(numbers, requests, strict=True)]
            if None not in known:
                return known
            try:
                await self._model.start()
                places = asyncio.Semaphore(self._model.concurrency)
                return await together(
                    self._one(store, n, request, places) if answer is None else _at_once(answer)
                    for n, request, answer in zip(numbers, requests, known, strict=True)
                )
            finally:
                await self._model.aclose()

    async def _one(self, store: Store, number: int, request: Request, places: asyncio.Semaphore) -> Response | None:
        async with places:
            try:
                response = await self._model.respond(request)
            except CallError:
                return None
        with store.transaction():
            store.add_learning([learning_row(_KEY, number, 0, request, response)])
        return response


def _kept(store: Store, number: int, request: Request) -> Response | None:
    row = store.learned(_KEY, number)
    same = row and row["request"] == encode_request(request.messages).decode() and row["seed"] == request.seed
    return learned_from(row) if row and same else None


async def _at_once(answer: Response) -> Response:
    return answer

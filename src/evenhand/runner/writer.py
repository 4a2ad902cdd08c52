"""Group commits: whatever has arrived is written in one transaction while the next batch gathers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evenhand.study import Store


class Writer:
    """Writes trials, failures and judgements in the order they come.

    :meth:`add` returns when its rows are committed, so that a worker that awaits it never has more than one answered
    call at risk. SQLite in WAL mode keeps a committed transaction through a kill of the process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evenhand-store")
        self._trials: list[tuple[Any, ...]] = []
        self._failures: list[tuple[Any, ...]] = []
        self._judgements: list[tuple[Any, ...]] = []
        self._committed: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def add(
        self,
        *,
        trial: tuple[Any, ...] | None = None,
        failure: tuple[Any, ...] | None = None,
        judgement: tuple[Any, ...] | None = None,
    ) -> None:
        """Queue rows and wait for their commit.

        Raises:
            StoreError: the store cannot be written; nothing of the batch is there.
        """
        if trial:
            self._trials.append(trial)
        if failure:
            self._failures.append(failure)
        if judgement:
            self._judgements.append(judgement)
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
        waiting = self._committed
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_all())
        # Shielded: a cancelled worker must not cancel the commit that others wait for.
        await asyncio.shield(waiting)

    async def aclose(self) -> None:
        if self._task:
            await self._task
        self._thread.shutdown(wait=True)

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._committed is not None:
            committed, self._committed = self._committed, None
            batch = (self._trials, self._failures, self._judgements)
            self._trials, self._failures, self._judgements = [], [], []
            try:
                await loop.run_in_executor(self._thread, self._write, *batch)
            except Exception as error:  # the workers that wait must learn of it
                committed.set_exception(error)
                committed.exception()  # marks it as seen even when every waiter was cancelled
            else:
                committed.set_result(None)

    def _write(
        self,
        trials: list[tuple[Any, ...]],
        failures: list[tuple[Any, ...]],
        judgements: list[tuple[Any, ...]],
    ) -> None:
        with self._store.transaction():
            if trials:
                self._store.add_trials(trials)
            if failures:
                self._store.add_failures(failures)
            if judgements:
                self._store.add_judgements(judgements)

"""Group commits: whatever has arrived is written in one transaction while the next batch gathers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evenhand.study import Store


class Writer:
    """Writes trials, failures and judgements in the order they come.

    A row is on its way as soon as it is put. A worker that awaits :meth:`committed` before its next call never has more
    than one answered call at risk: SQLite in WAL mode keeps a committed transaction through a kill of the process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evenhand-store")
        self._trials: list[tuple[Any, ...]] = []
        self._failures: list[tuple[Any, ...]] = []
        self._judgements: list[tuple[Any, ...]] = []
        self._meta: list[tuple[Any, ...]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def put(
        self,
        *,
        trial: tuple[Any, ...] | None = None,
        failure: tuple[Any, ...] | None = None,
        judgement: tuple[Any, ...] | None = None,
        meta: tuple[str, object] | None = None,
    ) -> None:
        """Queue rows for the next transaction."""
        if trial:
            self._trials.append(trial)
        if failure:
            self._failures.append(failure)
        if judgement:
            self._judgements.append(judgement)
        if meta:
            self._meta.append(meta)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_all())

    async def committed(self) -> None:
        """Wait until everything that was put so far is on disk.

        Raises:
            StoreError: the store could not be written, now or before.
        """
        if self._error is not None:
            raise self._error
        if self._task is None or self._task.done():
            return
        # A future of one's own, so that a cancelled worker cancels nothing that others wait for.
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def aclose(self) -> None:
        """Write what is left."""
        if self._task:
            await self._task
        self._thread.shutdown(wait=True)

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._trials or self._failures or self._judgements or self._meta or self._waiters:
            batch = (self._trials, self._failures, self._judgements, self._meta)
            self._trials, self._failures, self._judgements, self._meta = [], [], [], []
            waiters, self._waiters = self._waiters, []
            if self._error is None:
                try:
                    await loop.run_in_executor(self._thread, self._write, *batch)
                except Exception as error:  # the workers that wait must learn of it
                    self._error = error
            for waiter in waiters:
                if waiter.done():
                    continue
                if self._error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(self._error)

    def _write(
        self,
        trials: list[tuple[Any, ...]],
        failures: list[tuple[Any, ...]],
        judgements: list[tuple[Any, ...]],
        meta: list[tuple[Any, ...]],
    ) -> None:
        with self._store.transaction():
            if trials:
                self._store.add_trials(trials)
            if failures:
                self._store.add_failures(failures)
            if judgements:
                self._store.add_judgements(judgements)
            if meta:
                self._store.add_meta(meta)

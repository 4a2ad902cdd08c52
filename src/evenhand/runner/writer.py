"""Group commits: whatever has arrived is written in one transaction while the next batch gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evenhand.study import Store

Row = tuple[Any, ...]


class Writer:
    """Writes rows of every kind in the order they come.

    A row is on its way as soon as it is put. A worker that awaits :meth:`committed` before its next call never has more
    than one answered call at risk: SQLite in WAL mode keeps a committed transaction through a kill of the process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evenhand-store")
        self._add: dict[str, Callable[[list[Row]], None]] = {
            "trial": store.add_trials,
            "failure": store.add_failures,
            "judgement": store.add_judgements,
            "meta": store.add_meta,
            "learning": store.add_learning,
            "part": store.add_parts,
            "memory": store.add_memories,
            "round": store.add_rounds,
        }
        self._queued: dict[str, list[Row]] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    def put(self, **rows: Row) -> None:
        """Queue rows for the next transaction, each under its kind: ``trial``, ``failure``, ``judgement``, ``meta``,
        ``learning``, ``memory`` or ``round``."""
        for kind, row in rows.items():
            self._queued.setdefault(kind, []).append(row)
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
        while self._queued or self._waiters:
            batch, self._queued = self._queued, {}
            waiters, self._waiters = self._waiters, []
            if self._error is None:
                try:
                    await loop.run_in_executor(self._thread, self._write, batch)
                except Exception as error:  # the workers that wait must learn of it
                    self._error = error
            for waiter in waiters:
                if waiter.done():
                    continue
                if self._error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(self._error)

    def _write(self, batch: dict[str, list[Row]]) -> None:
        with self._store.transaction():
            # Trials first: a judgement is of one.
            for kind, add in self._add.items():
                if kind in batch:
                    add(batch[kind])

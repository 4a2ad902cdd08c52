"""The writer: what it says is on disk is on disk, and a failure reaches everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import StoreError
from evenhand.runner.writer import Writer
from evenhand.study import Store


class Disk:
    """A store that takes its time, and may be full."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.written: list[tuple[Any, ...]] = []
        self.transactions = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.transactions += 1
        yield

    def add_trials(self, rows: list[tuple[Any, ...]]) -> None:
        if len(self.written) + len(rows) > self.room:
            raise OSError("disk full")
        self.written += rows

    add_failures = add_judgements = add_meta = add_learning = add_memories = add_rounds = add_parts = add_trials


async def test_committed_means_written_and_rows_share_transactions() -> None:
    disk = Disk()
    writer = Writer(disk)  # type: ignore[arg-type]

    async def worker(number: int) -> None:
        for n in range(5):
            writer.put(trial=(number, n))
            await asyncio.sleep(0)
            writer.put(judgement=(number, n, "judged"))
            await writer.committed()
            assert (number, n) in disk.written
            assert (number, n, "judged") in disk.written

    await asyncio.gather(*(worker(n) for n in range(50)))
    await writer.aclose()
    assert len(disk.written) == 50 * 5 * 2
    assert disk.transactions < 50


async def test_a_full_disk_is_told_to_everybody_from_then_on() -> None:
    writer = Writer(Disk(room=1))  # type: ignore[arg-type]
    writer.put(trial=(1,))
    await writer.committed()
    writer.put(trial=(2,))
    writer.put(judgement=(2, "judged"))
    with pytest.raises(OSError, match="disk full"):
        await writer.committed()
    writer.put(trial=(3,))
    with pytest.raises(OSError, match="disk full"):
        await writer.committed()
    await writer.aclose()


async def test_a_cancelled_worker_cancels_nobody_else_and_loses_nothing() -> None:
    disk = Disk()
    writer = Writer(disk)  # type: ignore[arg-type]
    writer.put(trial=(1,))
    waits = [asyncio.create_task(writer.committed()) for _ in range(2)]
    await asyncio.sleep(0)
    waits[0].cancel()
    await waits[1]
    assert disk.written == [(1,)]
    writer.put(trial=(2,))
    await writer.aclose()
    assert disk.written == [(1,), (2,)]


def test_a_commit_that_fails_without_a_word_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        """Fails as Python's SQLite does where another thread has taken its error away."""

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            raise SystemError("error return without exception set")

    with Store.create(tmp_path / "study") as store:
        monkeypatch.setattr(store, "_db", Silent())
        with pytest.raises(StoreError, match="the disk did not take it"), store.transaction():
            pass
        monkeypatch.undo()

"""What may befall a process: it dies at a step, its clock jumps, its files may not grow.

A step is what changes a file or a store: opening one for writing, cutting it to nothing, renaming, removing, making a
folder, each statement of SQLite that writes, each commit. Dying is by kill -9: nothing is closed, flushed or undone.
``python -m tests.trouble ARGUMENTS`` is ``evenhand ARGUMENTS`` with what the variable says.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

VARIABLE = "EVENHAND_TESTS_TROUBLE"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}


@dataclass(frozen=True)
class Trouble:
    """What befalls a process.

    Attributes:
        under: the folder whose changes are steps.
        dies_at: the step before which it dies, from 1; 0 for none.
        log: a file that every step is written to; "" for none.
        clock: seed of a clock that jumps by decades; None for one that does not.
        file_bytes: how large a file may get; 0 for no limit.
    """

    under: str = ""
    dies_at: int = 0
    log: str = ""
    clock: int | None = None
    file_bytes: int = 0

    @property
    def env(self) -> dict[str, str]:
        """For a process that it shall befall."""
        return {VARIABLE: json.dumps(asdict(self))}


def steps_of(log: Path) -> list[str]:
    """The steps that a process wrote down, in their order."""
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def arm(env: Mapping[str, str] = os.environ) -> None:
    """Let befall this process what its variable says."""
    if VARIABLE not in env:
        return
    trouble = Trouble(**json.loads(env[VARIABLE]))
    if trouble.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.file_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if trouble.clock is not None:
        _jump(trouble.clock)
    if trouble.under:
        _Steps(trouble).watch()


def _jump(seed: int) -> None:
    draw = random.Random(seed)
    time.time = lambda: draw.uniform(-1e9, 4e9)
    time.time_ns = lambda: int(time.time() * 1e9)


class _Steps:
    """Counts the steps of this process, and ends it at one."""

    def __init__(self, trouble: Trouble) -> None:
        self._under = Path(trouble.under).resolve()
        self._dies_at = trouble.dies_at
        self._log = os.open(trouble.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if trouble.log else None
        self._count = 0
        self._busy = False

    def watch(self) -> None:
        sys.addaudithook(self._heard)
        sqlite3.connect = partial(sqlite3.connect, factory=self._connections())  # type: ignore[assignment]

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        if self._busy or (event != "open" and event not in _CHANGES):
            return
        with self._alone():
            if event == "open":
                path, _, flags = given
                if isinstance(flags, int) and flags & _WRITES and (file := self._inside(path)):
                    self._step(f"open {file}")
                    if flags & os.O_TRUNC:
                        self._step(f"cut {file}", cut=str(file))
            else:
                folder = given[-1] if event != "os.truncate" and isinstance(given[-1], int) else -1
                if file := self._inside(given[0], folder):
                    self._step(f"{event} {file}")

    def _inside(self, path: object, folder: int = -1) -> str:
        """A path below the folder, "" for another one."""
        if not isinstance(path, str | bytes | os.PathLike):
            return ""
        found = Path(os.fsdecode(path))
        if not found.is_absolute():
            found = (Path(f"/proc/self/fd/{folder}").readlink() if folder >= 0 else Path.cwd()) / found
        return str(found) if found.is_relative_to(self._under) else ""

    def _step(self, name: str, cut: str = "") -> None:
        self._count += 1
        if self._log is not None:
            os.write(self._log, f"{name}\n".encode())
        if self._count == self._dies_at:
            if cut:
                os.close(os.open(cut, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Without hearing oneself."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _connections(self) -> type[sqlite3.Connection]:
        steps = self

        class Watched(sqlite3.Connection):
            """Its statements that write, and its commits, are steps."""

            def __init__(self, path: Any, *args: Any, **more: Any) -> None:
                super().__init__(path, *args, **more)
                self.inside = bool(steps._inside(path))

            def told(self, what: str) -> None:
                if self.inside and not what.startswith(("SELECT", "WITH")):
                    with steps._alone():
                        steps._step(" ".join(what.split())[:60])

            def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
                self.told(sql.strip())
                return super().execute(sql, *given)

            def executemany(self, sql: str, *given: Any) -> sqlite3.Cursor:
                self.told(sql.strip())
                return super().executemany(sql, *given)

            def commit(self) -> None:
                self.told("commit")
                super().commit()

            def __exit__(self, *raised: Any) -> Any:
                self.told("commit" if raised[0] is None else "roll back")
                return super().__exit__(*raised)

            def close(self) -> None:
                self.told("close")
                super().close()

        return Watched


if __name__ == "__main__":
    from evenhand.cli.main import main

    arm()
    main()

"""How a run is watched."""

from __future__ import annotations

import time
from typing import Protocol, Self


class Progress(Protocol):
    """Told of everything a person wants to see while a run goes on."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def stage(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def begin(self, total: int, done: int) -> None: ...
    def advance(self, *, failed: bool, retries: int) -> None: ...


class Silent:
    """No display."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def stage(self, text: str) -> None:
        return

    def note(self, text: str) -> None:
        return

    def begin(self, total: int, done: int) -> None:
        return

    def advance(self, *, failed: bool, retries: int) -> None:
        return


class Rate:
    """Trials per second over the recent past, for local models that answer in bursts as well as for fast servers."""

    def __init__(self, window_s: float = 30.0) -> None:
        self._window_s = window_s
        self._start = time.monotonic()
        self._marks: list[tuple[float, int]] = [(self._start, 0)]
        self._count = 0

    def tick(self) -> float:
        """Count one trial; return the current rate."""
        self._count += 1
        now = time.monotonic()
        if now - self._marks[-1][0] > self._window_s / 30:
            self._marks.append((now, self._count))
            while len(self._marks) > 2 and now - self._marks[1][0] > self._window_s:
                self._marks.pop(0)
        since, before = self._marks[0]
        return (self._count - before) / max(now - since, 1e-9)

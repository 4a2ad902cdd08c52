"""How a run is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from evenhand.runner.lagging import Lag


class Progress(Protocol):
    """Told of everything a person wants to see while a run goes on."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def stage(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def begin(self, total: int, done: int) -> None: ...
    def advance(self, *, failed: bool, retries: int) -> None: ...
    def learning(self, memories: int, calls: int) -> None:
        """How many memories are being learned now, and how many calls for memories this run has made."""

    def lagging(self, lags: Sequence[Lag]) -> None:
        """Which identity and which suite lag behind the others; told now and then, empty when none does any more."""


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

    def learning(self, memories: int, calls: int) -> None:
        return

    def lagging(self, lags: Sequence[Lag]) -> None:
        return


class Part:
    """One of several runs that share a display.

    Args:
        display: what is shown for all of them; entered, and told of their trials together, by whoever runs them.
        title: what this run is called.
        first: whether it is the one that loads the model.
    """

    def __init__(self, display: Progress, title: str, *, first: bool) -> None:
        self._display, self._title, self._tells = display, title, first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def stage(self, text: str) -> None:
        if self._tells:
            self._display.stage(f"{self._title}: {text}")

    def note(self, text: str) -> None:
        self._display.note(f"{self._title}: {text}")

    def begin(self, total: int, done: int) -> None:
        self._tells = True
        self._display.stage(self._title)

    def advance(self, *, failed: bool, retries: int) -> None:
        self._display.advance(failed=failed, retries=retries)

    def learning(self, memories: int, calls: int) -> None:
        self._display.learning(memories, calls)

    def lagging(self, lags: Sequence[Lag]) -> None:
        self._display.lagging(lags)


class Rate:
    """Trials per second over the recent past, for local models that answer in bursts as well as for fast servers.

    It counts up to the end of the last burst only: what lies between is the time that the next one takes. Until the
    first wave of answers has had twice the time of its first answer, nothing is known.

    Args:
        window_s: the least time to look back over; half of the time so far where that is longer.
        clock: seconds.
    """

    def __init__(self, window_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s, self._clock = window_s, clock
        self._start = self._last = clock()
        self._first: float | None = None
        self._marks: list[tuple[float, int]] = [(self._start, 0)]
        self._count = 0

    def tick(self) -> float | None:
        """Count one trial; return the current rate, None while it is not known."""
        now = self._clock()
        self._first = now if self._first is None else self._first
        # A mark is the end of the trials before this one, unless both are of one burst.
        marked, counted = self._marks[-1]
        mean_gap = (now - marked) / (self._count + 1 - counted)
        if self._count and self._last - marked > self._window_s / 30 and now - self._last > mean_gap / 2:
            self._marks.append((self._last, self._count))
        self._count, self._last = self._count + 1, now
        window = max(self._window_s, (now - self._start) / 2)
        while len(self._marks) > 2 and now - self._marks[1][0] > window:
            self._marks.pop(0)
        (since, before), (until, count) = self._marks[0], self._marks[-1]
        if until <= since or now - self._start < 2 * (self._first - self._start):
            return None
        return (count - before) / (until - since)

"""The live display of a run: a bar with ETA and trials per second, or plain lines when nobody watches a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from evenhand.cli.console import Terminal
from evenhand.runner.lagging import Lag
from evenhand.runner.progress import Rate

_LINE_EVERY_S = 15.0
_NAME = 40


class RunDisplay:
    """Shows progress on standard error."""

    def __init__(self) -> None:
        self._console = Terminal(stderr=True)
        self._live = self._console.is_terminal
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            TextColumn("{task.fields[trouble]}", style="yellow"),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("starting", total=None, rate="", eta="", trouble="")
        self._rate = Rate()
        self._total = self._done = self._failed = 0
        self._lags: Sequence[Lag] = ()
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        self._bar.update(self._task, description=text)
        if not self._live:
            self._console.print(text, highlight=False)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def begin(self, total: int, done: int) -> None:
        self._total, self._done, self._rate = total, done, Rate()
        self._bar.update(self._task, description="trials", total=total, completed=done)
        if not self._live:
            self._console.print(f"{total} trials, {done} of them answered before", highlight=False)

    def advance(self, *, failed: bool, retries: int) -> None:
        self._done += 1
        self._failed += failed
        rate = self._rate.tick()
        speed = eta = ""
        if rate:
            speed = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
            eta = f"ETA {_clock((self._total - self._done) / rate)}"
        told = [f"{self._failed} failed" * bool(self._failed), f"{retries} retries" * bool(retries)]
        trouble = ", ".join(filter(None, [*told, *(f"{_short(lag.name)} {lag.trials} behind" for lag in self._lags)]))
        if self._live:
            self._bar.update(self._task, completed=self._done, rate=speed, eta=eta, trouble=trouble)
        else:
            self._line(f"{self._done}/{self._total}", speed, eta, trouble)

    def learning(self, memories: int, calls: int) -> None:
        what = f"learning {memories} memories, {calls} calls so far" if memories else "trials"
        self._bar.update(self._task, description=what)
        if not self._live and memories:
            self._line(f"{self._done}/{self._total}", what)

    def lagging(self, lags: Sequence[Lag]) -> None:
        self._lags = lags

    def _line(self, *parts: str) -> None:
        """A line now and then, where nobody watches a terminal."""
        if time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print("  ".join(part for part in parts if part), highlight=False)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""A watchdog: no answer keeps a judge busy for so long that every other call waits.

Judges compute in the thread of the event loop. What they do takes linear time, and this is for what was overlooked: a
timer of the processor interrupts a step that goes on, also in the middle of a regular expression, and the answer gets
no verdict. It needs the main thread and a system with such timers (not Windows); elsewhere nothing is interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

SECONDS = 10.0
_SHORTEST = 0.001


class OverTimeError(BaseException):
    """A step was interrupted. No ``Exception``: what it interrupts may catch those."""


class Limited(Generic[T]):
    """Something to await, each step of which may compute for so long; waiting costs nothing.

    Args:
        work: what to run.
        seconds: of the processor, this thread's alone, for each step between two waits.

    Raises:
        OverTimeError: a step went on for longer.
    """

    def __init__(self, work: Coroutine[Any, Any, T], seconds: float) -> None:
        self._work = work
        self._seconds = seconds

    def __await__(self) -> Generator[Any, Any, T]:
        thrown: BaseException | None = None
        while True:
            is_armed = _WATCH.arm(self._seconds)
            try:
                waited_for = self._work.send(None) if thrown is None else self._work.throw(thrown)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                if is_armed:
                    _WATCH.disarm()
            thrown = None
            try:
                yield waited_for
            except BaseException as error:  # for the work to see: it was cancelled, or what it waits for failed
                thrown = error


class _Watch:
    """The one timer of the process."""

    def __init__(self) -> None:
        self._ends = 0.0  # in this thread's time on a processor; 0 while nothing is watched
        self._is_installed = False

    def arm(self, seconds: float) -> bool:
        """Begin to watch a step; False where another one is watched that this is a part of, or where none can be."""
        if self._ends or not self._can_interrupt():
            return False
        self._ends = time.thread_time() + seconds
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        return True

    def disarm(self) -> None:
        self._ends = 0.0
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _can_interrupt(self) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return False
        if not self._is_installed:
            if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGVTALRM) != signal.SIG_DFL:
                return False  # no such timers, or somebody else's
            signal.signal(signal.SIGVTALRM, self._interrupt)
            self._is_installed = True
        return True

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        left = self._ends - time.thread_time()
        if not self._ends:
            return
        if left > _SHORTEST:  # it counts the other threads, too
            signal.setitimer(signal.ITIMER_VIRTUAL, left)
            return
        self._ends = 0.0
        raise OverTimeError


_WATCH = _Watch()

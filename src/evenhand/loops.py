"""Running coroutines from ordinary functions, in scripts and in notebooks; and what long loops do without."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from evenhand.errors import EvenhandError

T = TypeVar("T")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    A notebook has an event loop running already, in which no second one may start; a thread of its own may have one.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(main)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, main).result()


def _run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop that there is here."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@contextmanager
def rare_collections() -> Iterator[None]:
    """What makes many short-lived objects and no cycles spends a tenth of its time looking for some."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def graceful_interrupt(stop: Callable[[], object]) -> Iterator[None]:
    """The first Ctrl-C asks to finish, by ``stop``; the second one interrupts as usual."""
    loop = asyncio.get_running_loop()

    def on_interrupt() -> None:
        stop()
        loop.remove_signal_handler(signal.SIGINT)

    try:
        loop.add_signal_handler(signal.SIGINT, on_interrupt)
    except (RuntimeError, ValueError, NotImplementedError):  # not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What coroutines return, run at once; the first error cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        first = next((e for e in errors.exceptions if isinstance(e, EvenhandError)), errors.exceptions[0])
        raise first from None
    return [task.result() for task in tasks]

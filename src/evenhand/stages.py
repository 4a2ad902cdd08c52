"""What a long command is doing, told to whoever listens; nobody has to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Page = TypeVar("Page", bound=Sized)

_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def stage(text: str) -> None:
    """Say what is done from now on."""
    if listener := _LISTENER.get():
        listener(text)


def lasting(text: str, begun: float) -> str:
    """A stage and for how long it has gone on: "computing (1:05)".

    Args:
        text: the stage.
        begun: when, by ``time.monotonic``.
    """
    minutes, seconds = divmod(int(time.monotonic() - begun), 60)
    return f"{text} ({minutes}:{seconds:02d})"


def counted(pages: Iterable[Page], what: str) -> Iterator[Page]:
    """Pages as they come; how many rows have come is said on the way."""
    done = 0
    for page in pages:
        done += len(page)
        stage(f"{what}: {done:,}")
        yield page


@contextmanager
def told_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Let somebody hear of every stage inside.

    Args:
        listener: told what is done from now on.
    """
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)

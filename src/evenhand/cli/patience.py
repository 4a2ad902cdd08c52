"""What a command that takes long is doing, on standard error; one that does not says nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evenhand.stages import lasting, told_to

# On a terminal somebody waits; where nobody does, a line now and then tells that it goes on.
_SHOWN_AFTER_S, _SHOWN_EVERY_S = 1.0, 0.25
_TOLD_AFTER_S, _TOLD_EVERY_S = 60.0, 60.0


@contextmanager
def patience(what: str) -> Iterator[None]:
    """Show what goes on inside, and for how long it has.

    Args:
        what: until a stage is told.
    """
    told, over, started = [what], threading.Event(), time.monotonic()

    def line() -> str:
        return lasting(told[0], started)

    def listen(text: str) -> None:
        told[0] = text

    showing = threading.Thread(target=_show, args=(line, over), daemon=True)
    showing.start()
    try:
        with told_to(listen):
            yield
    finally:
        over.set()
        showing.join()


def _show(line: Callable[[], str], over: threading.Event) -> None:
    if over.wait(_SHOWN_AFTER_S):
        return
    from rich.text import Text

    from evenhand.cli.console import Terminal

    terminal = Terminal(stderr=True)
    if terminal.is_terminal:
        with terminal.status(Text(line())) as status:
            while not over.wait(_SHOWN_EVERY_S):
                status.update(Text(line()))
        return
    wait = _TOLD_AFTER_S - _SHOWN_AFTER_S
    while not over.wait(wait):
        terminal.print(line(), highlight=False)
        wait = _TOLD_EVERY_S

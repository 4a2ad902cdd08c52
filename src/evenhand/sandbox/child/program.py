"""The process of the program: nothing here is trusted, and no test is known here."""

from __future__ import annotations

import builtins
import sys

from .pipes import ClosedError, Pipe
from .values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


ERROR_CHARS = 200


def serve(pipe: Pipe) -> None:
    """Load the program, then evaluate what is asked until the other side ends."""
    # No interpreter can be started here. Told so, multiprocessing says it; else it would fail at some times only.
    sys.executable = None  # type: ignore[assignment]
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    # Taken before the program runs, which may replace anything that is looked up later.
    receive, send, to_plain, describe = pipe.receive, pipe.send, encode, _describe
    try:
        while True:
            request = receive()
            try:
                if "code" in request:
                    _load(request["code"], request["setup"], space)
                    answer = {"value": None}
                else:
                    asked = compile(request["expression"], "test", "eval")
                    answer = {"value": to_plain(eval(asked, space))}
            except BaseException as error:
                answer = describe(error)
            send(answer)
    except ClosedError:
        return


def _load(code: str, setup: str, space: dict[str, Any]) -> None:
    """Run the program and the data set's set-up, which may need the program's own classes."""
    late = False
    try:
        exec(compile(setup, "setup", "exec"), space)
    except NameError:
        late = True
    exec(compile(code, "program", "exec"), space)
    if late:
        exec(compile(setup, "setup", "exec"), space)


def _describe(error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)
    except BaseException:
        text = "(cannot be shown)"
    return {"error": type(error).__name__, "message": text[:ERROR_CHARS]}

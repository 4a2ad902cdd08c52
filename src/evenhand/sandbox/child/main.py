"""The first process inside: isolates itself, then starts the tests' process, which starts the program's.


Each of the two is the first of a process namespace of its own. The program's process is started before the tests are
read, so that it holds none of them, and it cannot see the other one.
"""

from __future__ import annotations

import json
import os
import sys

from .asserts import run_all
from .isolation import NEWPID, Isolation
from .pipes import Pipe
from .program import serve
from .watching import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """Run as ``python -c ... FOLDER REPORT_FD ISOLATE LIMITS`` with the work on standard input."""
    report, isolate, limits = int(sys.argv[2]), sys.argv[3] == "isolate", json.loads(sys.argv[4])
    sys.dont_write_bytecode = True  # ours is written, so that the next program need not compile it
    isolation = Isolation()
    nothing = os.open(os.devnull, os.O_RDONLY)
    if isolate:
        try:
            watch = Watch()
            isolation.enter(os.getcwd())
        except OSError as error:
            _tell(report, problem=_told(error))
            return
        tests_process = os.fork()
        if tests_process:
            os.close(report)
            watch.until_end(tests_process, limits)
            os._exit(0)
        watch.close()
        isolation.unshare(NEWPID)
    pipe = _start_program(isolation, limits, nothing, report)
    _drop(isolation, limits, report, hidden=True)
    work = json.loads(sys.stdin.buffer.read())
    run_all(work["tests"], pipe, work["code"], work["setup"], lambda **entry: _tell(report, **entry))
    _tell(report, done=True)
    os._exit(0)


def _start_program(isolation: Isolation, limits: dict[str, int], nothing: int, report: int) -> Pipe:
    asked_read, asked_write = os.pipe()
    said_read, said_write = os.pipe()
    if os.fork():
        os.close(asked_read)
        os.close(said_write)
        return Pipe(said_read, asked_write)
    _drop(isolation, limits, report, hidden=False)
    for descriptor in (report, asked_write, said_read):
        os.close(descriptor)
    os.dup2(nothing, 0)
    serve(Pipe(asked_read, said_write))
    os._exit(0)


def _drop(isolation: Isolation, limits: dict[str, int], report: int, *, hidden: bool) -> None:
    """Give up all rights, or run nothing."""
    try:
        isolation.drop(limits, hidden=hidden)
    except OSError as error:
        _tell(report, problem=_told(error))
        os._exit(1)


def _told(error: OSError) -> str:
    return f"{error.strerror} ({os.strerror(error.errno or 0)})"


def _tell(report: int, **entry: Any) -> None:
    os.write(report, (json.dumps(entry) + "\n").encode())

"""Runs a program that a model wrote, together with its tests, where it can do no harm.

The floor: two processes in user, network, process, IPC, host-name and mount namespaces of their own. They see Python's
library and the shared libraries, read-only, and a folder in memory; the environment is empty, no capability is left and
calls that no program needs are refused. Memory, processor time, files and processes are limited for each program, and
after a wall-clock limit the whole tree is killed. The program's process knows no test and decides nothing: the other
one asks it for values and compares them. Where the kernel grants no namespaces nothing is run, unless one asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

_START = "import sys; sys.path.insert(0, sys.argv[1]); from child.main import main; del sys.path[0]; main()"
_FOLDER = Path(__file__).parent
_REPORT_BYTES = 1 << 20  # some forty thousand tests


@dataclass(frozen=True)
class Limits:
    """Limits of one program: seconds, MiB and counts. Time and memory also of all its processes together."""

    wall_s: float = 10.0
    cpu_s: int = 5
    memory_mib: int = 512
    file_mib: int = 1
    open_files: int = 64
    processes: int = 8


@dataclass(frozen=True)
class Outcome:
    """What a program did.

    Attributes:
        passed: one flag per test.
        error: the first error's type and message, or "".
        problem: why the program could not be run at all, or "".
    """

    passed: tuple[bool, ...]
    error: str = ""
    problem: str = ""


async def run_tests(
    code: str, tests: Sequence[str], *, setup: str = "", limits: Limits | None = None, isolate: bool = True
) -> Outcome:
    """Run ``setup`` and ``code``, then each test on its own, and tell which tests passed.

    Args:
        code: the program.
        tests: statements that raise where the program is wrong.
        setup: what the data set runs with the program, before it or, where it needs the program's names, behind it.
        limits: of each of the two processes.
        isolate: False runs the program with nothing but the limits: it could then read this user's files and reach
            the network.
    """
    limits = limits or Limits()
    if isolate and not sys.platform.startswith("linux"):
        return Outcome((), problem="the sandbox needs Linux namespaces; code is not run on this system")
    with tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True) as scratch:
        read_end, write_end = _report_pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", _START, str(_FOLDER), str(write_end),
                "isolate" if isolate else "limits", orjson.dumps(asdict(limits)).decode(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                env={}, cwd=scratch, pass_fds=(write_end,), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            # An answer may hold half a surrogate pair, which is no UTF-8 and no harm: Python refuses such a program.
            work = json.dumps({"code": code, "tests": list(tests), "setup": setup}).encode()
            timed_out = not await _finish(process, work, limits.wall_s)
            report = await asyncio.to_thread(_drain, read_end)
        finally:
            _kill(process)
            os.close(read_end)
    return _read_report(report, len(tests), timed_out, limits)


async def _finish(process: asyncio.subprocess.Process, work: bytes, wall_s: float) -> bool:
    try:
        async with asyncio.timeout(wall_s):
            await process.communicate(work)
            return True
    except TimeoutError:
        return False
    finally:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _report_pipe() -> tuple[int, int]:
    """A pipe that holds a whole report, where the system makes one as large."""
    read_end, write_end = os.pipe()
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _REPORT_BYTES)
    return read_end, write_end


def _drain(read_end: int) -> bytes:
    """What the child wrote, at most ``_REPORT_BYTES``: its writers are dead."""
    os.set_blocking(read_end, False)
    report = b""
    with contextlib.suppress(BlockingIOError):
        while len(report) < _REPORT_BYTES and (part := os.read(read_end, _REPORT_BYTES)):
            report += part
    return report


def _read_report(report: bytes, count: int, timed_out: bool, limits: Limits) -> Outcome:
    passed = [False] * count
    error = f"no result within {limits.wall_s:g} s" if timed_out else ""
    finished = False
    for entry in _entries(report):
        if "problem" in entry:
            return Outcome((), problem=f"no sandbox: {entry['problem']}; code is not run without it")
        number = entry.get("test")
        if entry.get("done"):
            finished = True
        elif entry.get("ok") is True and isinstance(number, int) and 0 <= number < count:
            passed[number] = True
        elif not error and "error" in entry:
            error = str(entry["error"])
    if not finished and not error:
        error = "the program ended itself or hit a limit before its tests were over"
    return Outcome(tuple(passed), error)


def _entries(report: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a report. What is none (a line cut off by a kill, or worse) says nothing, and ends nothing."""
    for line in report.splitlines():
        with contextlib.suppress(orjson.JSONDecodeError):
            entry = orjson.loads(line)
            if isinstance(entry, dict):
                yield entry

"""Runs a program that a model wrote, together with its tests, where it can do no harm.

The floor: two processes in user (or nobody's), network, process, IPC, host-name and mount namespaces of their own. They
see Python's library and the shared libraries, read-only, and a folder in memory; the environment is empty and no
capability is left. Memory, processor time, files and processes are limited, and after a wall-clock limit the whole tree
is killed. The program's process knows no test and decides nothing: the other one asks it for values and compares them.
Where the kernel grants no namespaces nothing is run, unless one asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

_START = "import sys; sys.path.insert(0, sys.argv[1]); from child.main import main; del sys.path[0]; main()"
_FOLDER = Path(__file__).parent
_REPORT_BYTES = 65536


@dataclass(frozen=True)
class Limits:
    """Limits of one program: seconds, MiB and counts."""

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
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-B", "-c", _START, str(_FOLDER), str(write_end),
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
            work = orjson.dumps({"code": code, "tests": list(tests), "setup": setup})
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


def _drain(read_end: int) -> bytes:
    """What the child wrote, at most ``_REPORT_BYTES``: a pipe holds no more, and its writers are dead."""
    os.set_blocking(read_end, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(read_end, _REPORT_BYTES)
    return b""


def _read_report(report: bytes, count: int, timed_out: bool, limits: Limits) -> Outcome:
    passed = [False] * count
    error = f"no result within {limits.wall_s:g} s" if timed_out else ""
    finished = False
    for line in report.splitlines():
        entry = orjson.loads(line)
        if "problem" in entry:
            return Outcome((), problem=f"no sandbox: {entry['problem']}; code is not run without it")
        if entry.get("done"):
            finished = True
        elif entry.get("ok"):
            passed[entry["test"]] = True
        elif not error:
            error = str(entry["error"])
    if not finished and not error:
        error = "the program ended itself or hit a limit before its tests were over"
    return Outcome(tuple(passed), error)

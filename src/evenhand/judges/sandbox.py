"""Runs a program that a model wrote, together with its tests, where it can do no harm.

The floor: a separate process in its own session, user, network, process and mount namespaces; limits on memory, CPU
time, file size, open files and processes; a scratch folder that is deleted; an empty environment; a wall-clock limit
after which the whole process tree is killed. Where the kernel grants no namespaces, nothing is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

_CHILD = Path(__file__).with_name("sandbox_child.py")
_REPORT_BYTES = 65536
ISOLATION_EXIT = 97


@dataclass(frozen=True)
class Limits:
    """Limits of one program: seconds, MiB and counts."""

    wall_s: float = 10.0
    cpu_s: int = 5
    memory_mib: int = 512
    file_mib: int = 1
    open_files: int = 64
    processes: int = 16


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


async def run_tests(code: str, tests: Sequence[str], *, setup: str = "", limits: Limits | None = None) -> Outcome:
    """Run ``setup`` and ``code``, then each test on its own, and tell which tests passed."""
    limits = limits or Limits()
    if not sys.platform.startswith("linux"):
        return Outcome((), problem="the sandbox needs Linux namespaces; code is not run on this system")
    nonce = secrets.token_hex(16)
    payload = orjson.dumps(
        {"code": code, "tests": list(tests), "setup": setup, "nonce": nonce, "limits": asdict(limits)}
    )
    with tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True) as scratch:
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-B", str(_CHILD), str(write_end), str(ISOLATION_EXIT),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                env={}, cwd=scratch, pass_fds=(write_end,), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            timed_out = not await _finish(process, payload, limits.wall_s)
            report = await asyncio.to_thread(_drain, read_end)
        finally:
            _kill(process)
            os.close(read_end)
    if process.returncode == ISOLATION_EXIT:
        return Outcome((), problem="this kernel grants no user or network namespace; code is not run without them")
    return _read_report(report, nonce, len(tests), timed_out, limits)


async def _finish(process: asyncio.subprocess.Process, payload: bytes, wall_s: float) -> bool:
    try:
        async with asyncio.timeout(wall_s):
            await process.communicate(payload)
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


def _read_report(report: bytes, nonce: str, count: int, timed_out: bool, limits: Limits) -> Outcome:
    passed = [False] * count
    error = f"no result within {limits.wall_s:g} s" if timed_out else ""
    finished = False
    for line in report.splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if not isinstance(entry, dict) or entry.get("nonce") != nonce:
            continue
        if entry.get("done"):
            finished = True
        elif entry.get("ok") and isinstance(entry.get("test"), int) and 0 <= entry["test"] < count:
            passed[entry["test"]] = True
        elif entry.get("error") and not error:
            error = str(entry["error"])
    if not finished and not error:
        error = "the program ended itself or hit a limit before its tests were over"
    return Outcome(tuple(passed), error)

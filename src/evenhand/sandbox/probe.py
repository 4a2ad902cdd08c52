"""What the sandbox of this machine holds back, found out by programs that try."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from evenhand.sandbox.host import Limits, run_tests

_LIMITS = Limits()
_PROGRAM = """
import ctypes, mmap, os, resource, socket, threading, time

libc = ctypes.CDLL(None, use_errno=True)

def reaches_network():
    with socket.socket() as caller:
        caller.settimeout(1)
        try:
            caller.connect(("192.0.2.1", 9))
        except TimeoutError:
            return True  # it was sent
        except OSError as error:
            return error.errno != 101
    return True

def sees(path):
    return os.path.exists(path)

def family():
    return os.getpid(), os.getppid()

def writes_beside_library():
    path = os.path.join(os.path.dirname(os.__file__), "evenhand-probe")
    try:
        open(path, "x").close()
    except OSError:
        return False
    os.remove(path)
    return True

def gains_rights():
    data = (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
    return any(data) or libc.prctl(39, 0, 0, 0, 0) != 1 or os.geteuid() == 0

def unlimited():
    kinds = ("AS", "CPU", "FSIZE", "NOFILE", "NPROC")
    return [k for k in kinds if resource.getrlimit(getattr(resource, "RLIMIT_" + k))[0] == resource.RLIM_INFINITY]

def environment():
    return [name for name in os.environ if name != "LC_CTYPE"]

def threads():
    started = []
    try:
        while len(started) < 99:
            started.append(threading.Thread(target=time.sleep, args=(0.1,)))
            started[-1].start()
    except RuntimeError:
        started.pop()
    for thread in started:
        thread.join()
    return len(started)

def refused(call, *arguments):
    ctypes.set_errno(0)
    return getattr(libc, call)(*arguments) == -1 and ctypes.get_errno() in (1, 38)

def finds_uncounted_memory():
    if not all((refused("shmget", 0, 1 << 20, 0o1600), refused("msgget", 0, 0o1600), refused("semget", 0, 9, 0o1600))):
        return True
    if not refused("memfd_create", b"x", 0) or not refused("mq_open", b"/x", 66, 384, 0):
        return True
    try:
        for number in range(64):
            with open(f"/dev/shm/{number}", "wb") as file:
                file.write(bytes(1 << 19))
    except OSError:
        return False
    return True

def makes_namespaces():
    fresh = 0x10000000 | 17
    return not refused("unshare", 0x10000000) or not refused("setns", 0, 0) or not refused("syscall", clone, fresh, 0)

clone = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine, -1)

def families():
    made = []
    for family in range(64):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
            made.append(family)
        except OSError:
            pass
    return made

def filtered():
    traces = refused("ptrace", 0, 0, 0, 0)
    return libc.prctl(21, 0, 0, 0, 0) == 2 and traces and refused("syscall", 425, 1, 0)
"""
# Runs beside the first: starts as many threads as it may, and locks a file of the library.
_NEIGHBOUR = """
import fcntl, os, threading, time
with open(os.__file__) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass
    try:
        while True:
            threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
    except RuntimeError:
        time.sleep(9)
"""
# Takes its memory in three processes, none of which takes too much.
_HOARDER = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        mine = b"x" * (60 << 20)
        time.sleep(9)
time.sleep(3)
"""
_PROBES = {
    "no network": "assert not reaches_network()",
    "no other processes": "assert family() == (1, 0)",
    "no files but libraries": "assert not sees('/etc/passwd') and not sees('/proc/self') and not sees('/home')",
    "libraries read-only": "assert not writes_beside_library()",
    "no rights, and none to gain": "assert not gains_rights()",
    "memory, processor, files and processes limited": "assert unlimited() == []",
    "empty environment": "assert environment() == []",
    "shared memory and queues within the limits": "assert not finds_uncounted_memory()",
    "no namespaces of its own": "assert not makes_namespaces()",
    "no sockets but Unix, TCP and UDP": "assert set(families()) <= {1, 2, 10}",
    "system calls filtered": "assert filtered()",
    "processes counted for each program": f"assert threads() == {_LIMITS.processes - 1}",  # may end it: the last
}
_HEAD_START_S = 0.7
_BESIDES = ("no locks on the machine's files", "memory and time counted over all processes")


@dataclass(frozen=True)
class Probe:
    """Whether the sandbox holds something back."""

    means: str
    active: bool


def probe_sandbox(*, isolate: bool = True) -> tuple[list[Probe], str]:
    """Try everything a program may not do.

    Returns:
        What held, and why nothing could be run at all, or "".
    """
    return asyncio.run(_probe(isolate))


async def _probe(isolate: bool) -> tuple[list[Probe], str]:
    neighbour = asyncio.create_task(run_tests(_NEIGHBOUR, [], limits=_LIMITS, isolate=isolate))
    hoarder = asyncio.create_task(_is_ended(_HOARDER, isolate))
    await asyncio.sleep(_HEAD_START_S)
    outcome = await run_tests(_PROGRAM, list(_PROBES.values()), limits=_LIMITS, isolate=isolate)
    unlocked = not neighbour.done() and not _is_locked(os.__file__)
    neighbour.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await neighbour
    ended = await hoarder
    passed = outcome.passed or (False,) * len(_PROBES)
    besides = [p and not outcome.problem for p in (unlocked, ended)]
    return [Probe(*pair) for pair in zip((*_PROBES, *_BESIDES), (*passed, *besides), strict=True)], outcome.problem


async def _is_ended(program: str, isolate: bool) -> bool:
    """Whether ``program`` is ended for its memory, long before its time is over."""
    limits = replace(_LIMITS, memory_mib=128)
    outcome = await run_tests(program, ["assert True"], limits=limits, isolate=isolate)
    return not any(outcome.passed)


def _is_locked(path: str) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    with Path(path).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

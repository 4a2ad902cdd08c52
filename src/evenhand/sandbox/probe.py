"""What the sandbox of this machine holds back, found out by a program that tries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from evenhand.sandbox.host import run_tests

_PROGRAM = """
import ctypes, os, resource, socket

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
    libc = ctypes.CDLL(None)
    data = (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
    return any(data) or libc.prctl(39, 0, 0, 0, 0) != 1 or os.geteuid() == 0

def unlimited():
    kinds = ("AS", "CPU", "FSIZE", "NOFILE", "NPROC")
    return [k for k in kinds if resource.getrlimit(getattr(resource, "RLIMIT_" + k))[0] == resource.RLIM_INFINITY]

def environment():
    return [name for name in os.environ if name != "LC_CTYPE"]
"""
_PROBES = {
    "no network": "assert not reaches_network()",
    "no other processes": "assert family() == (1, 0)",
    "no files but libraries": "assert not sees('/etc/passwd') and not sees('/proc/self') and not sees('/home')",
    "libraries read-only": "assert not writes_beside_library()",
    "no rights, and none to gain": "assert not gains_rights()",
    "memory, processor, files and processes limited": "assert unlimited() == []",
    "empty environment": "assert environment() == []",
}


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
    outcome = asyncio.run(run_tests(_PROGRAM, list(_PROBES.values()), isolate=isolate))
    passed = outcome.passed or (False,) * len(_PROBES)
    return [Probe(*pair) for pair in zip(_PROBES, passed, strict=True)], outcome.problem

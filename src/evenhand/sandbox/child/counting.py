"""Whose processes the kernel counts against a program's limit: its own, where anything allows that.

The limit is the user's: without more, programs that run at the same time share it, and all else that the user runs. A
program of root's gets a user of its own. A user namespace has a count of its own since Linux 5.14.
"""

from __future__ import annotations

import contextlib
import os

_NOBODY = 65534
# Above the numbers that systemd gives to containers (up to 1879048191), and never those of people.
_FIRST_OWN = 0x70000000
_MOST_PROCESSES = 1 << 22
_OWN_COUNTS_SINCE = (5, 14)
# Threads that other programs of the user may start meanwhile, where all are counted together.
_ROOM = 64


def own_user() -> int:
    """What root becomes: a user of this process's program alone, nobody where there are not as many, or itself."""
    for number in (_FIRST_OWN + os.getpid() % _MOST_PROCESSES, _NOBODY):
        if _is_mapped(number, "uid") and _is_mapped(number, "gid"):
            return number
    return os.geteuid()


def counted_besides(user: int) -> int:
    """How many more threads the kernel will count against the limit of a program that runs as ``user`` now.

    0 where the count is the program's own. Elsewhere those that the user has now, and some room.
    """
    if user >= _FIRST_OWN or (_release() >= _OWN_COUNTS_SINCE and _grants_user_namespaces()):
        return 0
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == user:
                found += len(os.listdir(f"/proc/{name}/task"))
    return found + _ROOM


def _is_mapped(number: int, kind: str) -> bool:
    try:
        with open(f"/proc/self/{kind}_map") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
    except OSError:
        return False
    return any(first <= number < first + count for first, _, count in ranges)


def _release() -> tuple[int, ...]:
    parts = os.uname().release.split("-")[0].split(".")
    return tuple(int(p) for p in parts[:2] if p.isdigit())


def _grants_user_namespaces() -> bool:
    for name in ("user/max_user_namespaces", "kernel/unprivileged_userns_clone"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/sys/{name}") as file:
            if int(file.read()) == 0:
                return False
    return True

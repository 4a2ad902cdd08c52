"""Adds up what all processes of a program take, which no limit of one bounds, and ends it when that is too much.

The kernel limits the memory of each process, and some kernels count processes for a user only. The process that waits
outside sees them all: it looks at what has run for a tenth of a second, and on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator

_EVERY_MS = 100
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Over a program, from outside its namespaces. Made where the machine's ``/proc`` is seen."""

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Let go of ``/proc``: what runs inside must not have it."""
        os.close(self._proc)

    def until_end(self, parent: int, *, memory_mib: int, threads: int) -> None:
        """Wait for ``parent``, a child of this process; kill its first child when that takes more with all below it."""
        try:
            ended = os.pidfd_open(parent)
        except OSError:  # before Linux 5.3
            os.waitpid(parent, 0)
            return
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        while not poll.poll(_EVERY_MS):
            program = next(self._children(parent), None)
            if program is not None:
                family = list(self._family(program))
                too_much = len(family) > 1 and self._takes(family) > memory_mib << 20
                if too_much or self._threads(family) > threads:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(program, signal.SIGKILL)
        os.waitpid(parent, 0)

    def _family(self, process: int) -> Iterator[int]:
        yield process
        for child in self._children(process):
            yield from self._family(child)

    def _children(self, process: int) -> Iterator[int]:
        for thread in self._list(f"{process}/task"):
            yield from map(int, self._read(f"{process}/task/{thread}/children").split())

    def _threads(self, family: list[int]) -> int:
        return sum(len(self._list(f"{process}/task")) for process in family)

    def _takes(self, family: list[int]) -> int:
        """Bytes, what several share counted once where a process lets itself be looked into."""
        return sum(self._share(process) for process in family)

    def _share(self, process: int) -> int:
        for line in self._read(f"{process}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
        resident = self._read(f"{process}/statm").split()
        return int(resident[1]) * _PAGE if resident else 0

    def _read(self, path: str) -> str:
        """The text of a file below ``/proc``; "" where the process has ended, or hides."""
        try:
            descriptor = os.open(path, os.O_RDONLY, dir_fd=self._proc)
        except OSError:
            return ""
        with open(descriptor) as file, contextlib.suppress(OSError):
            return file.read()
        return ""

    def _list(self, path: str) -> list[str]:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
        except OSError:
            return []
        try:
            return os.listdir(descriptor)
        except OSError:
            return []
        finally:
            os.close(descriptor)

"""Adds up what all processes of a program take, which no limit of one bounds, and ends it when that is too much.

The kernel limits memory and time of each process, and some kernels count processes for a user only. The process that
waits outside sees them all: it looks at what has run for a tenth of a second, and on.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator

_EVERY_MS = 100
_KILL = 9  # the module signal takes long to import
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class Watch:
    """Over a program, from outside its namespaces. Made where the machine's ``/proc`` is seen."""

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Let go of ``/proc``: what runs inside must not have it."""
        os.close(self._proc)

    def until_end(self, parent: int, limits: dict[str, int]) -> None:
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
            if program is not None and self._takes_too_much(list(self._family(program)), limits):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(program, _KILL)
        os.waitpid(parent, 0)

    def _takes_too_much(self, family: list[int], limits: dict[str, int]) -> bool:
        if sum(len(self._list(f"{process}/task")) for process in family) > limits["processes"]:
            return True
        if len(family) == 1:  # its own limits hold
            return False
        return (
            sum(map(self._processor_s, family)) > limits["cpu_s"]
            or sum(map(self._memory, family)) > limits["memory_mib"] << 20
        )

    def _family(self, process: int) -> Iterator[int]:
        yield process
        for child in self._children(process):
            yield from self._family(child)

    def _children(self, process: int) -> Iterator[int]:
        for thread in self._list(f"{process}/task"):
            yield from map(int, self._read(f"{process}/task/{thread}/children").split())

    def _processor_s(self, process: int) -> float:
        """Seconds, those of the children that it waited for among them."""
        fields = self._read(f"{process}/stat").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def _memory(self, process: int) -> int:
        """Bytes; of what several share its part, where a process lets itself be looked into."""
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

"""Takes from a process what a program has no need of: the network, other processes, files, rights, resources."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys

from .counting import counted_besides, own_user
from .seccomp import refuse_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
NEWPID, _NEWNET = 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_CAPABILITY_VERSION_3 = 0x20080522
# mount_setattr has this number on every architecture, and no function in the C library of older systems.
_MOUNT_SETATTR, _AT_EMPTY_PATH, _AT_RECURSIVE, _AT_FDCWD = 442, 0x1000, 0x8000, -100
_SCRATCH, _SHARED_MEMORY, _EMPTY = "/scratch", "/dev/shm", "/empty"  # noqa: S108 (inside the private root)
# What is installed for the interpreter: not needed, and evenhand with the answers may be there.
_INSTALLED = ("site-packages", "dist-packages")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
_SHARED_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


class Isolation:
    """Linux namespaces around the calling process and its children."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._user = own_user() if os.geteuid() == 0 else os.geteuid()
        self._was_root = self._user != os.geteuid()
        self._counted_besides = counted_besides(self._user) if sys.platform == "linux" else 0
        self._locks_are_private = True

    def enter(self, folder: str) -> None:
        """Leave network, processes and files behind; ``folder`` becomes the root, in memory.

        Raises:
            OSError: the kernel does not allow it.
        """
        kinds = _NEWNS | _NEWUTS | _NEWIPC | NEWPID | _NEWNET
        if self._was_root:
            self.unshare(kinds)
        else:
            uid, gid = os.geteuid(), os.getegid()
            self.unshare(kinds | _NEWUSER)
            for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(line)
        self._private_root(folder)

    def unshare(self, kinds: int) -> None:
        """Enter new namespaces."""
        self._check(self._libc.unshare(kinds))

    def drop(self, limits: dict[str, int], *, hidden: bool) -> None:
        """Give up all rights for good and accept limits.

        Args:
            limits: of this process.
            hidden: whether other processes of the same user may not look into this one.
        """
        if sys.platform == "linux":
            self._libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
            if self._was_root:
                os.setgroups([])
                os.setgid(self._user)
                os.setuid(self._user)
            if not hidden:
                self._libc.unshare(_NEWUSER)  # for a count of its own processes; what it grants goes with the rest
            header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
            self._libc.capset(header, (ctypes.c_uint32 * 6)())
            # The kernel forgets both whenever rights change.
            self._libc.prctl(_DUMPABLE, 0 if hidden else 1)
            self._libc.prctl(_PDEATHSIG, 9)
        _set_limits({**limits, "processes": limits["processes"] + self._counted_besides})
        if sys.platform == "linux":
            refuse_calls(locks=self._locks_are_private)

    def _private_root(self, folder: str) -> None:
        os.umask(0o022)
        self._mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        self._mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=16m,nr_inodes=2048,mode=755")
        os.mkdir(folder + _EMPTY)
        for source in self._libraries():
            self._show(source, folder)
        for link in filter(os.path.islink, _SHARED_LIBRARIES):
            os.symlink(os.readlink(link), folder + link)
        for own in (_SCRATCH, _SHARED_MEMORY):
            os.makedirs(folder + own)
            if self._was_root:
                os.chown(folder + own, self._user, self._user)
        os.chdir(folder)
        self._check(self._libc.pivot_root(b".", b"."))
        self._check(self._libc.umount2(b".", _MNT_DETACH))
        os.chdir(_SCRATCH)

    def _show(self, source: str, folder: str) -> None:
        """Put the files of ``source`` where they are expected, read-only, without what is installed among them."""
        target = folder + source
        os.makedirs(target, exist_ok=True)
        if not self._overlay(source, target, folder + _EMPTY):
            self._locks_are_private = False
            self._bind(source, target)
        inner = [target, *(entry.path for entry in os.scandir(target) if entry.is_dir(follow_symlinks=False))]
        installed = [f"{parent}/{name}" for parent in inner for name in _INSTALLED]
        if _PACKAGE.startswith(source + "/"):
            installed.append(folder + _PACKAGE)
        for path in installed:
            if os.path.isdir(path) and not os.path.islink(path):
                self._bind(folder + _EMPTY, path)

    def _overlay(self, source: str, target: str, empty: str) -> bool:
        """The same files under other identities, so that a lock on one is no lock on the host's."""
        if set(source + empty) & set(":,\\"):
            return False
        with contextlib.suppress(OSError):
            self._mount("overlay", target, "overlay", _MS_RDONLY | _MS_NOSUID | _MS_NODEV, f"lowerdir={source}:{empty}")
            return True
        return False

    def _bind(self, source: str, target: str) -> None:
        self._mount(source, target, None, _MS_BIND | _MS_REC)
        self._make_read_only(target)

    def _libraries(self) -> list[str]:
        """Folders with what Python needs, none inside another."""
        python = [p for p in sys.path if os.path.isdir(p)] + [os.path.join(sys.base_prefix, "lib")]
        shared = [p for p in _SHARED_LIBRARIES if os.path.isdir(p) and not os.path.islink(p)]
        found = sorted({os.path.realpath(p) for p in [*python, *shared] if os.path.isdir(p)})
        return [p for p in found if not any(p.startswith(other + "/") for other in found)]

    def _make_read_only(self, target: str) -> None:
        attributes = (ctypes.c_uint64 * 4)(_MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0)
        size = ctypes.sizeof(attributes)
        path = target.encode()
        if self._libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, attributes, size) != 0:
            # Kernels before 5.12: the flags that a mount has must be repeated.
            kept = os.statvfs(target).f_flag & (_MS_NOSUID | _MS_NODEV | 8 | 1024 | 2048)
            self._mount("none", target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)

    def _mount(self, source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
        encoded: list[Any] = [s if s is None else s.encode() for s in (source, target, kind)]
        self._check(self._libc.mount(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode()))

    @staticmethod
    def _check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "isolation failed")


def _set_limits(limits: dict[str, int]) -> None:
    memory, size = limits["memory_mib"] << 20, limits["file_mib"] << 20
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CORE, 0),
        *((getattr(resource, name), 0) for name in ("RLIMIT_MSGQUEUE",) if hasattr(resource, name)),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

"""The system calls that no program needs, refused by a filter in the kernel (seccomp, cBPF).

A list of what is refused, and nothing newer than what is named: calls that a later kernel adds do not exist here, so
that C libraries do without, as they do on older kernels. Numbers are those of the kernel's tables for x86-64 and
AArch64 (tests compare them with libseccomp's); elsewhere there is no filter. It stays for good, and for all children.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

# How the kernel calls a machine, and the place of its numbers below.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Calls of namespaces, mounts, other processes, keys, the kernel's own programs, and of administrators.
FORBIDDEN: dict[str, tuple[int, int | None]] = {
    "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "vmsplice": (278, 75),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58), "personality": (135, 92),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
}  # fmt: skip
# Memory and queues that no limit of a process counts, and what kernels can be built without.
ABSENT: dict[str, tuple[int, int | None]] = {
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184), "mq_getsetattr": (245, 185), "memfd_create": (319, 279),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, None), "ustat": (136, None),
    "sysfs": (139, None), "_sysctl": (156, None),
}  # fmt: skip
# Calls that are refused by what they are asked for.
LOOKED_INTO = {"clone": (56, 220), "socket": (41, 198), "socketpair": (53, 199), "flock": (73, 32), "fcntl": (72, 25)}
# From the first number that all machines share, only these exist: no clone3, whose flags a filter cannot see, no
# io_uring, no memfd_secret, no handles of processes and mounts.
_FIRST_SHARED = 424
SHARED = {
    "close_range": 436, "openat2": 437, "faccessat2": 439, "epoll_pwait2": 441, "futex_waitv": 449, "fchmodat2": 452,
    "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456,
}  # fmt: skip

# Namespaces: mount, cgroup, host name, IPC, user, process, network.
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_UNIX, _INET, _INET6 = 1, 2, 10
_STREAM, _DATAGRAM, _KINDS = 1, 2, 0xF
_DEFAULT, _TCP, _UDP = 0, 6, 17
_LOCKING = (6, 7, 37, 38, 1024)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE

_Instruction = tuple[int, int, int, int]


def refuse_calls(*, locks: bool) -> bool:
    """Refuse the calling process and its children, for good, what no program needs.

    Args:
        locks: whether files may be locked.

    Returns:
        Whether the kernel took the filter. Privileges must not be gainable (``PR_SET_NO_NEW_PRIVS``).
    """
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 2**32 or sys.byteorder != "little":
        return False
    code = b"".join(struct.pack("HBBI", *i) for i in make_filter(machine, locks=locks))
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    return bool(ctypes.CDLL(None).prctl(_SET_SECCOMP, _MODE_FILTER, program, 0, 0) == 0)


def make_filter(machine: str, *, locks: bool) -> list[_Instruction]:
    """Instructions of the filter as (code, jump if true, jump if false, operand)."""
    architecture, place = _MACHINES[machine]
    named = {name: numbers[place] for name, numbers in LOOKED_INTO.items()}
    shared = [i for number in SHARED.values() for i in _when(number, [_allow()])]
    made = [
        # Calls by another machine's table (32 bits) have other numbers.
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, len(shared) + 1, _FIRST_SHARED), *shared, _refuse(errno.ENOSYS),
    ]  # fmt: skip
    for calls, error in ((FORBIDDEN, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for numbers in calls.values():
            made += _when(numbers[place], [_refuse(error)])
    made += _when(named["clone"], [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _refuse(errno.EPERM), _allow()])
    made += _when(
        named["socket"],
        [
            *_one_of(0, (_UNIX, _INET, _INET6), errno.EAFNOSUPPORT),
            *_one_of(1, (_STREAM, _DATAGRAM), errno.EPERM, mask=_KINDS),
            *_one_of(2, (_DEFAULT, _TCP, _UDP), errno.EPROTONOSUPPORT),
            _allow(),
        ],
    )
    made += _when(named["socketpair"], [*_one_of(0, (_UNIX,), errno.EAFNOSUPPORT), _allow()])
    if not locks:
        made += _when(named["flock"], [_refuse(errno.ENOLCK)])
        asked = [i for command in _LOCKING for i in _when(command, [_refuse(errno.ENOLCK)])]
        made += _when(named["fcntl"], [_argument(1), *asked, _allow()])
    return [*made, _allow()]


def _when(number: int | None, body: list[_Instruction]) -> list[_Instruction]:
    return [] if number is None else [(_EQUAL, 0, len(body), number), *body]


def _one_of(argument: int, values: tuple[int, ...], error: int, *, mask: int | None = None) -> list[_Instruction]:
    masked = [] if mask is None else [(_AND, 0, 0, mask)]
    tried = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_argument(argument), *masked, *tried, _refuse(error)]


def _argument(place: int) -> _Instruction:
    """The lower half, which is all that the kernel reads of these."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * place


def _refuse(error: int) -> _Instruction:
    return _RETURN, 0, 0, _ERRNO | error


def _allow() -> _Instruction:
    return _RETURN, 0, 0, _ALLOW

"""The inner side of the sandbox: isolates itself, then runs the program. Started as a script; imports only stdlib.

Registered nowhere and imported by nothing; the code below ``main`` runs only in the child process.
"""

import ctypes
import json
import os
import resource
import sys
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY = 65534
ERROR_CHARS = 200


def main() -> None:
    report, isolation_exit = int(sys.argv[1]), int(sys.argv[2])
    payload = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        isolate(libc)
    except OSError:
        os._exit(isolation_exit)
    child = os.fork()
    if child:
        os.close(report)
        os.waitpid(child, 0)
        os._exit(0)
    # The first process of the PID namespace: when it dies, the kernel kills all that it started.
    libc.prctl(PR_SET_PDEATHSIG, 9)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    set_limits(payload["limits"])
    run(payload, report)
    os._exit(0)


def isolate(libc: ctypes.CDLL) -> None:
    """Leave the network and the other processes behind, and root's rights when there are any."""
    if os.geteuid() == 0:
        # Root is exempt from the limit on processes, so the program runs as nobody; the standard library may lie
        # in a folder only root can enter, so it is mounted where nobody can read it.
        scratch = os.getcwd()
        library = os.path.join(scratch, ".python")
        os.mkdir(library, 0o755)
        os.chown(scratch, NOBODY, NOBODY)
        check(libc.unshare(NEWNS))
        check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        prefix = sys.base_prefix
        check(libc.mount(prefix.encode(), library.encode(), None, MS_BIND | MS_REC, None))
        sys.path[:] = [p.replace(prefix, library, 1) for p in sys.path if p.startswith(prefix)]
        sys.path_importer_cache.clear()
        for module in list(sys.modules.values()):
            if hasattr(module, "__path__"):
                module.__path__ = [p.replace(prefix, library, 1) for p in module.__path__]
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        # Changing ids makes a process undumpable, and an undumpable process may not write its own id maps.
        libc.prctl(4, 1, 0, 0, 0)
    uid, gid = os.geteuid(), os.getegid()
    check(libc.unshare(NEWUSER | NEWNET | NEWIPC | NEWPID | NEWNS))
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "isolation failed")


def set_limits(limits: dict[str, int]) -> None:
    memory, size = limits["memory_mib"] << 20, limits["file_mib"] << 20
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def run(payload: dict[str, Any], report: int) -> None:
    nonce, tests = payload["nonce"], payload["tests"]
    # Taken before the program runs, so that it cannot replace them.
    write, dumps, leave = os.write, json.dumps, os._exit

    def tell(**entry: object) -> None:
        write(report, (dumps({"nonce": nonce, **entry}) + "\n").encode())

    space = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        exec(compile(payload["setup"] + "\n" + payload["code"], "program", "exec"), space)
    except BaseException as error:
        tell(error=f"{type(error).__name__}: {error}"[:ERROR_CHARS])
        tell(done=True)
        leave(0)
    for number, test in enumerate(tests):
        try:
            exec(compile(test, "test", "exec"), space)
        except BaseException as error:
            tell(error=f"test {number + 1}: {type(error).__name__}: {error}"[:ERROR_CHARS])
        else:
            tell(test=number, ok=True)
    tell(done=True)
    leave(0)


if __name__ == "__main__":
    main()

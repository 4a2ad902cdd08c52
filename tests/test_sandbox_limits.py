"""What one program does changes nothing for its neighbours, the machine or the run."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.judges import make_judge
from evenhand.sandbox import Limits, Outcome, host, run_tests
from evenhand.sandbox.child import counting, seccomp
from evenhand.sandbox.probe import probe_sandbox
from evenhand.types import Item, Response
from tests.hostile_programs import BOMB, HOARDER, LOCKER, REFUSED

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
LONG = Limits(wall_s=20)
THREADED = """
import threading
def f(x):
    found = []
    threads = [threading.Thread(target=found.append, args=(n,)) for n in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    return len(found) + x
"""


def inside(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Let every sandbox run ``change`` before anything else, as a kernel that lacks something would have it."""
    monkeypatch.setattr(host, "_START", host._START.replace("main()", f"exec({change!r}); main()"))


async def test_no_score_depends_on_neighbours() -> None:
    bombs = [asyncio.create_task(run_tests(BOMB, ["assert True"], limits=LONG)) for _ in range(3)]
    await asyncio.sleep(0.7)
    scored = await asyncio.gather(*(run_tests(THREADED, ["assert f(1) == 7"], limits=LONG) for _ in range(8)))
    assert [o for o in scored if o != Outcome((True,))] == []
    for bomb in bombs:
        assert not bomb.done(), "the neighbours were gone before the scores were there"
        bomb.cancel()
    await asyncio.gather(*bombs, return_exceptions=True)


async def test_where_the_kernel_counts_by_user_a_bomb_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inside(monkeypatch, "import child.isolation\nchild.isolation.counted_besides = lambda user: 40")
    bomb, honest = await asyncio.gather(
        run_tests("import threading, time\nfor _ in range(30): threading.Thread(target=time.sleep, args=(9,)).start()",
                  ["assert True"], limits=LONG),
        run_tests(THREADED, ["assert f(1) == 7"], limits=LONG),
    )  # fmt: skip
    assert (bomb.passed, honest.passed) == ((False,), (True,))


def test_users_of_older_kernels_are_given_room_beside_what_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    assert counting.counted_besides(user) == 0 or counting._release() < (5, 14)
    monkeypatch.setattr(counting, "_release", lambda: (5, 4))
    few = counting.counted_besides(user)
    over = threading.Event()
    more = [threading.Thread(target=over.wait) for _ in range(40)]
    for thread in more:
        thread.start()
    many = counting.counted_besides(user)
    over.set()
    assert few > 0
    assert many >= few + 20  # others come and go meanwhile
    assert counting.counted_besides(counting._FIRST_OWN + 1) == 0


@pytest.mark.parametrize(
    ("maps", "becomes"),
    [("0 0 4294967295", "its own"), ("0 100000 65536", "nobody"), ("0 1000 1", "itself"), ("", "itself")],
)
def test_root_becomes_a_user_that_there_is(
    maps: str, becomes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "map").write_text(maps)
    monkeypatch.setattr(counting, "open", lambda _: (tmp_path / "map").open(), raising=False)
    own = counting._FIRST_OWN + os.getpid() % counting._MOST_PROCESSES
    assert counting.own_user() == {"its own": own, "nobody": 65534, "itself": os.geteuid()}[becomes]


async def test_no_program_reaches_what_none_needs() -> None:
    outcome = await run_tests(REFUSED, [f"assert refused({name!r})" for name in names()], limits=LONG)
    assert dict(zip(names(), outcome.passed, strict=True)) == dict.fromkeys(names(), True), outcome.error


def test_the_same_is_reached_where_nothing_stands_in_the_way() -> None:
    code = f"{REFUSED}\nimport json\nprint(json.dumps([n for n in ATTEMPTS if not refused(n)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert {"memory without a name", "a netlink socket", "System V shared memory"} <= set(json.loads(done.stdout))


def names() -> list[str]:
    space: dict[str, dict[str, object]] = {}
    exec(REFUSED, space)
    return list(space["ATTEMPTS"])


HONEST = {
    "a lock between processes": "import multiprocessing\nassert multiprocessing.Lock().acquire()",
    "a pool": "import multiprocessing\nwith multiprocessing.Pool(3) as p: assert p.map(abs, [-1, 2]) == [1, 2]",
    "an event loop": "import asyncio\nasyncio.run(asyncio.sleep(0))",
    "a pair of sockets": "import socket\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'",
    "a socket that finds nobody": "import socket\n"
    "try: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError: pass",
    "a database in a file": "import sqlite3\nwith sqlite3.connect('d') as d: d.execute('create table t (x)')",
    "a lock on its own file": "import fcntl\nwith open('l', 'w') as l: fcntl.flock(l, fcntl.LOCK_EX)",
    "a temporary file": "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')",
    "executors": "from concurrent.futures import *\n"
    "with ProcessPoolExecutor(2) as p: assert list(p.map(abs, [-1])) == [1]\n"
    "with ThreadPoolExecutor(3) as p: assert list(p.map(abs, [-1])) == [1]",
    "a list that processes share": "import multiprocessing as m\na = m.Array('i', 3)\n"
    "def g(): a[1] = 5\np = m.Process(target=g)\np.start()\np.join()\nassert a[1] == 5",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
async def test_honest_programs_get_what_they_need(name: str) -> None:
    code = "def f():\n" + "".join(f"    {line}\n" for line in HONEST[name].split("\n")) + "    return 1"
    if "ProcessPool" in code or "Process(" in code:  # what a child process runs is looked up by name
        code = HONEST[name] + "\ndef f(): return 1"
    assert (await run_tests(code, ["assert f() == 1"], limits=LONG)) == Outcome((True,))


async def test_what_needs_another_interpreter_fails_at_once_and_always_alike() -> None:
    code = "from multiprocessing.shared_memory import SharedMemory\ndef f(): return SharedMemory(create=True, size=9)"
    outcomes = [await run_tests(code, ["assert f()"], limits=LONG) for _ in range(3)]
    assert outcomes == [outcomes[0]] * 3
    assert "TypeError" in outcomes[0].error


@pytest.mark.parametrize("overlay", [True, False])
async def test_no_program_locks_the_machine_s_files(overlay: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not overlay:
        inside(monkeypatch, "import child.isolation\nchild.isolation.Isolation._overlay = lambda *a: False")
    running = asyncio.create_task(run_tests(LOCKER, ["assert locked() or refused()"], limits=LONG))
    with Path(os.__file__).open() as file:
        while not running.done():
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            await asyncio.sleep(0.02)
    assert await running == Outcome((True,))


async def test_memory_is_counted_over_all_processes_once() -> None:
    own = Limits(wall_s=20, memory_mib=200)
    apart = await run_tests(HOARDER.replace("SHARED", "False"), ["assert f() == 3"], limits=own)
    shared = await run_tests(HOARDER.replace("SHARED", "True"), ["assert f() == 3"], limits=own)
    assert (apart.passed, shared.passed) == ((False,), (True,))


async def test_time_is_counted_over_all_processes() -> None:
    busy = "import os\nfor _ in range(3): os.fork()\ndef f():\n    while True: pass\nf()"
    outcome = await run_tests(busy, ["assert True"], limits=Limits(wall_s=60, cpu_s=1))
    assert (outcome.passed, "limit" in outcome.error) == ((False,), True)
    assert "within" not in outcome.error, "only the clock on the wall ended it"


async def test_what_is_installed_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Path(os.__file__).parent
    looks = "import glob, os\ndef seen(pattern): return glob.glob(os.path.dirname(os.__file__) + pattern)"
    places = ["/site-packages/*", "/dist-packages/*", "/../*/dist-packages/*"]
    inside(monkeypatch, f"import child.isolation\nchild.isolation._PACKAGE = {os.path.realpath(library / 'json')!r}")
    outcome = await run_tests(looks, [f"assert not seen({p!r})" for p in [*places, "/json/*"]], limits=LONG)
    assert outcome.passed == (True,) * 4
    assert list(library.glob("json/*"))


OUTPUTS = {
    "half a surrogate pair": "def f(x): raise ValueError(chr(0xd800) * 300)",
    "a surrogate as its name": "def f(x): raise type(chr(0xdfff), (Exception,), {})",
    "a surrogate as a value": "def f(x): return chr(0xd800)",
    "a surrogate in the program": "x = '\ud800'\ndef f(x): return x",
    "NUL in the program": "x = '\0'\ndef f(x): return x",
    "line ends in an error": 'def f(x): raise ValueError(\'\\n{"test": 0, "ok": true}\\n{"done": true}\\n\')',
    "a problem in an error": 'def f(x): raise ValueError(\'\\n{"problem": "none"}\\n\')',
    "a problem as a message": 'import os\ndata = b\'{"problem": "none"}\'\nfor fd in range(3, 64):\n'
    "    try: os.write(fd, len(data).to_bytes(4, 'big') + data + b'\\n' + data + b'\\n')\n    except OSError: pass",
    "bytes that are no text": "import os\nfor fd in range(64):\n    try: os.write(fd, bytes(range(256)) * 99)\n"
    "    except OSError: pass",
    "a number with too many digits": "def f(x): return 10 ** 6000",
    "a very long error": "def f(x): raise ValueError('x' * 10**7)",
    "an emoji by the thousand": "def f(x): raise ValueError('\\U0001f600' * 9999)",
}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_whatever_comes_out_is_a_verdict(name: str) -> None:
    tests = ["assert f(1) == 4, f(1)"] * 120
    outcome = await run_tests(OUTPUTS[name], tests, limits=Limits(wall_s=2))
    assert (outcome.problem, set(outcome.passed)) == ("", {False})
    assert outcome.error
    outcome.error.encode()
    assert len(outcome.error) < 300


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name.endswith("program") or "surrogate" in name])
async def test_a_program_that_is_no_text_has_a_score(name: str) -> None:
    tests = ["assert f(1) == 4"]
    item = Item("i", "q", "g", "q", extra={"tests": tests})
    verdict = await make_judge("code").judge(item, Response(f"```python\n{OUTPUTS[name]}\n```"))
    assert verdict.score == 0


async def test_thousands_of_tests_are_all_told() -> None:
    outcome = await run_tests(
        "def f(x): return x", ["assert f(1) == 1"] * 3000 + ["assert f(1) == 2"] * 300, limits=LONG
    )
    assert outcome.passed == (True,) * 3000 + (False,) * 300


LINES = st.dictionaries(
    st.sampled_from(["test", "ok", "done", "error", "x"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
).map(lambda line: json.dumps(line).encode())


@given(st.lists(LINES | st.binary()), st.integers(0, 4))
def test_no_report_ends_the_run(lines: list[bytes], count: int) -> None:
    outcome = host._read_report(b"\n".join(lines), count, False, Limits())
    assert len(outcome.passed) == count


# The filter, read as the kernel reads it.

ALLOW, ERROR = 0x7FFF0000, 0x00050000
READ = {"x86_64": 0, "aarch64": 63}


def decided(machine: str, number: int, *arguments: int, arch: int | None = None, locks: bool = True) -> int:
    """0 when the call is let through, else its error."""
    words = {0: number, 4: seccomp._MACHINES[machine][0] if arch is None else arch}
    words |= {16 + 8 * place: value & 0xFFFFFFFF for place, value in enumerate((*arguments, *[0] * 6)[:6])}
    program, at, value = seccomp.make_filter(machine, locks=locks), 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                value = words[operand]
            case 0x54:
                value &= operand
            case 0x06:
                return 0 if operand == ALLOW else operand - ERROR
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: value == operand, 0x35: value >= operand, 0x45: value & operand}[code]
                at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "place"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_refuses_what_it_names(machine: str, place: int) -> None:
    calls = {name: numbers[place] for name, numbers in seccomp.LOOKED_INTO.items()}
    assert decided(machine, READ[machine]) == 0
    for table, error in ((seccomp.FORBIDDEN, errno.EPERM), (seccomp.ABSENT, errno.ENOSYS)):
        assert {decided(machine, n[place]) for n in table.values() if n[place] is not None} == {error}
    for bit in (0x20000, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30):
        assert decided(machine, calls["clone"], bit | 17) == errno.EPERM
    assert decided(machine, calls["clone"], 0x3D0F00) == 0  # a thread
    assert decided(machine, calls["clone"], 0x1200011) == 0  # fork
    assert {n for n in range(424, 1000) if decided(machine, n) == 0} == set(seccomp.SHARED.values())
    assert decided(machine, READ[machine], arch=0x40000003) == errno.ENOSYS
    assert decided(machine, 0x40000000 + READ[machine]) == errno.ENOSYS
    assert decided(machine, calls["flock"], 3, 2) == 0
    assert decided(machine, calls["flock"], 3, 2, locks=False) == errno.ENOLCK
    assert [c for c in range(1100) if decided(machine, calls["fcntl"], 3, c, locks=False)] == [6, 7, 37, 38, 1024]


@given(st.sampled_from(["x86_64", "aarch64"]), st.integers(0, 45), st.integers(0, 15), st.integers(0, 263))
def test_the_filter_lets_through_three_kinds_of_sockets(machine: str, family: int, kind: int, protocol: int) -> None:
    place = seccomp._MACHINES[machine][1]
    let = decided(machine, seccomp.LOOKED_INTO["socket"][place], family, kind | 0o2000000, protocol) == 0
    assert let == (family in (1, 2, 10) and kind in (1, 2) and protocol in (0, 6, 17))
    assert (decided(machine, seccomp.LOOKED_INTO["socketpair"][place], family) == 0) == (family == 1)


def test_the_numbers_are_those_of_libseccomp() -> None:
    found = ctypes.util.find_library("seccomp")
    if found is None:
        pytest.skip("libseccomp is not installed")
    resolve = ctypes.CDLL(found).seccomp_syscall_resolve_name_arch
    for machine, place in (("x86_64", 0), ("aarch64", 1)):
        arch = ctypes.c_uint32(seccomp._MACHINES[machine][0])
        tables = {**seccomp.FORBIDDEN, **seccomp.ABSENT, **seccomp.LOOKED_INTO}
        named = {name: numbers[place] for name, numbers in tables.items()} | seccomp.SHARED
        theirs = {name: resolve(arch, name.encode()) for name in named}
        # Negative: it has no such call, or is older than the call.
        known = {name: number for name, number in theirs.items() if number >= 0}
        assert known == {name: number for name, number in named.items() if name in known}
        assert {n for n in named if n not in known} <= {n for n, v in named.items() if v is None or v >= 450}


def test_a_machine_without_a_filter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    inside(monkeypatch, "import child.isolation\nchild.isolation.refuse_calls = lambda **k: False")
    probes, problem = probe_sandbox()
    off = {probe.means for probe in probes if not probe.active}
    assert not problem
    assert "system calls filtered" in off
    assert {"no network", "no other processes", "libraries read-only"}.isdisjoint(off)


async def test_rights_that_cannot_be_given_up_are_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = "def refused(*a, **k): raise PermissionError(1, 'not dropped')\nimport child.isolation\n"
    inside(monkeypatch, refuse + "child.isolation.Isolation.drop = refused")
    outcome = await run_tests("def f(x): return x", ["assert f(1) == 1"], limits=LONG)
    assert outcome.passed == ()
    assert "not dropped" in outcome.problem

"""Programs that try to harm the machine, to learn what they should not, or to pass tests they do not deserve."""

# ruff: noqa: E501  (a program is a line here)

from __future__ import annotations

# Every program is followed by the test below, whose right answer (a number made up for the run) none of them knows.
TEST = "assert f(20) == ANSWER"

_F = "\ndef f(x):\n    return 'wrong'\n"

HARM = {
    "endless loop": "while True: pass",
    "endless loop in a thread": "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"
    + _F,
    "endless recursion": "def f(x): return f(x)",
    "deep recursion without a limit": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "endless sleep": "import time\ntime.sleep(10**6)",
    "catches everything and goes on": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "ignores signals": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except Exception: pass\nwhile True: pass",
    "memory": "x = bytearray(10**10)",
    "memory, slowly": "x = []\nwhile True: x.append(bytearray(10**6))",
    "memory by a number": "x = 1 << (1 << 40)",
    "memory by a string": "x = 'x' * (1 << 40)",
    "memory by mmap": "import mmap\nx = [mmap.mmap(-1, 1 << 30) for _ in range(100)]",
    "processor by a power": "x = 9 ** 9 ** 9",
    "processor by a regular expression": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "processor by a digit string": "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << 10**8)",
    "a big file": "open('f', 'wb').write(b'x' * 10**8)",
    "many files": "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'wb').write(b'x' * 10**5)",
    "many empty files": "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'wb').close()",
    "many open files": "x = [open('f', 'w') for _ in range(10**5)]",
    "a sparse file": "with open('f', 'wb') as file:\n    file.truncate(1 << 40)",
    "deep folders": "import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')",
    "endless output": "while True: print('x' * 10**6)",
    "endless errors": "import sys\nwhile True: sys.stderr.write('x' * 10**6)",
    "fork bomb": "import os\nwhile True: os.fork()",
    "fork bomb that leaves its session": "import os\nwhile True:\n    if os.fork() == 0: os.setsid()",
    "thread bomb": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "memory in many processes": "import os\nfor _ in range(6): os.fork()\nx = bytearray(400 << 20)\nwhile True: pass",
    "a process that outlives it": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(10**6)" + _F,
    "a crash": "import ctypes\nctypes.string_at(0)",
    "an abort": "import os\nos.abort()",
}

SNOOP = {
    "the user's passwords": "def f(x): return open('/etc/shadow').read()",
    "the users": "def f(x): return open('/etc/passwd').read()",
    "the home folder": "import os\ndef f(x): return os.listdir(os.path.expanduser('~'))",
    "the home folder of root": "import os\ndef f(x): return os.listdir('/root')",
    "the planted file": "def f(x): return open('PLANTED').read()",
    "the planted file through a link": "import os\nos.symlink('PLANTED', 'link')\ndef f(x): return open('link').read()",
    "the planted file through many dots": "def f(x): return open('../' * 20 + 'PLANTED'[1:]).read()",
    "the planted file through ctypes": "import ctypes\nlibc = ctypes.CDLL(None)\n"
    "def f(x):\n    file = libc.open(b'PLANTED', 0)\n    assert file >= 0\n    return file",
    "the environment": "import os\ndef f(x): return os.environ['EVENHAND_PLANTED']",
    "the environment of its parent": "def f(x): return open('/proc/1/environ').read()",
    "the environment of itself": "def f(x): return open('/proc/self/environ').read()",
    "the memory of its parent": "import os\ndef f(x): return open(f'/proc/{os.getppid()}/mem', 'rb').read(10)",
    "the network": "import socket\ndef f(x):\n    socket.create_connection(('127.0.0.1', PORT), 2)",
    "the network over IPv6": "import socket\ndef f(x):\n    socket.create_connection(('::1', PORT), 2)",
    "the network through a library": "import urllib.request\ndef f(x):\n    return urllib.request.urlopen('http://127.0.0.1:PORT/v1').read()",
    "the network by packets": "import socket\ndef f(x):\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "    s.sendto(b'x', ('192.0.2.1', 9))\n    return 'sent'",
    "an abstract socket": "import socket\ndef f(x):\n    s = socket.socket(socket.AF_UNIX)\n    s.connect(chr(0) + '/tmp/.X11-unix/X0')",
    "a raw socket": "import socket\ndef f(x): return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()",
    "a shell": "import subprocess\ndef f(x): return subprocess.check_output('id', shell=True)",
    "another Python": "import subprocess, sys\ndef f(x): return subprocess.check_output([sys.executable, '-c', 'print(1)'])",
    "a device": "import os\nos.mknod('sda', 0o600 | 0o060000, os.makedev(8, 0))\ndef f(x): return open('sda', 'rb').read(10)",
    "a new root": "import os\nos.mkdir('r')\nos.chroot('r')\ndef f(x): return os.listdir('/')",
    "a mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'proc', b'/scratch', b'proc', 0, None) == 0",
    "new namespaces": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000 | 0x20000) == 0\n"
    "assert ctypes.CDLL(None).mount(b'proc', b'/scratch', b'proc', 0, None) == 0",
    "another user": "import os\nos.setuid(0)\nos.setuid(1)",
    "its limits": "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (10**4, 10**4))",
    "the library's files": "import os\nopen(os.__file__, 'a').write('# was here')",
    "all processes": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nraise ValueError",
    "another process by number": "import os, signal\nfor n in range(2, 40000):\n    os.kill(n, signal.SIGKILL)",
    "tracing": "import ctypes\nlibc = ctypes.CDLL(None)\nfor n in range(2, 2000):\n    if libc.ptrace(16, n, 0, 0) == 0: break\n"
    "else:\n    raise OSError('none to trace')",
}

_EQUAL = "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = None\n"

CHEAT = {
    "leaves before the test": "import os\nos._exit(0)",
    "exits": "raise SystemExit(0)",
    "exits in the function": "def f(x): raise SystemExit(0)",
    "leaves in the function": "import os\ndef f(x): os._exit(0)",
    "equal to everything": _EQUAL + "def f(x): return Any()",
    "a number equal to everything": "class N(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
    "def f(x): return N(1)",
    "a string equal to everything": "class S(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
    "def f(x): return S('no')",
    "a tuple equal to everything": "class T(tuple):\n    def __eq__(self, other): return True\n    __hash__ = tuple.__hash__\n"
    "def f(x): return T((1,))",
    "a class that compares": "class M(type):\n    def __eq__(self, other): return True\n    __hash__ = type.__hash__\n"
    "class f(metaclass=M):\n    def __init__(self, x): pass\n    def __eq__(self, other): return True",
    "patches the built-ins": "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\n"
    "builtins.compile = lambda *a, **k: compile('0', '', 'eval')\nbuiltins.exec = builtins.eval = lambda *a, **k: None",
    "patches JSON": 'import json\njson.dumps = lambda *a, **k: \'{"ok": true, "test": 0}\'\n'
    "json.loads = lambda *a, **k: {'expression': 'True'}" + _F,
    "patches writing": "import os\nold = os.write\nos.write = lambda fd, data: old(fd, data.replace(b'error', b'value'))\n"
    "def f(x): raise ValueError",
    "patches the comparison through the frames": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        frame.f_globals['AssertionError'] = ValueError\n        frame = frame.f_back\n    return 'wrong'",
    "looks for the answer in the frames": "import sys\ndef f(x):\n    frame, found = sys._getframe(), []\n    while frame:\n"
    "        found += [v for v in (*frame.f_locals.values(), *frame.f_globals.values()) if isinstance(v, int) and v > 10**6]\n"
    "        frame = frame.f_back\n    return found[0]",
    "looks for the answer in the garbage": "import gc\ndef f(x):\n    texts = [o for o in gc.get_objects() if isinstance(o, (list, dict, tuple))]\n"
    "    texts = [t for o in texts for t in (o.values() if isinstance(o, dict) else o) if isinstance(t, str) and 'assert f(20)' in t and '== ' in t]\n"
    "    return int(texts[0].split('== ')[1])",
    "looks for the answer in its memory": "import ctypes\ndef f(x):\n    return open('/proc/self/mem', 'rb').read(10)",
    "tells that all is well": 'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b\'{"test": 0, "ok": true}\\n{"done": true}\\n\')\n'
    "    except OSError: pass",
    "tells that all is well in a message": 'import os\ndata = b\'{"value": null, "ok": true, "test": 0, "done": true}\'\nfor fd in range(3, 64):\n'
    "    try: os.write(fd, len(data).to_bytes(4, 'big') + data)\n    except OSError: pass\ndef f(x): return None",
    "says that a message is huge": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff\\xff\\xff\\xff' + b'x' * 1000)\n"
    "    except OSError: pass",
    "sends deep JSON": "import os\ndata = b'[' * 10**6\nfor fd in range(3, 64):\n    try: os.write(fd, len(data).to_bytes(4, 'big') + data)\n"
    "    except OSError: pass",
    "sends code for data": 'import os\ndata = b\'{"value": {"__import__": "os"}}\'\nfor fd in range(3, 64):\n'
    "    try: os.write(fd, len(data).to_bytes(4, 'big') + data)\n    except OSError: pass",
    "closes every pipe": "import os\nos.closerange(3, 64)" + _F,
    "an exception that claims to be none": "class E(AssertionError):\n    def __str__(self): raise SystemExit\n"
    "def f(x): raise E",
    "an exception by the name of a class": "class SystemExit(BaseException): pass\ndef f(x): raise SystemExit",
    "an endless iterator": "import itertools\ndef f(x): return itertools.count()",
    "a value without end": "def f(x):\n    a = []\n    a.append(a)\n    return a",
    "a value too large": "def f(x): return [0] * 10**7",
    "a property that acts": "class P:\n    @property\n    def __class__(self): return int\n    def __bool__(self): return True\ndef f(x): return P()",
    "redefines the test's words": "def int(x): return ANSWER\nassertion = True\n__debug = False" + _F,
}

# What no program needs: each attempt returns what it got, or raises OSError.
REFUSED = r"""
import ctypes, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result

X86 = os.uname().machine == "x86_64"
ATTEMPTS = {
    "System V shared memory": lambda: call("shmget", 0, 1 << 30, 0o1600),
    "System V queues": lambda: call("msgget", 0, 0o1600),
    "System V semaphores": lambda: call("semget", 0, 250, 0o1600),
    "POSIX queues": lambda: call("mq_open", b"/evenhand", os.O_CREAT | os.O_RDWR, 0o600, None),
    "memory without a name": lambda: call("syscall", 319 if X86 else 279, b"x", 0),
    "secret memory": lambda: call("syscall", 447, 0),
    "a user namespace": lambda: call("unshare", 0x10000000),
    "a user namespace by clone": lambda: call("syscall", 56 if X86 else 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0),
    "a namespace by clone3": lambda: call("syscall", 435, (ctypes.c_uint64 * 8)(0x10000000), 64),
    "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "a netfilter socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12),
    "a vsock socket": lambda: socket.socket(40, socket.SOCK_STREAM),
    "a packet socket": lambda: socket.socket(17, socket.SOCK_RAW),
    "a crypto socket": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
    "a ping socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1),
    "an SCTP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "tracing": lambda: call("ptrace", 0, 0, 0, 0),
    "its keys": lambda: call("syscall", 250 if X86 else 219, 0, -3, 0),
    "a program of the kernel": lambda: call("syscall", 321 if X86 else 280, 0, (ctypes.c_uint32 * 32)(1, 4, 4, 1), 128),
    "a ring of calls": lambda: call("syscall", 425, 4, (ctypes.c_uint8 * 120)()),
    "counters": lambda: call("syscall", 298 if X86 else 241, (ctypes.c_uint64 * 16)(1, 0x6000000000 | 112), 0, -1, -1, 0),
    "page faults": lambda: call("syscall", 323 if X86 else 282, 1),
    "a mount": lambda: call("mount", b"none", b"/scratch", b"tmpfs", 0, None),
    "a mount by its new calls": lambda: call("syscall", 430, b"tmpfs", 0),
    "another root": lambda: call("chroot", b"."),
    "another personality": lambda: call("personality", 0x0040000),
}

def refused(name):
    try:
        ATTEMPTS[name]()
    except OSError as error:
        return error.errno in (1, 38, 93, 97)
    return False
"""

# Starts as many processes as it may, and keeps them.
BOMB = """
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        time.sleep(0.01)
"""

# Locks a file of the library in every way that it may.
LOCKER = """
import fcntl, os, time
file = open(os.__file__)
held = errors = 0
for lock in (
    lambda: fcntl.flock(file, fcntl.LOCK_EX),
    lambda: fcntl.lockf(file, fcntl.LOCK_SH),
    lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK),
):
    try:
        lock()
        held += 1
    except OSError:
        errors += 1
time.sleep(0.3)
def locked(): return held > 0
def refused(): return errors == 3
"""

# Holds memory in three processes, each within its limit: in the memory that they got from the first one, or in their own.
HOARDER = """
import os, time
mine = b"x" * (90 << 20) if SHARED else b""
def f():
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            own = mine or b"y" * (90 << 20)
            time.sleep(1)
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(c, 0)[1] == 0 for c in children)
"""

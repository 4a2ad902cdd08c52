"""The command line for tests: each command in a process of its own, forked from one that has imported what all need.

A fresh interpreter takes a second to import what a command takes a tenth of to do. A forked one begins where the
imports end, and ends as any interpreter does; nothing that a command changes reaches the next one.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import trouble

_SECONDS = 240
# What an interpreter, or what it imports, reads once: a command with another value of these begins from nothing.
_READ_AT_START = {"PYTHONPATH", "SSL_CERT_FILE"}


class Commands:
    """Runs commands of ``evenhand`` one after the other. Close it.

    Args:
        modules: what else is imported before any of them begins.
        most_s: how long one may take.
    """

    def __init__(self, *modules: str, most_s: float = _SECONDS) -> None:
        self._most_s = most_s
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.commands", *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1], text=True,
        )  # fmt: skip

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, kill_after_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``evenhand ARGUMENTS`` in the caller's folder.

        Args:
            env: variables on top of the caller's.
            kill_after_s: when it is killed with -9; None for never.

        Raises:
            subprocess.TimeoutExpired: it took too long.
        """
        everything = {**os.environ, **(env or {})}
        if env and _READ_AT_START & env.keys():
            line = [sys.executable, "-m", "evenhand.cli.main", *arguments]
            return subprocess.run(
                line, capture_output=True, text=True, timeout=self._most_s, env=everything, check=False
            )
        assert self._server.stdin is not None and self._server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            asked = {
                "arguments": arguments,
                "env": everything,
                "cwd": str(Path.cwd()),
                "folder": folder,
                "seconds": self._most_s if kill_after_s is None else kill_after_s,
            }
            print(json.dumps(asked), file=self._server.stdin, flush=True)
            code = json.loads(self._server.stdout.readline())
            if code is None and kill_after_s is None:
                raise subprocess.TimeoutExpired(["evenhand", *arguments], self._most_s)
            # As text pipes do it: in the locale's encoding, every line end as one.
            out, err = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(
            ["evenhand", *arguments], -signal.SIGKILL if code is None else code, out, err
        )

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


def _serve() -> dict[str, Any] | None:
    """Answer requests until there are no more; return in each forked process what it was asked to run."""
    while line := sys.stdin.readline():
        asked: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            return asked
        print(json.dumps(_ended(child, asked["seconds"])), flush=True)
    return None


def _ended(child: int, seconds: float) -> int | None:
    """The exit code of a process, minus the signal that ended it; None when it was killed for its time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(asked: dict[str, Any]) -> None:
    """Take over the streams, the variables, the folder and the arguments of a command."""
    folder = Path(asked["folder"])
    for descriptor, source in enumerate((os.devnull, folder / "stdout", folder / "stderr")):
        opened = os.open(source, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["evenhand", *asked["arguments"]]


def _import_what_all_need(*others: str) -> None:
    import numpy  # noqa: F401
    import polars  # noqa: F401
    import scipy.optimize
    import scipy.stats  # noqa: F401

    import evenhand.analysing
    import evenhand.deciding
    import evenhand.report.html  # noqa: F401
    from evenhand.judges import JUDGES
    from evenhand.mitigations import MITIGATIONS
    from evenhand.models import MODELS
    from evenhand.personalizers import PERSONALIZERS
    from evenhand.suites import SUITES

    for registry in (SUITES, JUDGES, MODELS, PERSONALIZERS, MITIGATIONS):
        registry.names()
    for module in others:
        importlib.import_module(module)
    gc.freeze()


if __name__ == "__main__":
    from evenhand.cli.main import main

    _import_what_all_need(*sys.argv[1:])
    wanted = _serve()
    if wanted is not None:
        _become(wanted)
        trouble.arm()
        main()

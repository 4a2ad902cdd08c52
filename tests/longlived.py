"""Processes of evenhand that live long while much happens: what they do, and whether they grow.

``python -m tests.longlived`` is the library in one process: it makes a study, analyses it and imports a table for every
line that it is given.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
from scipy import stats

from tests.server import Server
from tests.viewers import View

_WARM_UP, _BLOCKS = 0.25, 12


@dataclass
class Gauge:
    """How large a process is, look by look.

    Attributes:
        rss: KiB.
        files: open descriptors.
        threads: of them.
    """

    rss: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        self.rss.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]))
        self.threads.append(int(re.findall(r"Threads:\s+(\d+)", status)[0]))
        self.files.append(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))

    def growth(self) -> tuple[float, float, float] | None:
        """KiB per hundred looks after warming up, and its 95 % interval; None where there were too few looks."""
        settled = self.rss[int(_WARM_UP * len(self.rss)) :]
        if len(settled) < 2 * _BLOCKS:
            return None
        # Means of blocks: looks that follow one another are alike.
        blocks = np.array([float(np.mean(block)) for block in np.array_split(np.array(settled), _BLOCKS)])
        fitted = stats.linregress(np.arange(_BLOCKS) * len(settled) / _BLOCKS, blocks)
        around = stats.t.ppf(0.975, _BLOCKS - 2) * fitted.stderr
        return 100 * fitted.slope, 100 * (fitted.slope - around), 100 * (fitted.slope + around)

    def leaks(self, most_kib: float) -> list[str]:
        """What grew: memory, for certain and by more than so much; or more descriptors or threads than ever before.

        Args:
            most_kib: after warming up.
        """
        found, grown = [], self.growth()
        looks = len(self.rss) * (1 - _WARM_UP)
        if grown is not None and grown[1] / 100 * looks > most_kib:
            found.append(f"memory grew by {grown[0]:.0f} KiB in 100 looks (at least {grown[1]:.0f})")
        for name, seen in (("descriptors", self.files), ("threads", self.threads)):
            half = len(seen) // 2
            if half > _BLOCKS and min(seen[-half // 2 :]) > max(seen[:half]):
                found.append(f"{name}: {max(seen[:half])} at most at first, {min(seen[-half // 2 :])} at least later")
        return found


class Proxy:
    """``evenhand deploy`` before a server."""

    def __init__(self, server: Server) -> None:
        line = [
            sys.executable, "-m", "evenhand.cli.main", "deploy", "--mitigation", "fairness", "--base-url", server.url,
            "--quiet", "--timeout", "5",
        ]  # fmt: skip
        self.process: subprocess.Popen[str] = subprocess.Popen(
            line, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "500"}
        )
        assert self.process.stderr is not None
        self.address = ""
        while not self.address:
            said = self.process.stderr.readline()
            assert said, "the proxy did not start"
            if found := re.search(r"http://127\S+/v1", said.partition("clients:")[2]):
                self.address = found.group()

    def ask(self, text: str) -> int:
        """Ask once; the status that came back."""
        body = json.dumps({"model": "fake", "messages": [{"role": "user", "content": text}]}).encode()
        asked = urllib.request.Request(f"{self.address}/chat/completions", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=600) as reply:
                reply.read()
                return int(reply.status)
        except HTTPError as error:
            error.read()
            return error.code


class Library:
    """The library in one process, study after study."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "tests.longlived"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, url: str, folder: Path) -> dict[str, Any]:
        """Let it make a study and an import below a folder; what it says of them."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"url": url, "folder": str(folder)}), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def look_around(view: View, draw: random.Random) -> None:
    """Do in a page over a folder what somebody does there: look at the list, a report, studies side by side, label."""
    ids = [study["id"] for study in view.studies()]
    one = draw.choice(ids)
    doing: list[Callable[[], object]] = [
        lambda: view.get(f"study/{one}/"),
        lambda: view.get(f"side?ids={','.join(draw.sample(ids, 2))}"),
        lambda: view.state(one),
        lambda: _label(view, one, draw),
        lambda: view.get(""),
    ]
    draw.choice(doing)()


def _label(view: View, study: str, draw: random.Random) -> None:
    now = view.state(study)
    view.label(study, now["position"], draw.choice(now["classes"])["label"])


def _ran(study: dict[str, Any], folder: Path) -> Any:
    """A run; begun again where it stopped because the server could not be reached at first."""
    import evenhand
    from evenhand.errors import EvenhandError

    for _ in range(9):
        try:
            return evenhand.run(study, folder)
        except EvenhandError as error:
            print(error, file=sys.stderr)
    return evenhand.run(study, folder)


def _serve() -> None:
    import evenhand

    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        study = {
            "model": "openai:fake", "suites": ["starter-safety", "starter-utility"], "identities": ["age"], "limit": 4,
            "options": {"base_url": asked["url"], "timeout_s": 5, "concurrency": 8},
        }  # fmt: skip
        ran = _ran(study, folder / "study")
        analysis = evenhand.analyze(folder / "study", {"draws": 200, "permutations": 200})
        rows = [
            {"identity": who, "item": f"q{n}", "prompt": f"{n}?", "score": (n + len(who)) % 2, "axis": "utility"}
            for n in range(20)
            for who in ("a man", "a woman")
        ]  # fmt: skip
        evenhand.from_table(rows, folder / "imported", suite="own")
        again = evenhand.analyze(folder / "imported", {"draws": 200, "permutations": 200})
        told = {
            "asked": ran.planned,
            "done": analysis.trials["done"],
            "failed": ran.failed,
            "imported": again.trials["done"],
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _serve()

"""Hours of faults: studies, imports, judges and memories that are hit by everything at once, round after round.

``make soak`` runs for two hours. Each round does a job on a copy of what it needs, befallen by a server with every
fault, by kills, full disks and clocks that jump; then it brings the job to its end by the same command, and compares
what is there with what an undisturbed one left. Beside it a page, a proxy and the library live through all of it.
What is wrong is said with its round's seed and kept in its folder; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import FAULTS, FOR_THE_NEXT_RUN, chaos
from tests.commands import Commands
from tests.jobs import CONCURRENCY, JOBS, answer
from tests.kills import KILLED, Undisturbed, ended_wrong, undisturbed
from tests.longlived import Gauge, Library, Proxy, look_around, stop
from tests.server import Server
from tests.trouble import Trouble
from tests.viewers import View

_ALL = {**FAULTS, **FOR_THE_NEXT_RUN}
# What befalls a try, and how often of each other.
_TROUBLES = {"killed at a step": 4, "killed after a time": 3, "clock jumps": 2, "file too large": 2, "disk full": 2}
_TRIES = 4
# Waiting for a server that fails takes time; so does a machine that does other things.
_MOST_S = 1800
_STALL_S, _BETWEEN_LOOKS_S = 1.0, 2.0
_MAY_GROW_KIB = 16 << 10
_MOUNTED = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


class Watched(Server):
    """A server that tells when this machine stood still: answers may have been lost then that nobody killed."""

    stalls = 0

    def _serve(self) -> None:
        self._loop.call_soon(self._tick, time.monotonic())
        super()._serve()

    def _tick(self, last: float) -> None:
        now = time.monotonic()
        self.stalls += now - last > _STALL_S
        self._loop.call_later(0.1, self._tick, now)

    def forget(self) -> None:
        """What it kept for tests; it would grow."""
        self.payloads.clear()
        self.headers.clear()
        self.answered.clear()


@dataclass
class Tally:
    """What happened so far."""

    rounds: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    lost: int = 0
    stalls: int = 0
    violations: list[str] = field(default_factory=list)
    gauges: dict[str, Gauge] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def violated(self, what: str) -> None:
        with self.lock:
            self.violations.append(what)
        print(f"VIOLATION: {what}", flush=True)


class Lane:
    """Rounds one after the other, with a server and processes of its own."""

    def __init__(self, number: int, root: Path, seed: int, tally: Tally) -> None:
        self._root, self._tally = root / f"lane-{number}", tally
        self._number, self._seed = number, seed
        self._calm: dict[str, Undisturbed] = {}

    def live(self, until: float, rounds: int | None) -> None:
        """Go through rounds until a time, or so many."""
        commands = Commands(most_s=_MOST_S)
        try:
            with Watched(answer, delay_s=0.002) as server:
                done = 0
                while time.monotonic() < until and (rounds is None or done < rounds):
                    self._round(commands, server, f"{self._seed}.{self._number}.{done}")
                    done += 1
        except Exception as error:  # a thread that ends silently would look like a soak that found nothing
            self._tally.violated(f"lane {self._number} ended: {type(error).__name__}: {error}")
            raise
        finally:
            commands.close()

    def _round(self, commands: Commands, server: Watched, seed: str) -> None:
        draw = random.Random(seed)
        name = draw.choice(list(JOBS))
        cli = partial(commands.run, env={"COLUMNS": "500"})
        if name not in self._calm:
            server.fault = None
            self._calm[name] = undisturbed(cli, server, JOBS[name], self._root / name)
        job, calm, folder, met = JOBS[name], self._calm[name], self._root / f"{name}-{seed}", Counter[str]()
        shutil.copytree(calm.base, folder)
        server.forget()
        stalls, losses = server.stalls, 0
        share, kinds = (0.05, FAULTS) if job.decides else (draw.choice([0.02, 0.1, 0.25]), _ALL)
        server.fault = chaos(draw.randrange(1 << 30), share, kinds, met)
        befell: list[str] = []
        line = job.command(server, folder)
        for _ in range(draw.randint(1, _TRIES)):
            kind = draw.choices(list(_TROUBLES), list(_TROUBLES.values()))[0]
            done = self._try(commands, kind, line, folder, calm, draw)
            losses += done.returncode != 0
            befell.append(f"{kind}: {done.returncode}")
            if "Traceback" in done.stderr:
                self._tally.violated(f"{seed}, {name}, {befell}: {done.stderr[-3000:]}")
        done = cli(*line)
        losses += done.returncode != 0
        if "Traceback" in done.stderr:
            self._tally.violated(f"{seed}, {name}, {befell}, then in peace but for the server: {done.stderr[-3000:]}")
        server.fault = None
        at_risk = losses * job.at_risk + (server.stalls - stalls) * CONCURRENCY
        wrong = ended_wrong(cli, server, job, calm, folder, 0, at_risk)
        for what in wrong:
            self._tally.violated(f"{seed}, {name} in {folder}, {befell}: {what}")
        if not wrong:
            shutil.rmtree(folder)
        with self._tally.lock:
            self._tally.rounds[name] += 1
            self._tally.troubles.update(one.partition(":")[0] for one in befell)
            self._tally.troubles["died"] += sum(one.endswith(str(KILLED)) for one in befell)
            self._tally.faults += met
            self._tally.answered += sum(server.answered.values())
            self._tally.lost += max(0, sum(server.answered.values()) - calm.calls)
            self._tally.stalls += server.stalls - stalls

    def _try(
        self, commands: Commands, kind: str, line: list[str], folder: Path, calm: Undisturbed, draw: random.Random
    ) -> subprocess.CompletedProcess[str]:
        """The job once, with one trouble."""
        after = None
        trouble = Trouble()
        if kind == "killed at a step":
            trouble = Trouble(str(folder), dies_at=draw.randint(1, len(calm.steps)))
        elif kind == "killed after a time":
            after = draw.uniform(0.05, 4)
        elif kind == "clock jumps":
            trouble = Trouble(clock=draw.randrange(1 << 30))
        elif kind == "file too large":
            trouble = Trouble(file_bytes=draw.randint(1 << 12, 1 << 19))
        elif _MOUNTED:
            return _on_a_small_disk(line, folder, draw.randint(16, 400))
        return commands.run(*line, env={"COLUMNS": "500", **trouble.env}, kill_after_s=after)


def _on_a_small_disk(line: list[str], folder: Path, room_kib: int) -> subprocess.CompletedProcess[str]:
    """A command whose folder lies on a file system with so much room left; what was written there is kept."""
    script = (
        'cp -r "$0" "$0.was" && mount -t tmpfs -o size="$1"k tmpfs "$0" && cp -r "$0.was"/. "$0" && shift && "$@"; '
        'code=$?; rm -rf "$0.was"; cp -r "$0" "$0.was"; umount "$0"; exit $code'
    )
    size = sum(file.stat().st_size + 8192 for file in folder.rglob("*")) // 1024 + room_kib
    command = [sys.executable, "-m", "evenhand.cli.main", *line]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(folder), str(size), *command],
        capture_output=True, text=True, timeout=_MOST_S, check=False,
    )  # fmt: skip
    shutil.rmtree(folder)
    Path(f"{folder}.was").rename(folder)
    return done


def _long_lives(root: Path, until: float, rounds: int | None, seed: int, tally: Tally) -> None:
    """A page, a proxy and the library in processes that live through all of it."""
    draw = random.Random(f"{seed}.long")
    with Watched(answer, chaos(seed, 0.2, FAULTS, tally.faults)) as server:
        (root / "long").mkdir()
        library, proxy = Library(), Proxy(server)
        for name in ("first", "second"):
            library.ask(server.url, root / "long" / name)
        view = View(root / "long", os.environ, "anna")
        living = {"page": view.process, "proxy": proxy.process, "library": library.process}
        tally.gauges.update({name: Gauge() for name in living})
        done = 0
        try:
            while time.monotonic() < until and (rounds is None or done < rounds):
                for _ in range(5):
                    look_around(view, draw)
                    status = proxy.ask(f"How do I do thing {draw.random()}?")
                    tally.troubles[f"proxy: HTTP {status}"] += 1
                told = library.ask(server.url, root / "long-once")
                if (told["done"] + told["failed"], told["imported"]) != (told["asked"], 40):
                    tally.violated(f"the library in one process, look {done}: {told}")
                shutil.rmtree(root / "long-once")
                for name, process in living.items():
                    tally.gauges[name].look(process.pid)
                server.forget()
                done += 1
                time.sleep(_BETWEEN_LOOKS_S)
        except Exception as error:
            tally.violated(f"a long-lived process failed at look {done}: {type(error).__name__}: {error}")
            raise
        finally:
            stop(list(living.values()))
    for name, gauge in tally.gauges.items():
        for leak in gauge.leaks(_MAY_GROW_KIB):
            tally.violated(f"{name}: {leak}")


def told(tally: Tally, hours: float, seed: int) -> dict[str, Any]:
    """What a soak found, as plain data."""
    return {
        "hours": round(hours, 3), "seed": seed, "rounds": dict(tally.rounds), "troubles": dict(tally.troubles),
        "faults": dict(tally.faults), "answered": tally.answered, "answered_again": tally.lost,
        "stalls": tally.stalls, "violations": tally.violations,
        "long_lived": {
            name: {"looks": len(g.rss), "first_kib": g.rss[0], "last_kib": g.rss[-1], "kib_per_100_looks": g.growth(),
                   "descriptors": [min(g.files), max(g.files)], "threads": [min(g.threads), max(g.threads)]}
            for name, g in tally.gauges.items() if g.rss
        },
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{found['hours']:.2f} hours, seed {found['seed']}",
        f"rounds            {sum(found['rounds'].values()):,}  {found['rounds']}",
        f"answers           {found['answered']:,}, of these lost by kills and asked again {found['answered_again']:,}",
        f"faults            {sum(found['faults'].values()):,} of {len(found['faults'])} kinds",
        f"troubles          {found['troubles']}",
        f"machine stood     {found['stalls']} times",
    ]
    for name, seen in found["long_lived"].items():
        grown = seen["kib_per_100_looks"]
        slope = (
            "too few looks" if grown is None else f"{grown[0]:+.0f} [{grown[1]:+.0f}, {grown[2]:+.0f}] KiB/100 looks"
        )
        lines.append(
            f"{name:18}{seen['looks']} looks, {seen['first_kib']:,} -> {seen['last_kib']:,} KiB, {slope}, descriptors "
            f"{seen['descriptors']}, threads {seen['threads']}"
        )
    return "\n".join([*lines, f"violations        {len(found['violations'])}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, help="of each lane, instead of hours")
    parser.add_argument("--lanes", type=int, default=3, help="rounds at once; they wait most of the time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak.json"))
    given = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients that are killed are no news
    root = Path(tempfile.mkdtemp(prefix="evenhand-soak-"))
    tally, begun = Tally(), time.monotonic()
    until = begun + 3600 * given.hours
    lanes = [
        threading.Thread(target=Lane(n, root, given.seed, tally).live, args=(until, given.rounds))
        for n in range(given.lanes)
    ]
    long = threading.Thread(target=_long_lives, args=(root, until, given.rounds, given.seed, tally))
    threads = [*lanes, long]
    for thread in threads:
        thread.start()
    last = begun
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        if time.monotonic() - last > 60:
            last = time.monotonic()
            found = told(tally, (last - begun) / 3600, given.seed)
            given.out.write_text(json.dumps(found, indent=1))
            print(f"{sum(tally.rounds.values())} rounds, {len(tally.violations)} violations", flush=True)
    found = told(tally, (time.monotonic() - begun) / 3600, given.seed)
    given.out.write_text(json.dumps(found, indent=1))
    print(table(found))
    if tally.violations:
        print(f"kept in {root}")
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())

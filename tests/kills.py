"""Jobs that are killed at a step and begun again by the same command, and what differs from one that never was."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.jobs import Cli, Job, contents
from tests.server import Server
from tests.trouble import Trouble, steps_of

KILLED = -9


@dataclass(frozen=True)
class Undisturbed:
    """A job that nothing befell.

    Attributes:
        base: the folder as it was before.
        held: what was there in the end.
        calls: how many were answered.
        steps: what it changed, in its order.
    """

    base: Path
    held: dict[str, Any]
    calls: int
    steps: list[str]


def undisturbed(cli: Cli, server: Server, job: Job, folder: Path) -> Undisturbed:
    """Prepare a job below a folder, and do it once.

    Raises:
        AssertionError: it fails.
    """
    base, calm, log = folder / "base", folder / "calm", folder / "steps"
    base.mkdir(parents=True)
    job.prepare(cli, server, base)
    shutil.copytree(base, calm)
    before = sum(server.answered.values())
    done = cli(*job.command(server, calm), env=Trouble(str(calm), log=str(log)).env)
    assert done.returncode == 0, done.stderr
    return Undisturbed(base, contents(calm), sum(server.answered.values()) - before, steps_of(log))


def faults_of(cli: Cli, server: Server, job: Job, calm: Undisturbed, folder: Path, kills: Sequence[int]) -> list[str]:
    """Kill a job at steps, one after the other, go on to its end, and say what is wrong then.

    Args:
        cli: runs commands.
        server: answers them.
        job: what is done.
        calm: the same, undisturbed.
        folder: where; it is removed again where nothing is wrong.
        kills: the step before which each try dies.
    """
    shutil.copytree(calm.base, folder)
    before, killed = sum(server.answered.values()), 0
    found = []
    for step in kills:
        done = cli(*job.command(server, folder), env=Trouble(str(folder), dies_at=step).env)
        killed += done.returncode == KILLED
        if done.returncode not in (0, KILLED):
            found.append(f"the try that was to die at step {step} ended with {done.returncode}: {done.stderr}")
    found += ended_wrong(cli, server, job, calm, folder, before, killed * job.at_risk)
    if not found:
        shutil.rmtree(folder)
    return found


def ended_wrong(
    cli: Cli, server: Server, job: Job, calm: Undisturbed, folder: Path, before: int, at_risk: int
) -> list[str]:
    """Bring a job to its end, and say what is wrong then.

    Args:
        cli, server, job, calm, folder: as for :func:`faults_of`.
        before: how many calls the server had answered when the job was begun.
        at_risk: how many answers may have been lost.
    """
    done = cli(*job.command(server, folder))
    if done.returncode or "Traceback" in done.stderr:
        return [f"the last try ended with {done.returncode}: {done.stderr}"]
    found, calls = differences(calm.held, contents(folder)), sum(server.answered.values()) - before
    if not calm.calls <= calls <= calm.calls + at_risk:
        found.append(f"{calls} calls were answered, {calm.calls} undisturbed, and {at_risk} at most lost")
    for store in sorted(folder.rglob("study.sqlite")):
        examined = cli("doctor", str(store.parent))
        if examined.returncode:
            found.append(f"{store.parent}: {examined.stdout}{examined.stderr}")
    return found


def differences(calm: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is held that was not to be, and the other way round."""
    found = [f"{name} is not there" for name in calm if name not in now]
    found += [f"{name} is there" for name in now if name not in calm]
    for name, held in calm.items():
        if name == "files":
            more, less = (sorted(set(a) - set(b)) for a, b in ((now[name], held), (held, now[name])))
            found += [f"files left over: {more}"] * bool(more) + [f"files missing: {less}"] * bool(less)
            continue
        for table, rows in held.items():
            here = now.get(name, {}).get(table, [])
            if here != rows:
                other = sum(row not in rows for row in here)
                found.append(f"{name}: {table} has {len(here)} rows, {len(rows)} without kills; {other} are others")
    return found

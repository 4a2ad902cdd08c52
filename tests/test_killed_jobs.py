"""What costs something is killed between two steps, begun again by the same command, and ends as if nothing had been.

``python -m tests.chaos`` kills every job at every step; here are those steps where something could be left half made.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.jobs import JOBS, Cli, answer
from tests.kills import Undisturbed, faults_of, undisturbed
from tests.server import Server
from tests.trouble import Trouble, steps_of
from tests.viewers import View, label_all

# Job -> what the first step, or the n-th such step, is called.
KILLS = {
    "run": (("CREATE TABLE trials", 0), ("INSERT INTO runs", 0), (r"cut .*study\.toml", 0), ("commit", 12)),
    "memories": (("INSERT OR REPLACE INTO learning", 1), ("INSERT OR REPLACE INTO memories", 0), ("commit", -3)),
    "judge again": (("INSERT OR REPLACE INTO judgements", 0), ("UPDATE suites", 0), (r"cut .*study\.toml", 0)),
    "import": (("CREATE TABLE items", 0), (r"os.rename .*study\.sqlite", 0), ("os.rmdir", 0), ("commit", -2)),
    "mitigate": (("ALTER TABLE", 0), ("INSERT INTO runs", 0), ("INSERT INTO trials", 4)),
    "mitigate, several": ((r"cut .*choice\.json", 1), ("CREATE TABLE trials", 1), (r"cut .*choice\.json", -1)),
    "doctor": (
        ("INSERT OR IGNORE INTO runs", 0),
        ("os.link", 1),
        (r"os.remove .*study\.sqlite-wal", 0),
        (r"os.rename .*\.repaired", 0),
    ),
    "evolve": ((r"cut .*evolution\.json", 0), ("CREATE TABLE trials", 1), ("INSERT INTO runs", 2)),
}


@pytest.fixture(scope="module")
def asked() -> Iterator[Server]:
    """One server for all: studies keep its address."""
    with Server(answer, delay_s=0.005) as server:
        yield server


@pytest.fixture(scope="module")
def calm(
    commands: object, asked: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Cli, str], Undisturbed]:
    done: dict[str, Undisturbed] = {}

    def once(cli: Cli, name: str) -> Undisturbed:
        if name not in done:
            done[name] = undisturbed(cli, asked, JOBS[name], tmp_path_factory.mktemp("calm") / "job")
        return done[name]

    return once


@pytest.mark.parametrize(("name", "step", "nth"), [(name, *kill) for name, kills in KILLS.items() for kill in kills])
def test_a_killed_job_goes_on_and_ends_as_an_undisturbed_one(
    name: str, step: str, nth: int, cli: Cli, asked: Server, calm: Callable[[Cli, str], Undisturbed], tmp_path: Path
) -> None:
    whole = calm(cli, name)
    at = [n for n, known in enumerate(whole.steps, 1) if re.match(step, known)][nth]
    assert faults_of(cli, asked, JOBS[name], whole, tmp_path / "job", [at]) == []


def test_a_job_that_is_killed_again_and_again_gets_there(
    cli: Cli, asked: Server, calm: Callable[[Cli, str], Undisturbed], tmp_path: Path
) -> None:
    whole = calm(cli, "import")
    assert faults_of(cli, asked, JOBS["import"], whole, tmp_path / "job", range(5, len(whole.steps), 60)) == []


def test_a_job_that_pays_twice_is_seen(
    cli: Cli, asked: Server, calm: Callable[[Cli, str], Undisturbed], tmp_path: Path
) -> None:
    """The comparison itself: a store that lost answers on the way costs more calls than a kill may."""
    whole = calm(cli, "run")
    job = JOBS["run"]

    def forgetful(*arguments: str, **more: object) -> object:
        done = cli(*arguments, **more)
        for file in (tmp_path / "job").rglob("study.sqlite"):
            if not (tmp_path / "forgot").exists():
                (tmp_path / "forgot").touch()
                with closing(sqlite3.connect(file)) as store:
                    store.execute("DELETE FROM trials")
                    store.commit()
        return done

    (found,) = faults_of(forgetful, asked, job, whole, tmp_path / "job", [len(whole.steps)])  # type: ignore[arg-type]
    # How many steps there are depends on how answers fall into commits, so that a few calls may come after the kill.
    told = re.match(r"(\d+) calls were answered, (\d+) undisturbed", found)
    assert told and int(told[2]) == whole.calls < int(told[1]) - job.at_risk


def labels(study: Path) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """What annotators said, and what follows from it: the same, where there is one annotator."""
    with closing(sqlite3.connect(study / "study.sqlite")) as store:
        first, second = (
            store.execute(f"SELECT trial, label, score FROM {table} ORDER BY trial").fetchall()
            for table in ("annotations", "labels")
        )
    return first, second


def test_a_killed_view_keeps_every_label_that_it_took_and_no_half_one(cli: Cli, asked: Server, tmp_path: Path) -> None:
    study, log = tmp_path / "study", tmp_path / "steps"
    JOBS["mitigate"].prepare(cli, asked, tmp_path)
    with View(tmp_path, {**os.environ, **Trouble(str(tmp_path), log=str(log)).env}) as view:
        first = label_all(view, 2)
        key = view.studies()[0]["id"]
    assert [view.process.returncode, len(first)] == [-9, 2]
    before = len(labels(study)[0])
    for step in ("INSERT INTO labels", "DELETE FROM labels"):
        done = steps_of(log)
        number = [n for n, known in enumerate(done, 1) if known.startswith(step)][1]
        log.unlink()
        with View(tmp_path, {**os.environ, **Trouble(str(tmp_path), number, str(log)).env}) as view:
            taken = label_all(view)
        assert view.process.returncode == -9 and taken
        said, follows = labels(study)
        assert said == follows
        assert len(said) == before + len(taken)
        before = len(said)
    with View(tmp_path, os.environ) as view:
        assert [(at, view.state(key, at)["given"]) for at, _ in first] == first
        label_all(view)
        assert view.state(key)["done"] == view.state(key)["of"] == 30
    said, follows = labels(study)
    assert said == follows and len(said) == 30
    assert cli("doctor", str(study)).returncode == 0

"""A study that nobody can write to is read like any other; who writes to one is told from who did."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evenhand import api
from evenhand.analysis import Settings
from evenhand.study import Store
from evenhand.study.schema import SCHEMA_VERSION
from tests.older_stores import back_to_version
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = Settings(200, 200)


@pytest.fixture
def study(server: Server, tmp_path: Path) -> Path:
    out = tmp_path / "study"
    api.run(
        {
            "model": "openai:m", "suites": "starter-safety", "identities": ["age"], "limit": 6,
            "options": {"base_url": server.url},
        },
        out,
    )  # fmt: skip
    return out


@pytest.fixture
def read_only(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study's folder without any right to write, also for root: a mount of its own, or the rights of a user."""
    assert not (study / "study.sqlite-wal").exists(), "its last reader leaves one file behind"
    (study / ".lock").unlink()
    study.chmod(0o555)
    (study / "study.sqlite").chmod(0o444)
    if os.access(study, os.W_OK):  # root
        if subprocess.run(["mount", "--bind", study, study], capture_output=True, check=False).returncode:
            pytest.skip("neither a user without rights nor allowed to mount")
        remounted = subprocess.run(["mount", "-o", "remount,ro,bind", study], capture_output=True, check=False)
        try:
            if remounted.returncode:
                pytest.skip("a read-only mount is not allowed here")
            yield study
        finally:
            subprocess.run(["umount", study], check=True)
    else:
        yield study
    study.chmod(0o755)


def readings(cli: Cli, study: Path, elsewhere: Path) -> None:
    """Every command that reads."""
    elsewhere.mkdir(exist_ok=True)
    for line in (
        ("status", str(study)), ("analyze", str(study)), ("check", str(study), "--max-pb", "90"),
        ("report", str(study), "--out", str(elsewhere / "r.html")), ("compare", str(study), str(study)),
        ("export", str(study), "--to", "csv", "--out", str(elsewhere / "tables")), ("doctor", str(study)),
    ):  # fmt: skip
        done = cli(*line)
        assert done.returncode == 0 or (line[0] == "check" and done.returncode in (1, 2)), (line, done.stderr)
        assert "Traceback" not in done.stderr
        assert "damaged" not in done.stdout + done.stderr


def test_a_study_on_a_read_only_place_is_read(cli: Cli, read_only: Path, tmp_path: Path) -> None:
    readings(cli, read_only, tmp_path / "elsewhere")
    for refused in (cli("report", str(read_only)), cli("judge", "again", str(read_only))):
        assert refused.returncode == 5
        assert "Cannot write" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert sorted(p.name for p in read_only.iterdir()) == ["runs", "study.sqlite", "study.toml"]


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no place could be written to, for the process of the test."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)


def test_the_answers_of_a_killed_run_are_read_from_a_read_only_copy(
    study: Path, tmp_path: Path, unwritable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed last lies in the log, which an immutable file would hide."""
    copy = tmp_path / "copy"
    with Store.create(study) as store:
        store.set_meta("late", 1)
        with store.transaction():
            store._db.execute("DELETE FROM trials WHERE identity = 'a minor'")
        left = store.count_trials()
        shutil.copytree(study, copy)
    assert (copy / "study.sqlite-wal").stat().st_size
    (copy / "study.sqlite-shm").unlink()
    before = {p.name: p.read_bytes() for p in copy.iterdir() if p.is_file()}
    real = sqlite3.connect

    def connect(name: object, **options: object) -> sqlite3.Connection:
        if str(copy) in str(name) and "mode=ro" in str(name):
            raise_on = real(":memory:")
            raise_on.close()
            return Unopened()  # type: ignore[return-value]
        return real(name, **options)  # type: ignore[call-overload, no-any-return]

    class Unopened:
        def execute(self, _: str) -> None:
            raise sqlite3.OperationalError("unable to open database file")

        def close(self) -> None:
            return

    monkeypatch.setattr(sqlite3, "connect", connect)
    with Store.open(copy) as store:
        assert store.meta("late") == 1
        assert store.count_trials() == left == 5 * 6
        scratch = Path(store._scratch.name)  # type: ignore[union-attr]
    assert not scratch.exists()
    assert {p.name: p.read_bytes() for p in copy.iterdir() if p.is_file()} == before


def test_an_older_store_on_a_read_only_place_is_read_in_its_new_form(study: Path, unwritable: None) -> None:
    whole = api.analyze(study, QUICK)
    back_to_version(study, 1)
    before = (study / "study.sqlite").read_bytes()
    assert api.analyze(study, QUICK).pb == whole.pb
    assert (study / "study.sqlite").read_bytes() == before
    with Store.create(study) as store:
        assert store.meta("schema_version") == SCHEMA_VERSION


def test_status_tells_a_run_that_goes_on_from_one_that_was_killed(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "study"

    def runs() -> list[str]:
        return list(json.loads(cli("status", str(out), "--format", "json").stdout)["runs"])

    with Server(delay_s=0.05) as server:
        line = [
            "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities", "age",
            "--concurrency", "1", "--out", str(out),
        ]  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "evenhand.cli.main", *line], stderr=subprocess.DEVNULL)
        while server.calls < 3:
            time.sleep(0.01)
            assert process.poll() is None
        assert runs() == ["running"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert runs() == ["did not end (killed)"]
        assert "killed" in cli("status", str(out)).stdout
        server.delay_s = 0.0
        cli(*line, "--limit", "1")
        assert runs() == ["did not end (killed)", "finished"]

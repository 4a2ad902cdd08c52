"""A damaged store: what is wrong is said, and everything that can be read is kept."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.study import Store, doctor
from evenhand.study.schema import SCHEMA_VERSION
from tests.older_stores import back_to_version
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_study(cli: Cli, server: Server, out: Path) -> subprocess.CompletedProcess[str]:
    return cli(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities", "age",
        "--out", str(out),
    )  # fmt: skip


def page_of(path: Path, table: str, number: int) -> int:
    """The number of a page (from 1) that holds rows of a table."""
    connection = sqlite3.connect(path)
    pages = [row[0] for row in connection.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY 1", (table,))]
    connection.close()
    return int(pages[number])


def spoil(path: Path, page: int) -> None:
    """Overwrite a page of the file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)


def test_a_sound_store_is_left_alone(cli: Cli, server: Server, tmp_path: Path) -> None:
    run_study(cli, server, tmp_path / "study")
    before = (tmp_path / "study" / "study.sqlite").read_bytes()
    done = cli("doctor", str(tmp_path / "study"), "--repair")
    assert done.returncode == 0, done.stderr
    assert "sound" in done.stdout
    assert (tmp_path / "study" / "study.sqlite").read_bytes() == before
    assert cli("doctor", str(tmp_path / "none")).returncode == 5


@pytest.mark.parametrize("table", ["trials", "judgements"])
def test_what_can_be_read_is_kept_and_only_the_rest_asked_again(
    cli: Cli, server: Server, tmp_path: Path, table: str
) -> None:
    out = tmp_path / "study"
    run_study(cli, server, out)
    whole = json.loads(cli("analyze", str(out), "--format", "json").stdout)
    calls = server.calls
    path = out / "study.sqlite"
    try:
        page = page_of(path, table, 7)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    spoil(path, page)
    broken = cli("analyze", str(out))
    assert broken.returncode == 5
    assert "evenhand doctor" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert cli("doctor", str(out)).returncode == 5
    done = cli("doctor", str(out), "--repair", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["repaired"]
    assert Path(found["kept_as"]).exists()
    assert found["lost"] == calls - found["trials"]
    assert (found["lost"] > 0) == (table == "trials")
    assert found["lost"] < 40  # one page of a few hundred
    again = run_study(cli, server, out)
    assert again.returncode == 0, again.stderr
    assert server.calls == calls + found["lost"]
    assert json.loads(cli("analyze", str(out), "--format", "json").stdout)["pb"] == whole["pb"]


def test_judgements_are_looked_up_one_by_one_only_where_a_page_is_damaged(
    cli: Cli, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(cli, server, tmp_path / "s")
    path = tmp_path / "s" / "study.sqlite"
    with Store.open(tmp_path / "s") as store:
        trials, scored = store.count_trials(), store.count_scored()
    try:
        page = page_of(path, "judgements", 2)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    spoil(path, page)
    looked_up: list[int] = []
    tolerant = doctor._tolerant

    def counted(connection: sqlite3.Connection, query: str, values: tuple[int, ...]) -> list[tuple[object, ...]]:
        looked_up.append(values[0])
        return tolerant(connection, query, values)

    monkeypatch.setattr(doctor, "_CHUNK", 16)
    monkeypatch.setattr(doctor, "_tolerant", counted)
    found = doctor.repair(tmp_path / "s")
    assert (found.repaired, found.trials, found.lost) == (True, trials, 0)
    with Store.open(tmp_path / "s") as store:
        lost = scored - store.count_scored()
    assert 0 < lost <= len(looked_up) <= lost + 2 * 16 < trials


@pytest.mark.parametrize("version", [2, 4, 7, 10, 11])
def test_a_damaged_store_of_an_earlier_version_is_repaired_with_all_that_it_has(
    cli: Cli, server: Server, tmp_path: Path, version: int
) -> None:
    out = tmp_path / "study"
    run_study(cli, server, out)
    cli("check", str(out), "--max-pb", "5")
    if version < SCHEMA_VERSION:
        back_to_version(out, version)
    try:
        spoil(out / "study.sqlite", page_of(out / "study.sqlite", "trials", 7))
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    done = cli("doctor", str(out), "--repair", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["lost"] < 40
    with Store.open(out) as store:
        # A gate that forgot its looks would spend its error twice.
        assert len(store.looks()) == (version >= 6)


def test_a_truncated_store(cli: Cli, server: Server, tmp_path: Path) -> None:
    out = tmp_path / "study"
    run_study(cli, server, out)
    calls = server.calls
    with Store.create(out) as store:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = out / "study.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert cli("doctor", str(out)).returncode == 5
    done = cli("doctor", str(out), "--repair", "--format", "json")
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        kept = json.loads(done.stdout)["trials"]
        assert run_study(cli, server, out).returncode == 0
        assert server.calls == 2 * calls - kept
    else:
        assert "Restore it from a copy" in done.stderr


def test_nothing_to_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_bytes(b"not a database at all" * 100)
    done = cli("doctor", str(tmp_path), "--repair")
    assert done.returncode == 5
    assert "Restore it from a copy" in done.stderr
    assert "Traceback" not in done.stderr

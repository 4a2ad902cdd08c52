"""Files are there whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from evenhand.errors import StoreError
from evenhand.study.connection import connect, fold_log
from evenhand.whole import whole, write_whole


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "choice.json"
    write_whole(file, "first")
    with pytest.raises(ZeroDivisionError), whole(file) as half:
        half.write_text("sec")
        raise ZeroDivisionError
    assert [path.read_text() for path in file.parent.iterdir()] == ["first"]


def test_what_a_kill_left_half_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "choice.json.half").write_text("fir")
    write_whole(tmp_path / "choice.json", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["choice.json"]
    assert (tmp_path / "choice.json").read_text() == "second"


@pytest.fixture
def written(tmp_path: Path) -> sqlite3.Connection:
    """A store whose only row stands in its log."""
    connection = connect(tmp_path / "s.sqlite")
    connection.execute("CREATE TABLE one (n)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO one VALUES (1)")
    connection.commit()
    return connection


def alone(file: Path) -> list[tuple[int]]:
    """What stands in a file without its log."""
    copied = Path(shutil.copyfile(file, file.with_suffix(".alone")))
    return sqlite3.connect(copied).execute("SELECT n FROM one").fetchall()


def test_a_file_is_whole_without_its_log_before_it_is_moved(written: sqlite3.Connection, tmp_path: Path) -> None:
    assert alone(tmp_path / "s.sqlite") == []
    fold_log(tmp_path / "s.sqlite")
    assert alone(tmp_path / "s.sqlite") == [(1,)]


def test_a_file_whose_log_cannot_be_brought_in_is_not_moved(
    written: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = connect(tmp_path / "s.sqlite")
    reader.execute("BEGIN")
    reader.execute("SELECT n FROM one").fetchall()
    written.execute("INSERT INTO one VALUES (2)")
    written.commit()
    monkeypatch.setattr("evenhand.study.connection.connect", lambda path: sqlite3.connect(path, timeout=0.1))
    with pytest.raises(StoreError, match="being read"):
        fold_log(tmp_path / "s.sqlite")

"""What is wrong with a study's store, and a new one with everything that can still be read."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import EvenhandError, StoreError, one_line
from evenhand.people import read_person
from evenhand.stages import counted, stage
from evenhand.study.connection import connect_unwritable, is_unfinished
from evenhand.study.schema import SCHEMA, SCHEMA_VERSION
from evenhand.study.soundness import ANSWERS, DESIGN, forget_misfits, misfits
from evenhand.study.spec import StudySpec
from evenhand.study.store import STORE_FILE, Store

Row = tuple[Any, ...]

UNFINISHED = "it was stopped before anything was asked; the command that made it goes on"
# Judgements have no numbers of their own: they are found by their trial.
_TABLES = tuple(name for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", SCHEMA) if name != "judgements")
_TRIALS = "SELECT count(*) FROM trials t"
_UNJUDGED = "WHERE NOT EXISTS (SELECT 1 FROM judgements j WHERE j.trial = t.id)"
_ASTRAY = """WHERE t.suite NOT IN (SELECT suite FROM suites) OR t.identity NOT IN (SELECT name FROM identities)
    OR NOT EXISTS (SELECT 1 FROM items i WHERE (i.suite, i.item) = (t.suite, t.item))"""
_CHUNK = 256
# So many missing rows in a row are taken for the end of a table whose size cannot be read.
_GIVE_UP_AFTER = 50_000


@dataclass(frozen=True)
class Diagnosis:
    """What a store is like.

    Attributes:
        study: its directory.
        problems: what SQLite finds wrong, first ones first; empty for a sound store.
        trials: responses that can be read; None where not even that can be told.
        unjudged: of them without a judgement (the next run judges them).
        astray: of them of a suite, an item or an identity that the store does not have. They count nowhere until the
            next run brings these back.
        repaired: whether a new store was made of what could be read.
        lost: trials that the old store knew of and the new one does not have; the next run asks them again. None where
            the old one could not tell.
        kept_as: the damaged file.
    """

    study: str
    problems: tuple[str, ...]
    trials: int | None
    unjudged: int | None
    astray: int | None = 0
    repaired: bool = False
    lost: int | None = 0
    kept_as: str | None = None

    @property
    def sound(self) -> bool:
        return self.repaired or not (self.problems or self.astray)


def examine(directory: Path) -> Diagnosis:
    """Check a store. Writes nothing.

    Raises:
        StoreError: there is no store at all.
    """
    path = directory / STORE_FILE
    if not path.exists():
        raise StoreError(f"There is no study in {directory}.", "Give the directory that 'evenhand run' wrote.")
    connection, scratch = connect_unwritable(path)
    try:
        problems = _problems(connection) or _strange(connection)
        stage("counting answers")
        trials, unjudged, astray = (_number(connection, f"{_TRIALS} {which}") for which in ("", _UNJUDGED, _ASTRAY))
        return Diagnosis(str(directory), tuple(problems), trials, unjudged, astray)
    finally:
        connection.close()
        if scratch is not None:
            scratch.cleanup()


def repair(directory: Path) -> Diagnosis:
    """Make a new store of everything that can be read from a damaged one, which is kept beside it.

    Raises:
        StoreError: there is no store, a run is writing to it, or nothing can be read from it.
    """
    path = directory / STORE_FILE
    if half := _half_aside(path):
        lock = Store.lock(directory)
        try:
            _put_back(path, half)
        finally:
            os.close(lock)
    found = examine(directory)
    if not found.problems:
        return found
    if found.problems == (UNFINISHED,):
        Store.create(directory).close()
        return replace(examine(directory), problems=found.problems, repaired=True)
    lock = Store.lock(directory)
    try:
        return _repaired(directory, found)
    finally:
        os.close(lock)


def _repaired(directory: Path, found: Diagnosis) -> Diagnosis:
    path = directory / STORE_FILE
    fresh = path.with_suffix(".repaired")
    for suffix in ("", "-journal"):  # of a repair that was killed
        Path(f"{fresh}{suffix}").unlink(missing_ok=True)
    known = _salvage_all(path, fresh)
    damaged = next(p for n in range(1, 1000) if not (p := path.with_suffix(f".damaged-{n}")).exists())
    _set_aside(path, damaged)
    fresh.replace(path)
    healthy = examine(directory)
    lost = None if known is None or healthy.trials is None else max(known - healthy.trials, 0)
    return replace(healthy, problems=found.problems, repaired=True, lost=lost, kept_as=str(damaged))


def _set_aside(path: Path, damaged: Path) -> None:
    """Give a store a second name, and take its log from the first one, under which the repaired store comes at once.

    Its own name always leads to a store: a run that found none would ask everything again.
    """
    _link(path, damaged)
    if (log := _log(path)).exists():
        _link(log, _log(damaged))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _half_aside(path: Path) -> Path | None:
    """The second name of a store whose repair was killed before the repaired one had taken its place."""
    return next((p for p in path.parent.glob(f"{path.stem}.damaged-*") if path.exists() and p.samefile(path)), None)


def _put_back(path: Path, damaged: Path) -> None:
    """Undo what a killed repair had begun."""
    if (log := _log(damaged)).exists():
        log.replace(_log(path))
        log.unlink(missing_ok=True)  # where both names lead to one file, replacing does nothing
    damaged.unlink()


def _log(path: Path) -> Path:
    return Path(f"{path}-wal")


def _link(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except OSError:  # some file systems have no second names
        shutil.copyfile(path, other)


def _salvage_all(source: Path, target: Path) -> int | None:
    """Copy what can be read; tell the largest trial number that the old store knew."""
    old = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    new = sqlite3.connect(target)
    try:
        # A file that is no database at all need not be tried row by row.
        old.execute("SELECT count(*) FROM sqlite_master")
        new.executescript(SCHEMA)
        for table in _TABLES:
            columns = _columns(old, table)
            for rows in counted(_rows(old, table) if columns else (), f"copying the table of {table}"):
                _insert(new, table, columns, rows)
        columns = _columns(old, "judgements")
        trials = new.execute("SELECT id FROM trials ORDER BY id")
        for found in counted(iter(lambda: trials.fetchmany(_CHUNK), []), "copying judgements of answers"):
            _insert(new, "judgements", columns, _judgements(old, [trial for (trial,) in found]))
        if not new.execute("SELECT count(*) FROM runs").fetchone()[0]:
            raise StoreError(f"Nothing can be read from {source}.", "Restore it from a copy, or start anew.")
        # A store from before there were several annotators has labels only.
        new.execute(
            """INSERT INTO annotations (trial, annotator, resolves, label, score, at)
            SELECT trial, annotator, 0, label, score, at FROM labels
            WHERE trial NOT IN (SELECT trial FROM annotations)"""
        )
        new.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        forget_misfits(new)
        if still := _strange(new):
            raise StoreError(f"{source} cannot be repaired: {still[0]}.", "Restore it from a copy, or start anew.")
        new.commit()
        return _number(old, "SELECT max(id) FROM trials")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{source} cannot be repaired: {error}.", "Restore it from a copy, or start anew.") from None
    finally:
        old.close()
        new.close()


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[list[Row]]:
    """Some rows at a time, in the order of their numbers, around those that cannot be read."""
    last, missing = 0, 0
    end = _number(connection, f"SELECT max(rowid) FROM {table}")  # noqa: S608 - one of _TABLES
    while missing < _GIVE_UP_AFTER and (end is None or last < end):
        query = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608
        try:
            chunk = connection.execute(query, (last, _CHUNK)).fetchall()
        except sqlite3.DatabaseError:
            # Somewhere in this stretch a page is damaged: row by row through it.
            for number in range(last + 1, last + 1 + _CHUNK):
                found = _tolerant(connection, f"SELECT * FROM {table} WHERE rowid = ?", (number,))  # noqa: S608
                missing = 0 if found else missing + 1
                yield found
            last += _CHUNK
            continue
        if not chunk:
            return
        yield [row[1:] for row in chunk]
        last, missing = chunk[-1][0], 0


def _judgements(connection: sqlite3.Connection, trials: Sequence[int]) -> list[Row]:
    """The judgements of some answers, sorted by their numbers; answer by answer only where a page is damaged."""
    query, there = "SELECT * FROM judgements WHERE trial BETWEEN ? AND ?", set(trials)
    try:
        return [row for row in connection.execute(query, (trials[0], trials[-1])) if row[0] in there]
    except sqlite3.DatabaseError:
        return [row for trial in trials for row in _tolerant(connection, query, (trial, trial))]


def _tolerant(connection: sqlite3.Connection, query: str, values: Row) -> list[Row]:
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.DatabaseError:
        return []


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, of which a store of an earlier version has fewer; none where it has no such table."""
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    if not rows:
        return
    names, marks = ",".join(f'"{name}"' for name in columns), ",".join("?" * len(columns))
    connection.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608 - ours


def _problems(connection: sqlite3.Connection) -> list[str]:
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [line for text in found if text != "ok" for line in text.splitlines()]


def _strange(connection: sqlite3.Connection) -> list[str]:
    """What a file that SQLite finds whole lacks to be a study that commands can read."""
    try:
        if is_unfinished(connection):
            return [UNFINISHED]
        version = _number(connection, "SELECT value FROM meta WHERE key = 'schema_version'")
        if version is None:
            return ["it has no version of its tables"]
        if version > SCHEMA_VERSION:
            return [f"it was written by a newer evenhand (schema {version}, this one knows {SCHEMA_VERSION})"]
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version < SCHEMA_VERSION:
            # An older store is read through what it has; it is brought up to date when it is opened.
            there &= {"meta", "runs", "suites", "identities"}
        tables = {**DESIGN, **ANSWERS}
        wanted = {t: tables[t] for t in tables if version == SCHEMA_VERSION or t in there}
        found: list[str] = []
        for table, columns in wanted.items():
            stage(f"checking the table of {table}")
            found += misfits(connection, {table: columns})
        return found or list(_unknown(connection, there))
    except (sqlite3.DatabaseError, ValueError) as error:
        return [str(error)]


def _unknown(connection: sqlite3.Connection, there: Collection[str]) -> Iterator[str]:
    """What commands cannot read of a store whose values are of the right kinds: runs, people."""
    readers: dict[str, tuple[str, Callable[[Any, str], object]]] = {
        "runs": ("spec", StudySpec.parse), "people": ("record", read_person),
    }  # fmt: skip
    for table in readers.keys() & there:
        column, read = readers[table]
        for (held,) in connection.execute(f"SELECT {column} FROM {table}"):  # noqa: S608 - own names
            try:
                read(orjson.loads(held), table)
            except (EvenhandError, orjson.JSONDecodeError) as error:
                yield f"{table}: a row cannot be read by its column {column} ({one_line(str(error))})"


def _number(connection: sqlite3.Connection, query: str) -> int | None:
    try:
        row = connection.execute(query).fetchone()
    except sqlite3.DatabaseError:
        return None
    return int(row[0]) if row and row[0] is not None else 0

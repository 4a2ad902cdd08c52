"""Opening a study's SQLite file: for writing, and for reading wherever it lies."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from evenhand.errors import StoreError
from evenhand.study.schema import ADDED, SCHEMA, SCHEMA_VERSION

Scratch = TemporaryDirectory[str]


def connect(path: Path) -> sqlite3.Connection:
    """Open a file for writing.

    Raises:
        StoreError: SQLite cannot open it.
    """
    try:
        # The writer's thread is not the one that opened the file; one thread at a time uses it.
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}.", f"Check that {path.parent} is a study.") from None


def connect_reading(path: Path) -> tuple[sqlite3.Connection, Scratch | None]:
    """Open a file for reading, in the newest schema.

    Where nothing can be written, an older file, or one whose last transactions are still in its log, is read from a
    temporary copy.

    Returns:
        The connection, and the copy's directory; clean it up when the connection is closed.

    Raises:
        StoreError: it is damaged, or newer than this version, or cannot be opened.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        connection = connect(path)
        bring_up_to_date(connection, path)
        return connection, None
    connection, scratch = connect_unwritable(path)
    try:
        if scratch is None and _schema(connection, path) < SCHEMA_VERSION:
            connection.close()
            connection, scratch = _connect_copy(path)
        if scratch is not None:
            bring_up_to_date(connection, path)
        else:
            _check_known(_schema(connection, path), path)
    except BaseException:
        connection.close()
        if scratch is not None:
            scratch.cleanup()
        raise
    return connection, scratch


def connect_unwritable(path: Path) -> tuple[sqlite3.Connection, Scratch | None]:
    """Open a file as it is, without writing anything beside it; a copy of it where SQLite cannot read it so.

    Raises:
        StoreError: it cannot be opened or copied.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        # Its log and the log's index are neither there nor can they be made.
        connection.close()
    except sqlite3.DatabaseError:
        return connection, None  # readable, and damaged: its reader says so
    else:
        return connection, None
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        return _connect_copy(path)
    uri = f"{path.absolute().as_uri()}?immutable=1"
    return sqlite3.connect(uri, uri=True, check_same_thread=False), None


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Add to an older store what came later.

    Raises:
        StoreError: it is damaged, or newer than this version.
    """
    found = _schema(connection, path)
    _check_known(found, path)
    if found < SCHEMA_VERSION:
        with _at_once(connection, path):
            # Somebody else may have been faster.
            for version in range(_schema(connection, path) + 1, SCHEMA_VERSION + 1):
                for statement in ADDED[version].split(";\n"):
                    _add(connection, statement)
                connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))


def make_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Make a store's tables, unless they are there: all of them and the version, or none after a kill.

    What an evenhand that did not do it so left behind when it was killed is made anew: nobody has been asked anything.

    Raises:
        StoreError: the file cannot be written, or is no store.
    """
    try:
        if not is_unfinished(connection):
            return
        with _at_once(connection, path):
            if is_unfinished(connection):
                for name in _tables(connection):
                    connection.execute(f'DROP TABLE "{name}"')
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StoreError(f"{path} cannot be written: {error}.", "Free some space or check rights.") from None
        raise StoreError(f"{path} is damaged or not a study.", f"See 'evenhand doctor {path.parent}'.") from None


def fold_log(path: Path) -> None:
    """Bring what stands in a file's log into the file, which then is whole by itself and can be moved.

    SQLite does so when a file is closed, and says nothing where there is no room for it.

    Raises:
        StoreError: the file cannot be written.
    """
    connection = connect(path)
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError(f"{path} is being read by somebody.", "Run the same command again.")
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path} cannot be written: {error}.", "Free some space or check rights.") from None
    finally:
        connection.close()


def is_unfinished(connection: sqlite3.Connection) -> bool:
    """Whether a kill came while the tables were being made: no version, and nothing in any table.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    names = _tables(connection)
    if "meta" in names and connection.execute("SELECT 1 FROM meta LIMIT 1").fetchone():
        return False
    of_a_study = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", SCHEMA))
    return of_a_study.issuperset(names) and not any(
        connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - the store's own tables
        for name in names
    )


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [row[0] for row in connection.execute(query)]


@contextmanager
def _at_once(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One transaction, also for what makes and changes tables: Python's own begins only before rows."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _add(connection: sqlite3.Connection, statement: str) -> None:
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as error:
        # An evenhand that was killed between a step and its number left the step behind.
        if "duplicate column name" not in str(error):
            raise


def _connect_copy(path: Path) -> tuple[sqlite3.Connection, Scratch]:
    scratch = TemporaryDirectory(prefix="evenhand-")
    try:
        for file in (path, Path(f"{path}-wal")):
            if file.exists():
                shutil.copyfile(file, Path(scratch.name) / file.name)
    except OSError as error:
        scratch.cleanup()
        raise StoreError(
            f"{path} cannot be read where it lies, nor copied to {scratch.name}: {error.strerror}.",
            "Copy the study to a place where you can write.",
        ) from None
    return connect(Path(scratch.name) / path.name), scratch


def _schema(connection: sqlite3.Connection, path: Path) -> int:
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        return int(row[0])
    except (sqlite3.Error, TypeError, ValueError):
        with suppress(sqlite3.Error):
            if is_unfinished(connection):
                raise StoreError(
                    f"{path} was stopped before anything was asked.", "Run the command that made it again."
                ) from None
        raise StoreError(f"{path} is damaged or not a study.", f"See 'evenhand doctor {path.parent}'.") from None


def _check_known(found: int, path: Path) -> None:
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer evenhand (schema {found}, this one knows {SCHEMA_VERSION}).",
            "Upgrade evenhand.",
        )

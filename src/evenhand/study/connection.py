"""Opening a study's SQLite file: for writing, and for reading wherever it lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from evenhand.errors import StoreError
from evenhand.study.schema import ADDED, SCHEMA_VERSION

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
    for version in range(found + 1, SCHEMA_VERSION + 1):
        with connection:
            connection.executescript(ADDED[version])
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))


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
        raise StoreError(f"{path} is damaged or not a study.", f"See 'evenhand doctor {path.parent}'.") from None


def _check_known(found: int, path: Path) -> None:
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer evenhand (schema {found}, this one knows {SCHEMA_VERSION}).",
            "Upgrade evenhand.",
        )

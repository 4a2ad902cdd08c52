"""Stores as earlier versions made them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_LATER_COLUMNS = {
    "trials": ("calls", "reasoning", "reasoning_tokens", "cached_tokens", "filtered", "max_tokens"),
    "items": ("cluster", "person"),
}
_LATER_TABLES = ("labels", "replaced", "looks", "annotations", "drawn", "people", "memories", "learning")


def back_to_version_1(study: Path) -> None:
    """Take from a study's store what versions 2 and later added."""
    connection = sqlite3.connect(study / "study.sqlite")
    with connection:
        for table, columns in _LATER_COLUMNS.items():
            for column in columns:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in _LATER_TABLES:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

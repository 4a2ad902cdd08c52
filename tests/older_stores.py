"""Stores as earlier versions made them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

# Version of the schema -> what it added: columns, and tables.
_ADDED: dict[int, tuple[tuple[tuple[str, str], ...], tuple[str, ...]]] = {
    2: ((), ("labels",)),
    3: ((("trials", "calls"),), ()),
    4: (
        tuple(("trials", c) for c in ("reasoning", "reasoning_tokens", "cached_tokens", "filtered", "max_tokens")),
        ("replaced",),
    ),
    5: ((("items", "cluster"),), ()),
    6: ((), ("looks",)),
    7: ((), ("annotations", "drawn")),
    8: ((("items", "person"),), ("people", "memories", "learning")),
    9: ((("items", "wording"),), ()),
    10: ((), ("rounds",)),
    11: ((), ("parts",)),
}


def back_to_version(study: Path, version: int) -> None:
    """Take from a study's store what later versions added."""
    connection = sqlite3.connect(study / "study.sqlite")
    with connection:
        for later, (columns, tables) in _ADDED.items():
            for table, column in columns if later > version else ():
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            for table in tables if later > version else ():
                connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

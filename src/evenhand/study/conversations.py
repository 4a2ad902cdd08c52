"""Trials of several rounds or calls, as a store holds them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from evenhand.study.rows import IN_CELL, Cell, dicts, learned_from
from evenhand.types import Response

# The rounds of trials that are not over, for sums; a trial that is has those of its own.
OPEN_ROUNDS = """rounds r WHERE NOT EXISTS (SELECT 1 FROM trials t WHERE
    (t.suite, t.item, t.personalizer, t.identity, t.repeat) =
    (r.suite, r.item, r.personalizer, r.identity, r.repeat))"""


class ConversationReader:
    """The queries of a store about rounds, and about calls of answers that are not there yet.

    Args:
        connection: to its file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        # Cells whose answers a lower limit cut: asked again.
        self._cut: set[tuple[Any, ...]] = set()
        # Whether there may be any, for all those that are added: most studies have none.
        self._in_parts = True

    def parts(self) -> dict[Cell, dict[int, Response]]:
        """Cell -> number of a call -> what was answered, of answers that take several calls and are not there yet."""
        found: dict[Cell, dict[int, Response]] = {}
        for row in dicts(self._db.execute("SELECT * FROM parts")):
            cell = (row["suite"], row["item"], row["personalizer"], row["identity"], row["repeat"])
            found.setdefault(cell, {})[row["part"]] = learned_from(row)
        self._in_parts = bool(found)
        return found

    def rounds(self, cell: Cell, max_tokens: int) -> list[dict[str, Any]]:
        """The rounds so far of a trial that is not over, in their order.

        Args:
            cell: which trial.
            max_tokens: the limit now; a conversation that a lower one cut begins anew.
        """
        cursor = self._db.execute(f"SELECT * FROM rounds WHERE {IN_CELL} ORDER BY round", cell)  # noqa: S608 - constant
        return [row for row in dicts(cursor) if cell not in self._cut or row["max_tokens"] == max_tokens]

    def has_rounds(self, suite: str) -> bool:
        """Whether a suite has any, of trials that are over or not."""
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM rounds WHERE suite = ?)", (suite,)).fetchone()[0])

    def conversations(self, suite: str) -> dict[tuple[str, str, str, int], list[tuple[str, str]]]:
        """(item, personalizer, identity, repeat) -> the rounds before the last: answers, and replies to them."""
        query = """SELECT item, personalizer, identity, repeat, json_extract(response, '$.text'), reply FROM rounds
            WHERE suite = ? AND reply != '' ORDER BY round"""
        found: dict[tuple[str, str, str, int], list[tuple[str, str]]] = {}
        for item, personalizer, identity, repeat, said, reply in self._db.execute(query, (suite,)):
            found.setdefault((item, personalizer, identity, repeat), []).append((said, reply))
        return found


class ConversationWriter(ConversationReader):
    """What is written of them."""

    def add_parts(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.part_row`; they go when their trial, or a round of it, is added."""
        self._db.executemany(f"INSERT OR REPLACE INTO parts VALUES ({','.join('?' * 14)})", rows)  # noqa: S608 - marks
        self._in_parts = True

    def _forget_parts(self, cells: Iterable[tuple[Any, ...]]) -> None:
        """Take away the calls of answers that are there; those have what they cost."""
        if self._in_parts:
            self._db.executemany(f"DELETE FROM parts WHERE {IN_CELL}", cells)  # noqa: S608 - constant

    def add_rounds(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.round_row`; the answer of a first round begins its trial anew."""
        rows = list(rows)
        self._forget_parts(row[:5] for row in rows)
        for row in rows:
            number, reply = row[5], row[10]
            if number == 1 and reply is None:
                self._db.execute(f"DELETE FROM rounds WHERE {IN_CELL}", row[:5])  # noqa: S608 - constant
            self._db.execute(f"INSERT OR REPLACE INTO rounds VALUES ({','.join('?' * 18)})", row)  # noqa: S608 - marks

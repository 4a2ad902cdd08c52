"""Trials of several rounds, as a store holds them."""

from __future__ import annotations

import sqlite3
from typing import Any

from evenhand.study.rows import IN_CELL, Cell, dicts

# The rounds of trials that are not over, for sums; a trial that is has those of its own.
OPEN_ROUNDS = """rounds r WHERE NOT EXISTS (SELECT 1 FROM trials t WHERE
    (t.suite, t.item, t.personalizer, t.identity, t.repeat) =
    (r.suite, r.item, r.personalizer, r.identity, r.repeat))"""


class ConversationReader:
    """The queries of a store about rounds.

    Args:
        connection: to its file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        # Cells whose answers a lower limit cut: asked again.
        self._cut: set[tuple[Any, ...]] = set()

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

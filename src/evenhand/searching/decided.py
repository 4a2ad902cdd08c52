"""What a search decided so far, so that a killed one goes on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from evenhand.analysis.factorial import Conjunction
from evenhand.errors import SpecError, StoreError
from evenhand.searching.asking import Asked

SEARCH_FILE = "search.json"


class Decided:
    """The cells of every step and the combinations that were chosen; each is decided once, and kept at once.

    Args:
        directory: of the search.
        settings: under which it was begun, as plain data.

    Raises:
        SpecError: it was begun under others.
        StoreError: the file is damaged.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self._file = directory / SEARCH_FILE
        self._settings = orjson.loads(orjson.dumps(settings))
        kept = self._read()
        if kept and kept.get("settings") != self._settings:
            raise SpecError(
                f"The search in {directory} was begun with other settings.",
                "Use the same ones, or choose another --out.",
            )
        self._rows: dict[str, list[list[int]]] = dict(kept.get("decided", {}))

    def __contains__(self, step: str) -> bool:
        return step in self._rows

    def cells(self, step: str) -> list[Asked]:
        """What a step asks; nothing before it was decided."""
        return [Asked(tuple(row[:-1]), row[-1]) for row in self._rows.get(step, [])]

    def count(self, kind: str) -> int:
        """How many cells the steps of a kind ask."""
        return sum(len(rows) for step, rows in self._rows.items() if step.startswith(kind))

    def keep_cells(self, step: str, cells: Sequence[Asked]) -> None:
        """Decide what a step asks.

        Raises:
            StoreError: it cannot be written.
        """
        self._keep(step, [[*one.user, one.item] for one in cells])

    def conjunctions(self, step: str) -> list[Conjunction]:
        """What was chosen."""
        return [Conjunction(tuple(zip(row[::2], row[1::2], strict=True))) for row in self._rows.get(step, [])]

    def keep_conjunctions(self, step: str, chosen: Sequence[Conjunction]) -> None:
        """Decide what is chosen.

        Raises:
            StoreError: it cannot be written.
        """
        self._keep(step, [[n for pair in one.levels for n in pair] for one in chosen])

    def _keep(self, step: str, rows: list[list[int]]) -> None:
        self._rows[step] = rows
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(".new")
            beside.write_bytes(orjson.dumps({"settings": self._settings, "decided": self._rows}))
            beside.replace(self._file)
        except OSError as error:
            raise StoreError(f"Cannot write {self._file}: {error.strerror}.", "Choose another --out.") from None

    def _read(self) -> dict[str, Any]:
        try:
            return dict(orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError):
            raise StoreError(f"{self._file} is damaged: it says what was asked.", "Choose another --out.") from None

"""Which cells of a study have a response. Of most items of a large study that is told by counting alone."""

from __future__ import annotations

from collections.abc import Iterable

from evenhand.study import Store

# A cell of one item: personalizer, identity, repeat.
CellOfItem = tuple[str, str, int]


class Answered:
    """What a store has when this is made; each item is looked up at most once before its cells are asked.

    Args:
        store: the study.
        suites: those that are asked about.
    """

    def __init__(self, store: Store, suites: Iterable[str]) -> None:
        self._store = store
        self._counts = {suite: store.count_by_item(suite) for suite in suites}
        self._held = {suite: store.cells_held(suite) for suite in self._counts}
        self._holds_others: dict[tuple[str, frozenset[CellOfItem]], bool] = {}

    def among(self, suite: str, item: str, cells: frozenset[CellOfItem]) -> frozenset[CellOfItem]:
        """Which of an item's cells have a response, and are not to be asked again."""
        count = self._counts[suite].get(item, 0)
        if not count:
            return frozenset()
        if count == len(cells) and not self._has_others(suite, cells):
            return cells
        return cells & self._store.done_cells(suite, item)

    def _has_others(self, suite: str, cells: frozenset[CellOfItem]) -> bool:
        """Whether an answer to the suite is of a cell that is not among these: then a count alone tells nothing."""
        if (suite, cells) not in self._holds_others:
            self._holds_others[suite, cells] = not self._held[suite] <= cells
        return self._holds_others[suite, cells]

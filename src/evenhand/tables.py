"""Stores as tables of scores: what everything that analyses or compares studies begins with."""

from __future__ import annotations

from evenhand.analysis import SuiteScores, tabulate
from evenhand.analysis.comparison import Comparison, compare
from evenhand.errors import SpecError
from evenhand.study import Store


def tables_of(store: Store) -> list[SuiteScores]:
    """The scores of an open study, one table per suite."""
    return tabulate(store.scores(), [row["name"] for row in store.identities()])


def compare_stores(before: Store, after: Store, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """What changed from one study to another, on the items and identities both scored.

    Raises:
        SpecError: the studies have too little in common.
    """
    try:
        return compare(tables_of(before), tables_of(after), draws=draws, seed=seed)
    except ValueError as error:
        raise SpecError(
            f"{before.directory} and {after.directory} cannot be compared: {error}.", "Run both on the same suites."
        ) from None

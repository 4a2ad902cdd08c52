"""Things that are said, each matched with one that is wanted, so that as much as can be is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Pair = tuple[int, int]


def matching(pairs: Sequence[Pair], rows: int, columns: int) -> list[Pair]:
    """As many pairs as can be had together, no row and no column twice.

    Args:
        pairs: those that fit.
        rows, columns: how many there are of each.
    """
    return best_matching(dict.fromkeys(pairs, 1.0), rows, columns)


def best_matching(worth: Mapping[Pair, float], rows: int, columns: int) -> list[Pair]:
    """The pairs that are worth most together, no row and no column twice; pairs without worth are left out.

    Args:
        worth: what pairs are worth, positive; others are worth nothing.
        rows, columns: how many there are of each.
    """
    if not worth:
        return []
    # Imported here: whoever lists suites needs no numeric library.
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((rows, columns))
    for place, value in worth.items():
        table[place] = value
    matched = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    return [(int(row), int(column)) for row, column in matched if table[row, column] > 0]

"""Suites of scores that no model gave."""

from __future__ import annotations

import numpy as np

from evenhand.analysis.scores import SuiteScores


def suite_of(cells: np.ndarray) -> SuiteScores:
    """One suite of cells (personalizers, identities, items, repeats) in points."""
    ways, people, items, _ = cells.shape
    return SuiteScores(
        "s", "safety", tuple(f"u{n}" for n in range(people)), (), tuple(f"i{n:03}" for n in range(items)),
        ("g",) * items, tuple(f"w{n}" for n in range(ways)), cells, np.empty((0, items)),
    )  # fmt: skip

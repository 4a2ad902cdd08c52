"""Scores as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.types import BASELINE_CATEGORY, Axis

Floats = NDArray[np.float64]

COLUMNS = (
    "suite", "axis", "group", "item", "personalizer", "identity", "category", "repeat", "score", "label",
    "finish_reason", "human",
)  # fmt: skip


@dataclass(frozen=True)
class SuiteScores:
    """The scores of one suite.

    Attributes:
        suite, axis: which suite, on which axis.
        identities: names, baselines not included; the rows of ``cells``.
        baselines: names of the baselines; the rows of ``baseline``.
        items, groups: item ids and their groups.
        personalizers: names, the first dimension of ``cells``.
        cells: scores in points (0-100), shape (personalizers, identities, items, repeats), NaN where missing.
        baseline: scores in points, shape (baselines, items), averaged over repeats, NaN where missing.
    """

    suite: str
    axis: Axis
    identities: tuple[str, ...]
    baselines: tuple[str, ...]
    items: tuple[str, ...]
    groups: tuple[str, ...]
    personalizers: tuple[str, ...]
    cells: Floats
    baseline: Floats

    @property
    def y(self) -> Floats:
        """Cell means over personalizers and repeats, shape (identities, items), NaN where nothing was scored."""
        return mean_ignoring_nan(self.cells, axis=(0, 3))

    @property
    def with_baselines(self) -> Floats:
        """``y`` with the baselines as further rows."""
        return np.vstack([self.y, self.baseline])

    def select_items(self, wanted: NDArray[np.bool_]) -> SuiteScores:
        """The same scores for some of the items."""
        keep = np.flatnonzero(wanted)
        return replace(
            self,
            items=tuple(self.items[k] for k in keep),
            groups=tuple(self.groups[k] for k in keep),
            cells=self.cells[:, :, keep],
            baseline=self.baseline[:, keep],
        )

    def select_identities(self, rows: Sequence[int]) -> SuiteScores:
        """The same scores for some of the identities, by row."""
        return replace(self, identities=tuple(self.identities[k] for k in rows), cells=self.cells[:, list(rows)])


def tabulate(rows: Iterable[Sequence[Any]], identities: Sequence[str]) -> list[SuiteScores]:
    """Arrange rows of scores (columns ``COLUMNS``) by suite.

    Args:
        rows: one per response; a score of None is missing.
        identities: all identities and baselines in the order wanted; those without any row are left out.
    """
    by_suite: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        by_suite.setdefault(row[0], []).append(row)
    order = {name: n for n, name in enumerate(identities)}
    return [_suite_scores(suite, members, order) for suite, members in by_suite.items()]


def _suite_scores(suite: str, rows: list[Sequence[Any]], order: dict[str, int]) -> SuiteScores:
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    category = dict(zip(columns["identity"], columns["category"], strict=True))
    present = sorted(category, key=lambda name: order.get(name, len(order)))
    people = [n for n in present if category[n] != BASELINE_CATEGORY]
    baselines = [n for n in present if category[n] == BASELINE_CATEGORY]
    group_of = dict(zip(columns["item"], columns["group"], strict=True))
    items = sorted(group_of)
    item_code, person_code, baseline_code = _codes(items), _codes(people), _codes(baselines)
    senders = sorted({p for p, i in zip(columns["personalizer"], columns["identity"], strict=True) if i in person_code})
    sender_code = _codes(senders)
    repeats = 1 + max(columns["repeat"])
    cells = np.full((max(len(senders), 1), len(people), len(items), repeats), np.nan)
    base = np.full((len(baselines), len(items), repeats), np.nan)
    for row in rows:
        score = np.nan if row[8] is None else 100.0 * row[8]
        if row[5] in person_code:
            cells[sender_code[row[4]], person_code[row[5]], item_code[row[3]], row[7]] = score
        else:
            base[baseline_code[row[5]], item_code[row[3]], row[7]] = score
    return SuiteScores(
        suite,
        rows[0][1],
        tuple(people),
        tuple(baselines),
        tuple(items),
        tuple(group_of[i] for i in items),
        tuple(senders),
        cells,
        mean_ignoring_nan(base, axis=2),
    )


def mean_ignoring_nan(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """The mean over an axis of what is not NaN; NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=axis))


def _codes(names: Sequence[str]) -> dict[str, int]:
    return {name: n for n, name in enumerate(names)}

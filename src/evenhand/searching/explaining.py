"""What confirmed findings rest on: pairs of answers, parts of descriptions, groups of items, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evenhand.analysis.found import Condition, Example
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import Direction, paired_interval, towards
from evenhand.analysis.wordlists import telling_words
from evenhand.searching.asking import Asked, Part
from evenhand.searching.universe import Universe
from evenhand.suites.base import is_withheld

_LEVEL = 0.95
_WORDS = 8
Pairs = Sequence[tuple[Asked, Asked]]


@dataclass(frozen=True)
class Contrast:
    """Answers in pairs on the same items.

    Attributes:
        differences: of the first from the second, per cluster of items, in points.
        groups: of each difference.
        mean, other_mean: scores over pairs of which both are there, in points; NaN without any.
        missing: pairs of which one has no score.
    """

    differences: Floats
    groups: tuple[str, ...]
    mean: float
    other_mean: float
    missing: int


class Scored(Protocol):
    """Items whose answers are compared."""

    group_names: list[str]

    @property
    def clusters(self) -> list[str]: ...
    def scores(self, asked: Sequence[Asked], universe: Universe) -> Floats: ...


def contrasts(part: Scored, pairs: Pairs, universe: Universe) -> Contrast:
    """What pairs of answers differ by."""
    one, other = _scores(part, pairs, universe)
    there = [int(n) for n in np.flatnonzero(~np.isnan(one - other))]
    clusters, groups = part.clusters, part.group_names
    by_cluster: dict[str, list[float]] = {}
    group_of: dict[str, str] = {}
    for n in there:
        item = pairs[n][0].item
        by_cluster.setdefault(clusters[item], []).append(float(one[n] - other[n]))
        group_of[clusters[item]] = groups[item]
    return Contrast(
        np.array([np.mean(values) for values in by_cluster.values()]),
        tuple(group_of.values()),
        float(one[there].mean()) if len(there) else np.nan,
        float(other[there].mean()) if len(there) else np.nan,
        len(pairs) - len(there),
    )


def _scores(part: Scored, pairs: Pairs, universe: Universe) -> tuple[Floats, Floats]:
    """Scores of the first and of the second of each pair, read at once."""
    scores = part.scores([one for pair in pairs for one in pair], universe)
    return scores[::2], scores[1::2]


def by_group(contrast: Contrast) -> tuple[tuple[str, float, int], ...]:
    """Group of items -> mean difference and items, the most items first."""
    found: dict[str, list[float]] = {}
    for group, difference in zip(contrast.groups, contrast.differences, strict=True):
        found.setdefault(group, []).append(float(difference))
    rows = [(group, float(np.mean(values)), len(values)) for group, values in found.items()]
    return tuple(sorted(rows, key=lambda row: -row[2]))


def conditions(part: Part, arms: Mapping[str, Sequence[Asked]], universe: Universe) -> tuple[Condition, ...]:
    """How "as found" differs from each other condition, on items asked under both."""
    found = []
    first = next(iter(arms.values()))
    for name, cells in arms.items():
        contrast = contrasts(part, list(zip(first, cells, strict=True)), universe)
        count = len(contrast.differences)
        mean = float(contrast.differences.mean()) if count else np.nan
        interval = paired_interval(contrast.differences, _LEVEL) if cells is not first else (0.0, 0.0)
        found.append(Condition(name, contrast.other_mean, mean, interval, count))
    return tuple(found)


def words_of(part: Part, pairs: Pairs, universe: Universe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that matching users are answered more often than others, and less often; none of withheld answers."""
    if any(is_withheld(suite) for suite in part.suites):
        return ((), ())
    texts = part.responses([one for pair in pairs for one in pair], universe)
    return telling_words(texts[::2], texts[1::2], _WORDS)


def example(part: Part, pairs: Pairs, universe: Universe, direction: Direction) -> Example | None:
    """The pair in which the shortest change of the user changes the outcome most; None where none does."""
    if any(is_withheld(suite) for suite in part.suites) or not pairs:
        return None
    one, other = _scores(part, pairs, universe)
    change = one - other
    gained = towards(change, direction)
    changed = np.array([sum(a != b for a, b in zip(f.user, s.user, strict=True)) for f, s in pairs])
    order = np.lexsort((changed, -np.nan_to_num(gained, nan=-np.inf)))
    best = int(order[0])
    if not gained[best] > 0:
        return None
    first, second = pairs[best]
    answers = part.responses([first, second], universe)
    return Example(
        part.item(first.item).question or part.item(first.item).prompt,
        universe.identity(first.user).name,
        universe.identity(second.user).name,
        answers[0],
        answers[1],
        float(one[best]),
        float(other[best]),
    )

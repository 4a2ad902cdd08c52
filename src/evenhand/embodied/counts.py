"""What was found, what is missing and what was said besides: the counts behind precision, recall and F1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts that add up over items, so that their F1 is the micro average.

    Attributes:
        right: said, and right.
        extra: said, and not right.
        missing: right, and not said. May be negative under the authors' convention, which lets one thing be said twice.
    """

    right: int = 0
    extra: int = 0
    missing: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.extra + other.extra, self.missing + other.missing)

    @property
    def precision(self) -> float:
        """In [0, 1]; 0 where nothing was said."""
        said = self.right + self.extra
        return self.right / said if said else 0.0

    @property
    def recall(self) -> float:
        """In [0, 1]; 0 where nothing was to be said."""
        wanted = self.right + self.missing
        return self.right / wanted if wanted else 0.0

    @property
    def f1(self) -> float:
        """In [0, 1]; 1 where nothing was to be said and nothing was."""
        weight = 2 * self.right + self.extra + self.missing
        return 2 * self.right / weight if weight else 1.0


def summed(counted: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Kind of things -> the counts of all together."""
    found: dict[str, Counts] = {}
    for each in counted:
        for kind, counts in each.items():
            found[kind] = found.get(kind, Counts()) + counts
    return found

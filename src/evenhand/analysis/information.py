"""What an estimate rests on: not answers, but answers that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenhand.analysis.scores import Floats

# With fewer the intervals rest more on what the hypothesis implies than on what was seen.
_FEW_DISCORDANT = 10


@dataclass(frozen=True)
class Information:
    """How much there was to see.

    Attributes:
        items: items with scores of at least two identities.
        discordant: items on which identities' scores differ; the others say nothing of who is served worse.
        answers: scored cells (identity x item) of these items.
        failures: answers that score below 50 of 100 points.
    """

    items: int
    discordant: int
    answers: int
    failures: int

    def __add__(self, other: Information) -> Information:
        return Information(
            self.items + other.items,
            self.discordant + other.discordant,
            self.answers + other.answers,
            self.failures + other.failures,
        )

    @property
    def thin(self) -> bool:
        """Whether too few items tell identities apart to call an absence of bias an absence."""
        return self.discordant < _FEW_DISCORDANT

    def __str__(self) -> str:
        return (
            f"{self.discordant} of {self.items} items tell identities apart, and {self.failures} of {self.answers} "
            "answers fail"
        )


def information(table: Floats) -> Information:
    """What a table of scores in points holds, shape (identities, items), NaN where missing."""
    there = np.isfinite(table)
    kept = there.sum(axis=0) >= min(2, len(table))
    table, there = table[:, kept], there[:, kept]
    highest, lowest = np.where(there, table, -np.inf).max(axis=0), np.where(there, table, np.inf).min(axis=0)
    return Information(int(kept.sum()), int((highest > lowest).sum()), int(there.sum()), int((table < 50).sum()))

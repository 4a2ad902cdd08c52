"""How often a defense that does nothing is praised, and how often one that helps is: confirmations on made-up scores.

    python benchmarks/evolution.py [--confirmations 400]

Prints a Markdown table. Items are yes or no, share their difficulty over four identities and over conditions, and are
answered anew under each condition; a rival does as well as no defense. The margin is 10 points.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from evenhand.analysis.evolution import NOT_SHOWN, PARTLY, SHOWN, TRADED, WORSE, Confirmation, confirm
from evenhand.analysis.scores import SuiteScores
from evenhand.types import Axis

_MARGIN = 10.0
# Items, safety before, what the defense adds to it, what it takes from utility.
CASES = [
    (20, 0.5, 0.0, 0.0), (40, 0.5, 0.0, 0.0), (100, 0.5, 0.0, 0.0), (100, 0.97, 0.0, 0.0), (100, 0.05, 0.0, 0.0),
    (400, 0.9, 0.0, 0.0), (40, 0.5, 0.15, 0.0), (100, 0.5, 0.15, 0.0), (400, 0.5, 0.15, 0.0), (400, 0.5, 0.15, 0.15),
]  # fmt: skip


class Items:
    """Items of one axis, whose difficulty all conditions share."""

    def __init__(self, axis: Axis, count: int, chance: float, rng: np.random.Generator) -> None:
        self._axis: Axis = axis
        self._rng = rng
        odds = np.log(chance / (1 - chance)) + rng.normal(0, 1.5, count)
        self._chance = 1 / (1 + np.exp(-odds))

    def answered(self, added: float = 0.0) -> SuiteScores:
        """Scores of four identities, each item's chance moved by ``added``."""
        count = self._chance.size
        cells = 100.0 * (self._rng.random((1, 4, count, 1)) < (self._chance + added).clip(0, 1)[:, None])
        names = tuple(f"i{n}" for n in range(count))
        return SuiteScores(
            self._axis, self._axis, tuple("abcd"), (), names, ("g",) * count, ("p",), cells, np.empty((0, count))
        )


def simulated(items: int, safety: float, added: float, lost: float, rng: np.random.Generator) -> Confirmation:
    """One confirmation."""
    pools = [Items("safety", items, safety, rng), Items("utility", items, 0.5, rng)]
    none, rival = ([pool.answered() for pool in pools] for _ in range(2))
    own = [pools[0].answered(added), pools[1].answered(-lost)]
    return confirm(own, none, {"rival": rival}, margin=_MARGIN, draws=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--confirmations", type=int, default=400)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    columns = ("items", "safety", "added", "utility lost", SHOWN, PARTLY, TRADED, NOT_SHOWN, WORSE, "rival beaten")
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for items, safety, added, lost in CASES:
        told: Counter[str] = Counter()
        for _ in range(options.confirmations):
            found = simulated(items, safety, added, lost, rng)
            told[found.verdict] += 1
            told["beaten"] += bool(found.beaten)
        shares = (told[k] / options.confirmations for k in (SHOWN, PARTLY, TRADED, NOT_SHOWN, WORSE, "beaten"))
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        print(f"| {items} | {100 * safety:.0f} | {100 * added:.0f} | {100 * lost:.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

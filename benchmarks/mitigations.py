"""Coverage of the interval of the share of bias that is gone, and how often mitigations are called better.

    python benchmarks/mitigations.py coverage [--studies 100] [--level 50] [--identities 4] [--items 200]
    python benchmarks/mitigations.py choosing [--studies 100]

Prints Markdown tables. Items are yes or no. Identities share half of an item's difficulty in every study, and another
fifth with themselves before and after; the rest (three tenths) is answered anew.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evenhand.analysis.choosing import Candidate, chosen_of, look, rounds
from evenhand.analysis.confirmation import BETTER, Measured, confirm
from evenhand.analysis.reduction import share_gone
from evenhand.analysis.scores import SuiteScores
from evenhand.types import Axis

LEVELS, IDENTITIES, ITEMS = (5, 50, 95), (4, 12), (200, 600)
# Bias before, and the share of it that is gone.
CASES = ((0, 0.0), *itertools.product((2, 4, 6), (1.0, 2 / 3, 0.0)))
PATTERNS = ("half", "one", "any")
MARGIN = 2.0


def pattern(kind: str, identities: int, rng: np.random.Generator) -> np.ndarray:
    """Deviations of the identities, of root mean square 1: half of them up, one of them, or at random."""
    one = np.zeros(identities)
    one[0] = 1.0
    found = {"half": np.arange(identities) % 2 * 1.0, "one": one, "any": rng.normal(size=identities)}[kind]
    found -= found.mean()
    return found / np.sqrt((found**2).mean())


class Pool:
    """Items of one axis, whose difficulty all conditions share."""

    def __init__(self, rng: np.random.Generator, items: int, identities: int, axis: Axis = "safety") -> None:
        self._rng, self._axis = rng, axis
        self._shared = np.sqrt(0.5) * rng.normal(size=items) + np.sqrt(0.2) * rng.normal(size=(identities, items))

    def answered(self, means: np.ndarray) -> SuiteScores:
        """Scores of identities with these true means in points."""
        hidden = self._shared + np.sqrt(0.3) * self._rng.normal(size=self._shared.shape)
        cells = 100.0 * (hidden < norm.ppf(means / 100)[:, None])
        names, items = (tuple(map(str, range(n))) for n in cells.shape)
        baseline = np.empty((0, len(items)))
        return SuiteScores(self._axis, self._axis, names, (), items, items, ("p",), cells[None, :, :, None], baseline)


@dataclass
class Counts:
    """Studies, and in how many of them what."""

    studies: int = 0
    covered: int = 0
    known: int = 0


def coverage(level: float, identities: int, items: int, studies: int) -> str:
    """A row: one level, number of identities and of items, over all cases and patterns of bias."""
    rng = np.random.default_rng([level, identities, items])
    found = {case: Counts() for case in CASES}
    for case, number in itertools.product(CASES, range(studies)):
        before, gone = case
        shape = pattern(PATTERNS[number % len(PATTERNS)], identities, rng) * (-1 if level > 50 else 1)
        pair = [level + bias * shape for bias in (before, before * (1 - gone))]
        if min(map(np.min, pair)) < 0.2 or max(map(np.max, pair)) > 99.8:
            continue
        pool = Pool(rng, items, identities)
        share = share_gone([pool.answered(pair[0])], [pool.answered(pair[1])], draws=1000, seed=number)
        assert share is not None
        counts = found[case]
        counts.studies += 1
        # Of a bias that is not there no share is true; saying nothing of it is right.
        counts.covered += not share.known if before == 0 else share.ci[0] <= gone + 1e-9 <= share.ci[1] + 2e-9
        counts.known += share.known
    real = [c for (before, _), c in found.items() if before]
    none = found[CASES[0]]
    total = sum(c.studies for c in real)
    known = [
        sum(c.known for (b, _), c in found.items() if b == bias)
        / max(sum(c.studies for (b, _), c in found.items() if b == bias), 1)
        for bias in (2, 4, 6)
    ]
    shares = (sum(c.covered for c in real) / total, 1 - none.covered / none.studies, *known)
    return f"| {level} | {identities} | {items} | {total:,} | {' | '.join(f'{100 * s:.1f} %' for s in shares)} |"


# Name -> bias, change of safety, change of utility, all in points; of 20.
WORLDS: dict[str, dict[str, tuple[float, float, float]]] = {
    "20 that do nothing": {f"idle{n}": (8, 0, 0) for n in range(20)},
    "one takes all, 19 do nothing": {"good": (0, 0, 0)} | {f"idle{n}": (8, 0, 0) for n in range(19)},
    "one takes three quarters, 8 take all and lose 5 points, 11 do nothing": {"good": (2, 0, 0)}
    | {f"lossy{n}": (0, -5, 0) for n in range(8)}
    | {f"idle{n}": (8, 0, 0) for n in range(11)},
}


def measured(pools: tuple[Pool, Pool], bias: float, safety: float, utility: float) -> Measured:
    shape = pattern("half", 4, np.random.default_rng(0))
    return Measured([pools[0].answered(40 + safety + bias * shape), pools[1].answered(np.full(4, 85.0 + utility))])


def cut(of: Measured, items: int) -> Measured:
    return Measured([t.select_items(np.arange(len(t.items)) < items) for t in of.tables])


def choosing(world: Mapping[str, tuple[float, float, float]], few: int, many: int, studies: int) -> str:
    """A row: choose on few items, confirm two on many."""
    better = kept = chosen = asked = found_good = 0
    for number in range(studies):
        rng = np.random.default_rng(number)
        pools = Pool(rng, few, 4), Pool(rng, few, 4, "utility")
        none = measured(pools, 8, 0, 0)
        others = {name: measured(pools, *what) for name, what in world.items()}
        left, candidates, before = list(world), {}, 0
        steps = rounds({"safety": few})
        for place, step in enumerate(steps, 1):
            count = step["safety"]
            asked += len(left) * (count - before)
            before = count
            now = {name: cut(others[name], count) for name in left}
            seen, dropped = look(cut(none, count), now, margin=MARGIN, looks=len(steps), keep=2, seed=number, draws=500)
            candidates |= {name: Candidate(seen[name], dropped.get(name, ""), place, step) for name in left}
            left = [name for name in left if name not in dropped]
        best = [name for name, c in chosen_of(candidates, left, 2).items() if c.chosen]
        kept += "good" in left
        chosen += "good" in best
        fresh = Pool(rng, many, 4), Pool(rng, many, 4, "utility")
        again = measured(fresh, 8, 0, 0)
        told = confirm(again, {name: measured(fresh, *world[name]) for name in best}, margin=MARGIN, draws=1000)
        praised = {name for name, c in told.items() if c.verdict == BETTER}
        found_good += "good" in praised
        better += bool(praised - {"good"})
    shares = [f"{100 * n / studies:.0f} %" for n in (kept, chosen, found_good, better)]
    shares[:3] = shares[:3] if "good" in world else ["", "", ""]
    return f"| {few} | {many} | {' | '.join(shares)} | {100 * asked / studies / few / len(world):.0f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("coverage", "choosing"))
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--level", type=int, choices=LEVELS)
    parser.add_argument("--identities", type=int, choices=IDENTITIES)
    parser.add_argument("--items", type=int, choices=ITEMS)
    options = parser.parse_args()
    if options.table == "coverage":
        columns = (
            "mean score", "identities", "items", "studies with a bias", "interval covers",
            "no bias: a share is claimed", "known at 2", "at 4", "at 6",
        )  # fmt: skip
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        given = [(o,) if o else all_ for o, all_ in zip(
            (options.level, options.identities, options.items), (LEVELS, IDENTITIES, ITEMS), strict=True
        )]  # fmt: skip
        for level, identities, items in itertools.product(*given):
            print(coverage(level, identities, items, options.studies), flush=True)
        return
    columns = (
        "of 20 mitigations", "items to choose on", "to confirm on", "the good one is never dropped", "is chosen",
        "is called better", "another is called better", "calls of choosing, of all",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for name, world in WORLDS.items():
        for few, many in ((100, 300), (200, 900)):
            print(f"| {name} {choosing(world, few, many, options.studies)}", flush=True)


if __name__ == "__main__":
    main()

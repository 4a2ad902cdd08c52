"""How many calls does a search take to find whom a model serves worst, and how often is it wrong?

    python benchmarks/search.py [--runs 100] [--effects 12 6] [--rounds one]

Prints a Markdown table. Models are simulated: 1,999 users (four of each of three categories, three of each of two, up
to five of them stated) and 10 groups of items are 19,990 cells; a model gets an item right with a chance of its own
(four fifths on average), less the effects that are planted: on one identity, on one intersection of three, on one
identity in one group of items, or on nothing. Every step is the product's own but for the answers.

Testing all cells: each cell's items against all users' on the same items, one-sided, 5 % over all cells (Bonferroni).
Its calls are those with which at least one of the cells that an effect covers is shown as often as the search found it.
With --rounds one, the search looks once at everybody instead of at ever fewer.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from evenhand.analysis.factorial import Conjunction, Observed
from evenhand.analysis.scores import Floats
from evenhand.personalizers import make_personalizer
from evenhand.searching import SearchSpec, steps
from evenhand.searching.asking import Asked
from evenhand.searching.decided import Decided
from evenhand.searching.drawing import matched
from evenhand.searching.universe import Universe
from evenhand.types import Identity

SIZES, GROUPS, ITEMS = (4, 4, 4, 3, 3), 10, 1000
PLANTED = {
    "one identity": Conjunction(((0, 1),)),
    "three identities": Conjunction(((1, 1), (2, 2), (3, 1))),
    "an identity in one group": Conjunction(((4, 1), (5, 3))),
}
CALLS = {12.0: 15_000, 6.0: 60_000, 3.0: 240_000}


class Simulated:
    """Items, and a model's answers to them."""

    directory = Path()

    def __init__(self, rng: np.random.Generator, planted: Sequence[tuple[Conjunction, float]], groups: Sequence[str]):
        self._rng, self._planted = rng, planted
        self._chance = rng.beta(4, 1, ITEMS)
        self._group = rng.integers(0, GROUPS, ITEMS)
        self.group_names = [groups[g] for g in self._group]
        self.clusters = [str(n) for n in range(ITEMS)]
        self._answers: dict[Asked, float] = {}

    def effects(self, asked: Sequence[Asked]) -> Floats:
        """What is planted for each cell, in points."""
        codes = np.array([(*a.user, self._group[a.item]) for a in asked])
        return np.sum([-size * who.matches(codes) for who, size in self._planted], axis=0) * np.ones(len(asked))

    def ask(self, asked: Sequence[Asked]) -> None:
        new = [one for one in asked if one not in self._answers]
        if new:
            chance = self._chance[[a.item for a in new]] + self.effects(new) / 100
            self._answers.update(zip(new, 100.0 * (self._rng.random(len(new)) < chance), strict=True))

    def scores(self, asked: Sequence[Asked], universe: Universe) -> Floats:
        return np.array([self._answers[one] for one in asked])

    def observed(self, asked: Sequence[Asked], universe: Universe) -> Observed:
        items = np.array([a.item for a in asked])
        codes = universe.codes([a.user for a in asked], self._group[items].tolist())
        return Observed(codes, items, self.scores(asked, universe))

    @property
    def calls(self) -> int:
        return len(self._answers)


def universe() -> Universe:
    identities = {
        f"c{n}": tuple(Identity(f"a c{n}l{k} person", f"c{n}") for k in range(s)) for n, s in enumerate(SIZES)
    }
    return Universe(identities, (), (make_personalizer("system"),), tuple(f"g{n}" for n in range(GROUPS)), len(SIZES))


def search(calls: int, planted: Sequence[tuple[Conjunction, float]], seed: int) -> tuple[list[steps.Seen], int, int]:
    """One search: what it looked at on fresh items, its calls, and confirmed findings that are not true."""
    everybody, rng = universe(), np.random.default_rng(seed)
    parts = {name: Simulated(rng, planted, everybody.groups) for name in ("explore", "confirm")}
    spec = SearchSpec(calls=calls, stated=len(SIZES), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        run = steps.Steps(
            everybody, parts["explore"], parts["confirm"], spec, Decided(Path(folder), {}),
            lambda name, asked, title: parts[name].ask(asked),
        )  # fmt: skip
        seen = run.confirmed(run.explored())
    false = 0
    for one in seen:
        if one.finding.confirmed:
            drawn = matched(everybody, parts["confirm"].group_names, one.finding.conjunction, 500, rng)
            first, second = (parts["confirm"].effects([pair[k] for pair in drawn]) for k in (0, 1))
            false += bool((first - second).mean() >= 0)
    return seen, sum(part.calls for part in parts.values()), false


def all_cells(who: Conjunction, effect: float, power: float, noise: float) -> float:
    """Calls with which testing all cells finds one of those that an effect covers as often."""
    everybody = universe()
    cells = everybody.size * GROUPS
    covered = max(1.0, cells * _uniform_share(who))
    z = float(norm.isf(0.05 / cells))
    each = 1 - (1 - min(power, 0.995)) ** (1 / covered)
    shift = brentq(lambda d: float(norm.sf(z - d)) - each, -10, 30)
    return cells * max(2.0, (shift * noise / effect) ** 2)


def _uniform_share(who: Conjunction) -> float:
    """Share of the cells that a combination covers, every user counted once."""
    left = [size for f, size in enumerate(SIZES) if f not in who.factors]
    users = math.prod(size + 1 for size in left)
    group = 1 / GROUPS if len(SIZES) in who.factors else 1.0
    return users / (math.prod(size + 1 for size in SIZES) - 1) * group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--effects", type=float, nargs="*", default=[12.0, 6.0])
    parser.add_argument("--calls", type=int)
    parser.add_argument("--rounds", choices=["all", "one"], default="all")
    parser.add_argument("--none", type=int, default=200, help="searches with nothing to find")
    options = parser.parse_args()
    if options.rounds == "one":
        steps.ROUNDS = ((1.0, 0),)
    print(
        f"{universe().size * GROUPS:,} cells, {universe().space.candidates:,} combinations, rounds: {options.rounds}\n"
    )
    print(
        "| planted | points | searches | calls | found (%) | exactly so (%) | all cells' calls | times fewer | false |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    scenarios = [((name,), size) for size in options.effects for name in PLANTED]
    scenarios += [(tuple(PLANTED), size) for size in options.effects] + ([((), 0.0)] if options.none else [])
    for names, size in scenarios:
        planted = [(PLANTED[name], size) for name in names]
        runs = options.runs if names else options.none
        done = [search(options.calls or CALLS.get(size, 15_000), planted, seed) for seed in range(runs)]
        calls, false = float(np.mean([d[1] for d in done])), sum(bool(d[2]) for d in done)
        if not names:
            print(f"| nothing | | {runs} | {calls:,.0f} | | | | | {false} |", flush=True)
        for name in names:
            confirmed = [[s.finding.conjunction for s in d[0] if s.finding.confirmed] for d in done]
            found = float(np.mean([any(PLANTED[name].within(c) for c in one) for one in confirmed]))
            exact = float(np.mean([PLANTED[name] in one for one in confirmed]))
            row = f"| {name}{', with the others' if len(names) > 1 else ''} | {size:g} | {runs} | {calls:,.0f} "
            row += f"| {100 * found:.0f} | {100 * exact:.0f} "
            if found:
                rival = all_cells(PLANTED[name], size, found, 100 * math.sqrt(4 / 30))
                row += f"| {rival:,.0f} | {rival / calls:.0f} "
            else:
                row += "| | "
            print(f"{row}| {false} |", flush=True)


if __name__ == "__main__":
    main()

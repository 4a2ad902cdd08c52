"""Simulates studies and prints how often the tests reject: size where nothing is planted, power where something is.

python benchmarks/tests_size.py [--studies N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from evenhand.analysis import SuiteScores, estimate_pb
from evenhand.analysis.breakdown import by_group, categories
from evenhand.analysis.comparison import compare
from evenhand.analysis.deviations import from_mean
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws

DRAWS = 1000
WHOM_HEAD = "| design | somebody is named | one interval leaves out 0 |\n|---|---|---|"
CELL_HEAD = "| one cell of 31 x 12 is lower by | it is flagged | a cell of another group is |\n|---|---|---|"
CHANGE_HEAD = (
    "| two studies, other victims | PB changed: p <= .05 | interval covers | somebody changed |\n|---|---|---|---|"
)
CATEGORY_HEAD = (
    "| one of 6 in a category is lower by | another category is named | its category is | it is set apart |\n"
    "|---|---|---|---|"
)
Simulator = Callable[[np.random.Generator], np.ndarray]


def alike(identities: int, items: int, mean: float) -> Simulator:
    """Independent answers of identities that are treated alike; items differ in difficulty."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        chance = rng.beta(3 * mean, 3 * (1 - mean), items)
        return 100.0 * (rng.random((identities, items)) < chance)

    return draw


def rare(identities: int, items: int, mean: float) -> Simulator:
    """The same, every item alike."""
    return lambda rng: 100.0 * (rng.random((identities, items)) < mean)


def reversed_one(identities: int, items: int) -> Simulator:
    """One identity passes what the others fail, its mean unchanged."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        chance = np.where(rng.random(items) < 0.5, 0.95, 0.05)
        table = np.tile(chance, (identities, 1))
        table[0] = 1 - chance
        return 100.0 * (rng.random(table.shape) < table)

    return draw


def blocks(identities: int, items: int, count: int) -> Simulator:
    """Identities of a block answer the same items alike; no identity is worse."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        shared = np.repeat(rng.normal(0, 30, (count, items)), identities // count, axis=0)
        return np.asarray(50 + rng.normal(0, 20, items) + shared + rng.normal(0, 15, (identities, items)))

    return draw


def diffuse(identities: int, items: int, pb: float) -> Simulator:
    """Everybody a little apart."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        effect = rng.normal(size=identities)
        effect = (effect - effect.mean()) / effect.std() * pb
        return np.asarray(50 + effect[:, None] + rng.normal(0, 20, items) + rng.normal(0, 30, (identities, items)))

    return draw


def one_hit(identities: int, items: int, mean: float, lower: float) -> Simulator:
    """One identity is served worse."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        chance = np.full((identities, 1), mean)
        chance[identities // 2] -= lower
        return 100.0 * (rng.random((identities, items)) < chance)

    return draw


NULLS: dict[str, Simulator] = {
    **{
        f"alike, {u} x {m}, mean .6": alike(u, m, 0.6)
        for u, m in ((2, 20), (2, 100), (5, 20), (12, 60), (31, 150), (60, 300))
    },
    **{
        f"alike, {u} x {m}, mean .95": alike(u, m, 0.95) for u, m in ((2, 50), (5, 60), (12, 150), (31, 150), (60, 300))
    },
    **{f"alike, {u} x {m}, .99": rare(u, m, 0.99) for u, m in ((2, 150), (5, 60), (12, 150), (31, 150), (60, 300))},
    **{f"one reversed, {u} x {m}": reversed_one(u, m) for u, m in ((5, 40), (12, 60), (31, 150))},
    **{f"60 in 6 blocks, {m} items": blocks(60, m, 6) for m in (20, 60, 150)},
}
ALTERNATIVES: dict[str, Simulator] = {
    "PB 3, 12 x 100, mid": diffuse(12, 100, 3.0),
    "PB 2, 31 x 150, mid": diffuse(31, 150, 2.0),
    "one of 31 lower by 12, 150 items, mean .6": one_hit(31, 150, 0.6, 0.12),
    "one of 31 lower by 15, 150 items, mean .6": one_hit(31, 150, 0.6, 0.15),
    "one of 31 lower by 6, 150 items, mean .99": one_hit(31, 150, 0.99, 0.06),
    "one of 12 lower by 10, 100 items, mean .99": one_hit(12, 100, 0.99, 0.10),
}

CHANGES = [(5, 60, 6, 6), (12, 150, 4, 4), (31, 300, 3, 3), (31, 200, 2, 0), (12, 100, 6, 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print(WHOM_HEAD)
    for name, simulate in {**NULLS, **ALTERNATIVES}.items():
        print(whom_row(name, simulate, studies), flush=True)
    print(f"\n{CELL_HEAD}")
    for lower in (0.0, 0.87):
        print(cell_row(lower, max(studies // 10, 20)), flush=True)
    print(f"\n{CHANGE_HEAD}")
    for identities, items, before, after in (
        (5, 60, 6, 6),
        (12, 150, 4, 4),
        (31, 300, 3, 3),
        (31, 200, 2, 0),
        (12, 100, 6, 3),
    ):
        print(change_row(identities, items, before, after, studies), flush=True)
    print(f"\n{CATEGORY_HEAD}")
    for lower in (0, 15, 30, 60):
        print(category_row(lower, studies), flush=True)
    print()
    for title, designs in (("size", NULLS), ("power", ALTERNATIVES)):
        print(f"| {title} | no bias: p <= .05 | sum of squares alone | largest alone |")
        print("|---|---|---|---|")
        for name, simulate in designs.items():
            print(omnibus_row(name, simulate, studies), flush=True)
        print()


def omnibus_row(name: str, simulate: Simulator, studies: int) -> str:
    rejected = []
    for seed in range(studies):
        found = estimate_pb(simulate(np.random.default_rng((seed, 7))), draws=DRAWS, permutations=1, seed=seed)
        assert (found.ci[0] > 0) == (found.p_value <= 0.05)
        rejected.append([p <= 0.05 for p in (found.p_value, found.test.p_sum, found.test.p_largest)])
    return f"| {name} | " + " | ".join(f"{share:.1%}" for share in np.mean(rejected, axis=0)) + " |"


def whom_row(name: str, simulate: Simulator, studies: int) -> str:
    """How often somebody is named (adjusted p), and how often one interval misses a deviation of 0."""
    named, missed = [], []
    for seed in range(studies):
        rng = np.random.default_rng((seed, 8))
        fit = marginals(simulate(rng))
        found = from_mean([fit], [noise_draws(fit, DRAWS, rng)])
        named.append(any(c.q_value <= 0.05 for c in found))
        missed.append(np.mean([not c.ci[0] <= 0 <= c.ci[1] for c in found]))
    return f"| {name} | {np.mean(named):.1%} | {np.mean(missed):.1%} |"


def cell_row(lower: float, studies: int) -> str:
    """31 identities, 12 groups of 5 to 27 items; one cell is lower."""
    other, flagged = [], []
    sizes = np.arange(5, 29, 2)
    for seed in range(studies):
        rng = np.random.default_rng((seed, 9))
        code = np.repeat(np.arange(12), sizes)
        chance = np.full((31, code.size), 0.95)
        hit = int(rng.integers(12))
        chance[3, code == hit] -= lower
        table = 100.0 * (rng.random(chance.shape) < chance)
        cells = by_group(as_suite(table, [f"{g:02d}" for g in code]), draws=DRAWS, permutations=0, seed=seed).deviations
        named = {(g, n) for g, contrasts in cells.items() for n, c in contrasts.items() if c.q_value <= 0.05}
        flagged.append((f"{hit:02d}", "p3") in named)
        other.append(any(g != f"{hit:02d}" for g, _ in named))
    return f"| {100 * lower:.0f} | {np.mean(flagged):.1%} | {np.mean(other):.1%} |"


def change_row(identities: int, items: int, before: float, after: float, studies: int) -> str:
    """Two studies whose patterns of bias are independent."""
    rejected, covered, named = [], [], []
    for seed in range(studies):
        rng = np.random.default_rng((seed, 10))
        tables = [as_suite(diffuse(identities, items, pb)(rng)) for pb in (before, after)]
        found = compare([tables[0]], [tables[1]], draws=DRAWS, seed=seed)
        change = found.pb["safety"]
        rejected.append(change.p_value <= 0.05)
        covered.append(change.ci[0] <= after - before <= change.ci[1])
        named.append(any(c.q_value <= 0.05 for c in found.changes["safety"].values()))
    shares = " | ".join(f"{np.mean(x):.1%}" for x in (rejected, covered, named))
    return f"| {identities} x {items}, PB {before} and {after} | {shares} |"


def category_row(lower: float, studies: int) -> str:
    """30 identities in 5 categories, 150 items; one member of the last category is lower."""
    names = [f"p{n}" for n in range(30)]
    members = {name: f"k{n // 6}" for n, name in enumerate(names)}
    other, own, alone = [], [], []
    for seed in range(studies):
        rng = np.random.default_rng((seed, 11))
        fit = marginals(one_hit_last(30, 150, lower)(rng))
        found = categories(members, names, [fit], [noise_draws(fit, DRAWS, rng)])
        named = {name for name, c in found.effects.items() if c.q_value <= 0.05}
        other.append(bool(named - {"k4"}))
        own.append("k4" in named)
        alone.append(found.apart == ("p29",))
    return f"| {lower} | " + " | ".join(f"{np.mean(x):.1%}" for x in (other, own, alone)) + " |"


def one_hit_last(identities: int, items: int, lower: float) -> Simulator:
    def draw(rng: np.random.Generator) -> np.ndarray:
        table = rng.normal(0, 30, (identities, items)) + rng.normal(0, 20, items)
        table[-1] -= lower
        return np.asarray(50 + table)

    return draw


def as_suite(table: np.ndarray, groups: list[str] | None = None) -> SuiteScores:
    identities, items = table.shape
    return SuiteScores(
        "s", "safety", tuple(f"p{n}" for n in range(identities)), (), tuple(f"i{n:04d}" for n in range(items)),
        tuple(groups or ["g"] * items), ("w",), table[None, :, :, None], np.empty((0, items)),
    )  # fmt: skip


if __name__ == "__main__":
    main()

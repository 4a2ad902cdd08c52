"""Simulates studies and prints how often the tests reject: size where nothing is planted, power where something is.

python benchmarks/tests_size.py [--studies N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from evenhand.analysis import estimate_pb

DRAWS = 1000
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
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


if __name__ == "__main__":
    main()

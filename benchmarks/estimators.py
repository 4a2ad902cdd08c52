"""Simulates studies with a known bias and prints how the estimators do.

python benchmarks/estimators.py [--studies N]

One row per design: true PB, items like MMLU dev (285, mean 0.6 or 0.3) or Do-Not-Answer (939, mean 0.95), repeats.
"""

from __future__ import annotations

import argparse

import numpy as np

from evenhand.analysis import estimate_pb
from evenhand.analysis.marginals import marginals
from evenhand.analysis.sequential import FIRST_LOOK, look

IDENTITIES = 31
BIAS_STUDIES = 3
DESIGNS = [(285, 0.6), (285, 0.3), (939, 0.95)]


def simulate(rng: np.random.Generator, pb: float, items: int, mean: float, repeats: int) -> tuple[np.ndarray, float]:
    """A table in points and its true PB: each identity's chance is shifted where an item leaves room for it."""
    difficulty = rng.beta(1.5 * mean, 1.5 * (1 - mean), items)
    pool = rng.beta(1.5 * mean, 1.5 * (1 - mean), 20_000)
    effect = rng.normal(size=IDENTITIES)
    effect = (effect - effect.mean()) / effect.std() * pb / 100

    def chance(p: np.ndarray) -> np.ndarray:
        room = p * (1 - p)
        return np.clip(p + effect[:, None] * room / (mean * (1 - mean) * 0.6), 0, 1)

    true = float(chance(pool).mean(axis=1).std() * 100)
    return rng.binomial(repeats, chance(difficulty)) / repeats * 100, true


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print("| items | mean | repeats | true PB | plug-in | corrected² − true² (± 2 SE) | coverage | test size |")
    print("|---|---|---|---|---|---|---|---|")
    for items, mean in DESIGNS:
        for repeats in (1, 3):
            for pb in (0.0, 0.5, 1.5, 4.0):
                print(row(items, mean, repeats, pb, studies), flush=True)
    print("\nAdaptive, target half-width 0.5, true PB 1.5, 1 repeat:\n")
    print("| pool | mean | items used | precise | calls saved against all items x 3 | coverage |")
    print("|---|---|---|---|---|---|")
    for items, mean in DESIGNS:
        print(adaptive_row(items, mean, studies), flush=True)


def squared_error(items: int, mean: float, repeats: int, pb: float, seed: int) -> float:
    """Error of the corrected squared PB of one study; needs no resampling, so that many fit in the time."""
    rng = np.random.default_rng((seed, items, repeats, int(10 * pb), int(100 * mean), 1))
    table, true = simulate(rng, pb, items, mean, repeats)
    fit = marginals(table)
    return float(fit.mean.var() - fit.correction - true**2)


def row(items: int, mean: float, repeats: int, pb: float, studies: int) -> str:
    covered, plugin, truth, rejected = [], [], [], []
    errors = [squared_error(items, mean, repeats, pb, seed) for seed in range(BIAS_STUDIES * studies)]
    for seed in range(studies):
        rng = np.random.default_rng((seed, items, repeats, int(10 * pb), int(100 * mean)))
        table, true = simulate(rng, pb, items, mean, repeats)
        found = estimate_pb(table, draws=1000, permutations=500 if pb == 0 else 0, seed=seed)
        covered.append(found.ci[0] <= true <= found.ci[1])
        plugin.append(found.plugin**2)
        truth.append(true**2)
        rejected.append(found.p_value <= 0.05)
    size = f"{np.mean(rejected):.1%}" if pb == 0 else ""
    return (
        f"| {items} | {mean} | {repeats} | {np.sqrt(np.mean(truth)):.2f} | {np.sqrt(np.mean(plugin)):.2f} "
        f"| {np.mean(errors):+.3f} ± {2 * np.std(errors) / np.sqrt(len(errors)):.3f} "
        f"| {np.mean(covered):.1%} | {size} |"
    )


def adaptive_row(pool: int, mean: float, studies: int) -> str:
    used, precise, covered = [], [], []
    for seed in range(studies):
        rng = np.random.default_rng((seed, pool, int(100 * mean)))
        table, true = simulate(rng, 1.5, pool, mean, 1)
        items = FIRST_LOOK
        while True:
            found = look(table[:, :items], 0.5, pool, draws=1000, seed=seed)
            if found.next_items == items:
                break
            items = found.next_items
        used.append(items)
        precise.append(found.precise)
        covered.append(found.ci[0] <= true <= found.ci[1])
    saved = 3 * pool / np.mean(used)
    return (
        f"| {pool} | {mean} | {np.mean(used):.0f} | {np.mean(precise):.0%} | {saved:.1f} x | {np.mean(covered):.1%} |"
    )


if __name__ == "__main__":
    main()

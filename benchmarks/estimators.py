"""Simulates studies with a known bias and prints how the estimators do.

python benchmarks/estimators.py [--studies N]

One row per design: true PB, items like MMLU dev (285, mean 0.6 or 0.3) or Do-Not-Answer (939, mean 0.95), repeats. Then
designs at the ceiling and with few identities, and adaptive runs.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from evenhand.analysis import estimate_pb
from evenhand.analysis.intervals import Sample, gap_interval, lowest_interval, pb_interval
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.sequential import FIRST_LOOK, look

IDENTITIES = 31
BIAS_STUDIES = 3
DESIGNS = [(285, 0.6), (285, 0.3), (939, 0.95)]
# Identities, items, score of the others, true PB, and how many identities fail together on the same items.
CEILING = [
    (5, 20, 1.0, 1.5, 1),
    (5, 60, 1.0, 1.5, 1),
    (7, 60, 1.0, 1.5, 1),
    (12, 60, 1.0, 1.5, 1),
    (31, 60, 1.0, 1.5, 1),
    (12, 60, 1.0, 1.5, 6),
    (12, 150, 0.99, 1.5, 1),
    (31, 150, 0.99, 1.5, 1),
    (12, 150, 0.99, 1.5, 3),
    (12, 60, 0.99, 0.0, 1),
    (2, 60, 1.0, 1.5, 1),
    (3, 60, 1.0, 1.5, 1),
    (2, 20, 0.6, 3.0, 1),
    (2, 50, 0.6, 3.0, 1),
    (2, 150, 0.6, 3.0, 1),
    (2, 150, 0.6, 0.0, 1),
    (3, 30, 0.6, 3.0, 1),
]


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
    print("\nThe others at one level, one identity or several lower:\n")
    print("| identities | items | others | true PB | fail together | PB | gap | lowest | PB below the true one |")
    print("|---|---|---|---|---|---|---|---|---|")
    for design in CEILING:
        print(ceiling_row(*design, studies), flush=True)
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


def ceiling_row(identities: int, items: int, others: float, pb: float, together: int, studies: int) -> str:
    """Coverage of three intervals, and how often the gate would pass exactly at its limit."""
    drop = pb / 100 * identities / math.sqrt(together * (identities - together))
    means = np.full(identities, others)
    means[:together] -= drop
    truth = {"pb": 100 * means.std(), "gap": 100 * drop, "lowest": 100 * means.min()}
    covered: dict[str, list[bool]] = {name: [] for name in truth}
    passed = []
    for seed in range(studies):
        rng = np.random.default_rng((seed, identities, items, int(1000 * others), together))
        table = 100.0 * (rng.random((identities, items)) < others)
        table[:together, rng.random(items) < drop / others] = 0
        fit = marginals(table)
        differences = [Sample(fit, noise_draws(fit, 1000, rng))]
        found = {
            "pb": pb_interval([differences]),
            "gap": gap_interval(differences),
            "lowest": lowest_interval([Sample(fit, noise_draws(fit, 1000, rng, level=True))]),
        }
        for name, (low, high) in found.items():
            covered[name].append(low - 1e-9 <= truth[name] <= high + 1e-9)
        passed.append(found["pb"][1] < truth["pb"])
    shares = " | ".join(f"{np.mean(values):.1%}" for values in covered.values())
    return f"| {identities} | {items} | {others} | {pb} | {together} | {shares} | {np.mean(passed):.1%} |"


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

"""Simulates pilots, plans from each, runs the study that was planned, and prints how often it saw the bias.

python benchmarks/planning.py [--studies N]
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from evenhand.analysis import estimate_pb
from evenhand.analysis.marginals import marginals
from evenhand.analysis.planning import items_needed

DRAWS = 500
# A study that is planned larger than this is not simulated: it has the power, and takes the time.
MOST = 6000
HEAD = (
    "| identities | others at | PB | pilot | pilot too small | items planned, median | sees the bias "
    "| it was too small, and would have |"
)


def answers(rng: np.random.Generator, identities: int, items: int, mean: float, pb: float) -> np.ndarray:
    """0 or 100; one identity is lower by what makes the PB."""
    chance = np.full((identities, 1), mean)
    chance[0] -= pb / 100 * identities / math.sqrt(identities - 1)
    return 100.0 * (rng.random((identities, items)) < chance)


def power(identities: int, mean: float, pb: float, pilot: int, studies: int) -> str:
    """A row of the table."""
    small, planned, seen, seen_small = 0, [], [], []
    for number in range(studies):
        rng = np.random.default_rng(number)
        needed = items_needed("s", marginals(answers(rng, identities, pilot, mean, pb)), pb)
        small += needed.too_small
        planned.append(needed.items)
        study = answers(rng, identities, min(needed.items, MOST), mean, pb)
        found = estimate_pb(study, draws=DRAWS, permutations=DRAWS, seed=number).p_value <= 0.05
        (seen_small if needed.too_small else seen).append(found)
    shown = f"{np.mean(seen):.0%} of {len(seen)}" if seen else "–"
    lost = f"{np.mean(seen_small):.0%} of {len(seen_small)}" if seen_small else "–"
    return (
        f"| {identities} | {mean:.2f} | {pb:g} | {pilot} | {small / studies:.0%} | {np.median(planned):,.0f} "
        f"| {shown} | {lost} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100)
    studies = parser.parse_args().studies
    print(HEAD)
    print("|" + "---|" * (HEAD.count("|") - 1))
    for identities, mean in ((5, 1.0), (12, 1.0), (12, 0.99), (31, 0.99), (12, 0.7)):
        for pilot in (40, 60):
            print(power(identities, mean, 2.0, pilot, studies), flush=True)


if __name__ == "__main__":
    main()

"""How fast the estimator is on a large study, against a plain loop over draws and identities in the same run.

python benchmarks/analysis_speed.py
"""

from __future__ import annotations

import resource
import time

import numpy as np

from evenhand.analysis import SuiteScores
from evenhand.analysis.bias import BiasEstimator

IDENTITIES, ITEMS, REPEATS, DRAWS = 31, 3000, 3, 2000
LOOP_DRAWS = 20


def main() -> None:
    rng = np.random.default_rng(0)
    cells = (rng.random((1, IDENTITIES, ITEMS, REPEATS)) < 0.7) * 100.0
    names, items = tuple(map(str, range(IDENTITIES))), tuple(map(str, range(ITEMS)))
    scores = SuiteScores("s", "safety", names, (), items, items, ("system",), cells, np.empty((0, ITEMS)))
    started = time.perf_counter()
    BiasEstimator([scores], draws=DRAWS, permutations=DRAWS, seed=0).axis("safety")
    ours = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loop = loop_seconds(scores.y, rng) * DRAWS / LOOP_DRAWS
    print(
        f"{IDENTITIES} identities x {ITEMS} items x {REPEATS} repeats, {DRAWS} bootstrap and {DRAWS} permutation draws"
    )
    print(f"peak memory {memory:.0f} MiB; {loop / ours:.0f} times as fast as a loop over draws and identities")
    print(f"({ours:.1f} s here; the loop would take {loop:.0f} s, projected from {LOOP_DRAWS} draws)")


def loop_seconds(table: np.ndarray, rng: np.random.Generator) -> float:
    started = time.perf_counter()
    for _ in range(LOOP_DRAWS):
        chosen = rng.integers(0, ITEMS, ITEMS)
        [table[u, chosen].mean() for u in range(IDENTITIES)]
        shuffled = np.array([rng.permutation(table[:, i]) for i in range(ITEMS)]).T
        [shuffled[u].mean() for u in range(IDENTITIES)]
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

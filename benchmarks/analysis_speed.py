"""How fast the estimator is on a large study, against a plain loop over draws and identities in the same run.

python benchmarks/analysis_speed.py [--identities 31] [--items 3000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from evenhand.analysis import SuiteScores
from evenhand.analysis.bias import BiasEstimator

DRAWS, LOOP_DRAWS = 2000, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=31)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    cells = (rng.random((1, options.identities, options.items, options.repeats)) < 0.7) * 100.0
    names, items = tuple(map(str, range(options.identities))), tuple(map(str, range(options.items)))
    scores = SuiteScores("s", "safety", names, (), items, items, ("system",), cells, np.empty((0, options.items)))
    started = time.process_time()
    BiasEstimator([scores], draws=DRAWS, permutations=DRAWS, seed=0).axis("safety")
    ours = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loop = loop_seconds(scores.y, rng) * DRAWS / LOOP_DRAWS
    print(
        f"{options.identities} identities x {options.items} items x {options.repeats} repeats, "
        f"{DRAWS} bootstrap and {DRAWS} permutation draws"
    )
    print(f"peak memory {memory:.0f} MiB; {loop / ours:.0f} times as fast as a loop over draws and identities")
    print(f"({ours:.1f} s of the processor here; the loop would take {loop:.0f} s, projected from {LOOP_DRAWS} draws)")


def loop_seconds(table: np.ndarray, rng: np.random.Generator) -> float:
    identities, items = table.shape
    started = time.process_time()
    for _ in range(LOOP_DRAWS):
        chosen = rng.integers(0, items, items)
        [table[u, chosen].mean() for u in range(identities)]
        shuffled = np.array([rng.permutation(table[:, i]) for i in range(items)]).T
        [shuffled[u].mean() for u in range(identities)]
    return time.process_time() - started


if __name__ == "__main__":
    main()

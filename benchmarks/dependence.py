"""Simulates studies whose items or ways of conveying are no independent evidence, and prints how the estimators do.

python benchmarks/dependence.py [--studies N]

Wordings of one question, identities of which half are also conveyed in a way that lowers everybody, and the known PB of
the items of a pool.
"""

from __future__ import annotations

import argparse

import numpy as np

from evenhand.analysis import SuiteScores, estimate_pb
from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.estimand import Pool, noise_scale

DRAWS = 1000


def suite(cells: np.ndarray, clusters: tuple[str, ...] = ()) -> SuiteScores:
    """A suite of cells (personalizers, identities, items, repeats) in points."""
    ways, people, items, _ = cells.shape
    names = [tuple(f"{kind}{n:04}" for n in range(size)) for kind, size in (("u", people), ("i", items), ("w", ways))]
    return SuiteScores(
        "s", "safety", names[0], (), names[1], ("g",) * items, names[2], cells, np.empty((0, items)), clusters
    )


def wordings(rng: np.random.Generator, questions: int, each: int, seed: int) -> tuple[PBEstimate, float]:
    table = np.repeat((rng.random((12, questions)) < rng.beta(2, 2, questions)) * 100.0, each, axis=1)
    clusters = tuple(f"q{q}" for q in range(questions) for _ in range(each))
    return estimate_pb(table, draws=DRAWS, permutations=500, seed=seed, clusters=clusters), 0.0


def also_by_name(rng: np.random.Generator, items: int, lower: float, seed: int) -> tuple[PBEstimate, float]:
    chance, cells = rng.uniform(0.3, 0.9, items), np.full((2, 12, items, 1), np.nan)
    cells[0, ..., 0] = (rng.random((12, items)) < chance) * 100.0
    cells[1, :6, :, 0] = (rng.random((6, items)) < chance - lower / 100) * 100.0
    return _pb(BiasEstimator([suite(cells)], draws=DRAWS, permutations=500, seed=seed)), 0.0


def of_a_pool(rng: np.random.Generator, asked: int, repeats: int, seed: int) -> tuple[PBEstimate, float]:
    """A pool of 300 items and 31 identities; one repeat is greedy, more are sampled."""
    chance = rng.beta(1, 1, (31, 300))
    pool = chance if repeats > 1 else (rng.random(chance.shape) < chance).astype(float)
    drawn = pool[:, rng.choice(300, asked, replace=False)]
    cells = (rng.random((1, *drawn.shape, repeats)) < drawn[None, ..., None]) * 100.0
    scores = suite(cells)
    scales = {"s": noise_scale(scores, Pool(300, repeats == 1))}
    estimator = BiasEstimator([scores], draws=DRAWS, permutations=0, seed=seed, scales=scales)
    return _pb(estimator), 100 * float(pool.mean(axis=1).std())


def row(name: str, studies: int, found: list[tuple[PBEstimate, float]]) -> str:
    covered = np.mean([e.ci[0] - 1e-6 <= true <= e.ci[1] + 1e-6 for e, true in found])
    errors = np.array([e.corrected_squared - true**2 for e, true in found])
    known = np.array([e.p_value for e, _ in found])
    size = f"{np.mean(known <= 0.05):.1%}" if np.isfinite(known).all() else ""
    return f"| {name} | {errors.mean():+.3f} ± {2 * errors.std() / np.sqrt(studies):.3f} | {covered:.1%} | {size} |"


def _pb(estimator: BiasEstimator) -> PBEstimate:
    found = estimator.axis("safety")
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    studies = parser.parse_args().studies
    print("| design | corrected² − true² (± 2 SE) | coverage | test size |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(0)
    for questions, each in ((75, 2), (30, 5)):
        found = [wordings(rng, questions, each, n) for n in range(studies)]
        print(row(f"{questions} questions x {each} wordings", studies, found), flush=True)
    found = [also_by_name(rng, 150, 8.0, n) for n in range(studies)]
    print(row("half also conveyed in a way that lowers by 8", studies, found), flush=True)
    for asked, repeats in ((150, 1), (300, 1), (300, 3)):
        found = [of_a_pool(rng, asked, repeats, n) for n in range(studies)]
        print(row(f"these items, {asked} of 300, {repeats} repeats", studies, found), flush=True)


if __name__ == "__main__":
    main()

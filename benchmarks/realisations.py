"""How often intervals hold the truth where each question tells the identity in one of several ways.

What a way does to an identity is the same on all of its items. Studies are simulated in which it is drawn anew; the
intervals are made with the ways (as evenhand does) and without (items as the only thing drawn). Prints markdown.

    nice python benchmarks/realisations.py [STUDIES]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np

from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import from_mean
from evenhand.analysis.scores import Floats, SuiteScores

IDENTITIES, DRAWS = 8, 500


@dataclass(frozen=True)
class Design:
    """A kind of study.

    Attributes:
        name: for the table.
        pb: true PB in points.
        way: standard deviation of what a way does to an identity, in points.
        ways, items, suites: how many; the suites of one axis share the ways.
        level: mean score in points.
        whom: whether a way does something to all identities, or to the first alone.
    """

    name: str
    pb: float
    way: float
    ways: int = 24
    items: int = 300
    suites: int = 1
    level: float = 60.0
    whom: str = "all"


DESIGNS = (
    Design("no bias, ways do nothing", 0, 0),
    Design("no bias, ways do 5 points", 0, 5),
    Design("no bias, ways do 10 points", 0, 10),
    Design("PB 3, ways do nothing", 3, 0),
    Design("PB 3, ways do 5 points", 3, 5),
    Design("PB 3, ways do 10 points", 3, 10),
    Design("no bias, ways do 10 points to one identity", 0, 10, whom="first"),
    Design("PB 3, ways do 5 points, 12 ways", 3, 5, ways=12),
    Design("no bias, ways do 10 points, 12 ways", 0, 10, ways=12),
    Design("no bias, ways do 10 points, two suites", 0, 10, items=150, suites=2),
    Design("PB 1, ways do 2 points, scores near 97", 1, 2, level=97.0),
)


@dataclass(frozen=True)
class Found:
    """Of one study: whether PB's interval holds the truth, PB corrected, the test's p, and per identity whether the
    deviation's interval holds the truth, and is longer than 0."""

    holds: bool
    corrected_squared: float
    p_value: float
    deviations: Floats


def study(design: Design, rng: np.random.Generator) -> tuple[list[SuiteScores], Floats]:
    """Tables, and the true deviations of the identities, in points."""
    true = np.linspace(-1, 1, IDENTITIES)
    true *= design.pb / np.sqrt(np.mean(true**2)) if design.pb else 0.0
    does = design.way * rng.standard_normal((IDENTITIES, design.ways))
    if design.whom == "first":
        does[1:] = 0.0
    names = tuple(f"u{n}" for n in range(IDENTITIES))
    reach = min(design.level, 100 - design.level) / 2
    tables = []
    for suite in range(design.suites):
        items = tuple(f"{suite}-{n}" for n in range(design.items))
        way = rng.integers(design.ways, size=design.items)
        hard = rng.uniform(-reach, reach, size=design.items)
        chance = design.level + hard + true[:, None] + does[:, way]
        scores = 100.0 * (rng.random(chance.shape) < chance / 100)
        tables.append(
            SuiteScores(
                f"s{suite}", "safety", names, (), items, items, ("paraphrased",), scores[None, :, :, None],
                np.empty((0, design.items)), ways=(tuple(f"way {k}" for k in way),),
            )
        )  # fmt: skip
    return tables, true


def analysed(tables: list[SuiteScores], true: Floats, seed: int) -> Found:
    estimator = BiasEstimator(tables, draws=DRAWS, permutations=1, seed=seed)
    pb = estimator.axis("safety")
    assert pb
    fits, noise, _ = estimator.parts("safety")
    held = [c.ci[0] <= t <= c.ci[1] for c, t in zip(from_mean(fits, noise), true, strict=True)]
    size = float(np.sqrt(np.mean(true**2)))
    return Found(pb.ci[0] <= size <= pb.ci[1], pb.corrected_squared, pb.p_value, np.array(held))


def row(design: Design, studies: int) -> str:
    cells = []
    made = [study(design, np.random.default_rng(seed)) for seed in range(studies)]
    for told in (True, False):
        found = [
            analysed(tables if told else [replace(t, ways=()) for t in tables], true, seed)
            for seed, (tables, true) in enumerate(made)
        ]
        cells += [
            f"{100 * np.mean([f.deviations for f in found]):.1f}",
            f"{100 * np.mean([f.deviations[0] for f in found]):.1f}",
            f"{100 * np.mean([f.holds for f in found]):.1f}",
            f"{np.mean([f.corrected_squared for f in found]):.1f}",
            f"{100 * np.mean([f.p_value <= 0.05 for f in found]):.1f}",
        ]
    return f"| {design.name} | {design.pb**2:.0f} | {' | '.join(cells)} |"


def main(studies: int) -> None:
    names = ("deviations", "first", "PB", "PB², mean", "p ≤ 0.05")
    print("| design | PB², true |", " | ".join(f"{n}, {m}" for m in ("by way", "items alone") for n in names), "|")
    print("|---|" + "---:|" * 11)
    for design in DESIGNS:
        print(row(design, studies), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

"""Simulates who is hit, and prints how well shrunken deviations, bands, rankings, ratios and correlations tell it.

python benchmarks/whom.py [--studies N]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from evenhand.analysis import SuiteScores
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import deviations
from evenhand.analysis.impact import impact_ratio
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.standing import axis_standings
from evenhand.analysis.tradeoff import trade_off

DRAWS = 600


def suite(table: np.ndarray, axis: str = "safety") -> SuiteScores:
    """A suite named like its axis, of identity x item scores in points."""
    people, items = table.shape
    names = [tuple(f"{kind}{n:04}" for n in range(size)) for kind, size in (("u", people), ("i", items))]
    return replace(
        SuiteScores(
            "s", "safety", names[0], (), names[1], ("g",) * items, ("system",),
            table[None, ..., None], np.empty((0, items)),
        ),
        suite=axis, axis=axis,
    )  # fmt: skip


def effects(rng: np.random.Generator, shape: str, people: int, size: float) -> np.ndarray:
    """True deviations in points: normal with a standard deviation, one that is lower, or none."""
    if shape == "normal":
        return rng.normal(0, size, people)
    return np.where(np.arange(people) == 0, -size, 0.0) if shape == "one" else np.zeros(people)


def asked(rng: np.random.Generator, effect: np.ndarray, items: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 0 or 100 on items of unlike difficulty, and the identities' true scores."""
    if mean > 0.9:
        true = (100 * mean + effect).clip(0, 100)
        return (rng.random((effect.size, items)) < true[:, None] / 100) * 100.0, true
    spread = 0.8 * min(mean, 1 - mean)
    true = 100 * mean + effect
    chance = rng.uniform(-spread, spread, items) + true[:, None] / 100
    return (rng.random((effect.size, items)) < chance) * 100.0, true


def study(
    rng: np.random.Generator, shape: str, people: int, items: int, mean: float, size: float, seed: int
) -> list[float]:
    table, true = asked(rng, effects(rng, shape, people, size), items, mean)
    scores, off = suite(table), true - true.mean()
    estimator = BiasEstimator([scores], draws=DRAWS, permutations=100, seed=seed)
    fit, noise = estimator.fit("safety"), estimator.noise("safety")
    found = deviations([fit], [noise])
    raw, places = found.intervals(), axis_standings(found, estimator, "safety")
    close = np.array([p.ci for p in places])
    band = np.array([p.band for p in places])
    lowest = np.array([p.lowest for p in places])
    ratio = impact_ratio([fit], [noise], [noise_draws(fit, DRAWS, np.random.default_rng(seed), level=True)])
    named = int(lowest.argmax())
    return [
        within(close, off).mean(), within(raw, off).mean(), within(band, off).all(),
        np.ptp(close, axis=1).mean(), np.ptp(raw, axis=1).mean(),
        np.mean((np.array([p.shrunken for p in places]) - off) ** 2), np.mean((found.values - off) ** 2),
        lowest[named], float(true[named] == true.min()) / (true == true.min()).sum(),
        within(np.array([ratio.ci]), np.array([true.min() / true.max()])).mean(), np.ptp(ratio.ci),
    ]  # fmt: skip


def within(ends: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (ends[:, 0] - 1e-9 <= truth) & (truth <= ends[:, 1] + 1e-9)


def correlated(rng: np.random.Generator, people: int, items: int, size: float, rho: float, seed: int) -> list[float]:
    both = rng.multivariate_normal([0, 0], size**2 * np.array([[1, rho], [rho, 1]]), people).T
    tables = [suite(asked(rng, e, items, 0.6)[0], axis) for e, axis in zip(both, ("safety", "utility"), strict=True)]
    estimator = BiasEstimator(tables, draws=DRAWS, permutations=0, seed=seed)
    pb = estimator.axis("safety"), estimator.axis("utility")
    assert pb[0] is not None
    assert pb[1] is not None
    means = [estimator.fit(t.suite).mean for t in tables]
    found = trade_off(
        tables[0].identities, means[0], means[1], (pb[0], pb[1]), permutations=10,
        covariances=(estimator.covariance("safety"), estimator.covariance("utility")),
    )  # fmt: skip
    among = float(np.corrcoef(both)[0, 1])
    low, high = found.ci
    return [low <= rho <= high, low <= among + 1e-9 and among - 1e-9 <= high, high - low, found.enough]


DESIGNS = (
    ("nobody", 5, 60, 0.6, 0.0), ("nobody", 31, 150, 0.6, 0.0), ("nobody", 31, 150, 0.99, 0.0),
    ("normal", 5, 100, 0.6, 5.0), ("normal", 12, 100, 0.6, 3.0), ("normal", 31, 150, 0.6, 2.0),
    ("normal", 31, 150, 0.6, 6.0), ("normal", 12, 300, 0.95, 2.0),
    ("one", 12, 100, 0.6, 20.0), ("one", 31, 150, 0.6, 15.0), ("one", 31, 150, 0.6, 30.0), ("one", 31, 150, 0.99, 8.0),
)  # fmt: skip


HEADS = (
    ("who differs", "identities", "items", "mean", "by", "shrunken covers", "raw covers", "all bands cover",
     "width, shrunken / raw", "error², raw / shrunken", "likeliest lowest: probability", "it is the lowest",
     "ratio covers", "its width"),
    ("identities", "items", "PB", "correlation", "covers it", "covers that of the identities asked", "width", "enough"),
)  # fmt: skip


def head(names: tuple[str, ...]) -> str:
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100)
    studies = parser.parse_args().studies
    rng = np.random.default_rng(0)
    print(head(HEADS[0]))
    for design in DESIGNS:
        rows = np.array([study(rng, *design, seed) for seed in range(studies)])
        m = rows.mean(axis=0)
        name = " | ".join(str(part) for part in design)
        gain = m[6] / m[5] if m[5] > 0 else float("nan")
        shares, numbers = [f"{m[n]:.1%}" for n in range(3)], [f"{m[3] / m[4]:.2f}", f"{gain:.1f}"]
        ranks, ratio = [f"{m[7]:.2f}", f"{m[8]:.2f}"], [f"{m[9]:.1%}", f"{m[10]:.2f}"]
        print(f"| {' | '.join([name, *shares, *numbers, *ranks, *ratio])} |", flush=True)
    print()
    print(head(HEADS[1]))
    for design in [(u, 300, s, r) for u in (3, 10, 31) for s, r in ((3.0, 0.0), (3.0, 0.7), (8.0, 0.0), (8.0, -0.8))]:
        m = np.mean([correlated(rng, *design, seed) for seed in range(studies)], axis=0)
        print(f"| {' | '.join(map(str, design))} | {m[0]:.1%} | {m[1]:.1%} | {m[2]:.2f} | {m[3]:.0%} |", flush=True)


if __name__ == "__main__":
    main()

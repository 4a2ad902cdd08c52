"""Simulates studies whose judge errs and of which people labelled a part, and prints what becomes of the intervals.

python benchmarks/judge_correction.py [--studies N]

Three ways to a result on the same data, as "judge alone / corrected / labels alone": the last is the same machinery
with a judge that says the same of every response.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.correction import correct
from evenhand.analysis.deviations import Contrast, from_mean
from evenhand.analysis.scores import tabulate
from evenhand.types import ScoreRow

DRAWS = 400
ITEMS = 150


@dataclass(frozen=True)
class Design:
    """What is simulated.

    Attributes:
        name: of the judge's error.
        people: identities.
        mean: people's mean score.
        spread: true standard deviation between identities, in points.
        flips: chance per response that the judge errs, either way.
        lenient: chance that it calls a bad response good.
        favours: standard deviation between identities of how lenient it is; or, negative, one identity's leniency.
    """

    name: str
    people: int = 12
    mean: float = 0.8
    spread: float = 3.0
    flips: float = 0.0
    lenient: float = 0.0
    favours: float = 0.0


DESIGNS = (
    Design("never errs", people=7),
    Design("errs alike, 6 % either way", flips=0.06),
    Design("lenient for all, 30 % of bad", lenient=0.3),
    Design("lenient for some, sd 30 % of bad", flips=0.03, lenient=0.3, favours=0.3),
    Design("favours one by 50 % of bad", flips=0.03, favours=-0.5),
    Design("favours one, scores .9, 31 identities", people=31, mean=0.9, flips=0.03, favours=-0.5),
    Design("favours one, scores .97, 12 identities", mean=0.97, spread=1.0, flips=0.01, favours=-0.5),
    Design("useless: 40 % either way", flips=0.4),
)


def study(design: Design, labels: int, rng: np.random.Generator) -> tuple[list[ScoreRow], np.ndarray]:
    """Rows with the judge's scores and labels, and the identities' true means in points."""
    chance = rng.beta(4 * design.mean, 4 * (1 - design.mean), ITEMS)
    shift = rng.standard_normal(design.people) * design.spread / 100
    # Scores move in proportion to their room, so that the true means are known exactly.
    truth = np.clip(design.mean + shift - shift.mean(), 0, 0.995)
    lower = np.minimum(truth / design.mean, 1)[:, None]
    raised = np.maximum((truth - design.mean) / (1 - design.mean), 0)[:, None]
    people = (rng.random((design.people, ITEMS)) < chance * lower + (1 - chance) * raised).astype(float)
    lenient = np.full(design.people, design.lenient)
    if design.favours < 0:
        lenient[0] = -design.favours
    else:
        lenient = np.clip(lenient + design.favours * rng.standard_normal(design.people), 0, 1)
    judge = np.where(rng.random(people.shape) < design.flips, 1 - people, people)
    judge = np.where((people == 0) & (rng.random(people.shape) < lenient[:, None]), 1.0, judge)
    labelled = np.zeros(people.size, bool)
    labelled[rng.choice(people.size, labels * design.people, replace=False)] = True
    return _rows(judge, np.where(labelled.reshape(people.shape), people, np.nan)), 100 * truth


def _rows(scores: np.ndarray, labels: np.ndarray) -> list[ScoreRow]:
    return [
        ScoreRow("s", "safety", "g", f"i{i:04}", "system", f"u{u:02}", "c", 0, float(score), "x", "stop",
                 None if np.isnan(labels[u, i]) else float(labels[u, i]))
        for (u, i), score in np.ndenumerate(scores)
    ]  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What one way says: PB with its interval, and per identity the deviation; NaN where it says nothing."""

    pb: float
    ci: tuple[float, float]
    deviations: list[Contrast]


def analysed(rows: Sequence[ScoreRow], seed: int) -> Found:
    """Rows as they are, or corrected where they have labels."""
    after, done = correct(rows)
    (table,) = tabulate(after, sorted({r.identity for r in rows}))
    allowances = {c.suite: c.allowance for c in done}
    estimator = BiasEstimator([table], draws=DRAWS, permutations=0, seed=seed, allowances=allowances)
    estimate = estimator.axis("safety")
    assert estimate is not None
    return Found(estimate.corrected, estimate.ci, from_mean([estimator.fit("s")], [estimator.noise("s")]))


WAYS: dict[str, Callable[[list[ScoreRow]], list[ScoreRow]]] = {
    "judge alone": lambda rows: [r._replace(human=None) for r in rows],
    "corrected": lambda rows: rows,
    "labels alone": lambda rows: [r._replace(score=0.5) for r in rows],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 7, 20, 100])
    parser.add_argument("--designs", type=int, nargs="*", default=range(len(DESIGNS)))
    chosen = parser.parse_args()
    print("| the judge | labels each | PB covered | its width | deviations covered | the first's | their width |")
    print("|---|---|---|---|---|---|---|")
    for number in chosen.designs:
        for labels in chosen.labels:
            print_rows(DESIGNS[number], labels, chosen.studies, np.random.default_rng((number, labels)))


def print_rows(design: Design, labels: int, studies: int, rng: np.random.Generator) -> None:
    found: dict[str, list[tuple[bool, float, np.ndarray, float]]] = {way: [] for way in WAYS}
    for seed in range(studies):
        rows, truth = study(design, labels, rng)
        centred = truth - truth.mean()
        for way, made in WAYS.items():
            result = analysed(made(rows), seed)
            ends = np.array([c.ci for c in result.deviations])
            hit = (ends[:, 0] <= centred) & (centred <= ends[:, 1])
            low, high = result.ci
            covered = low - 1e-6 <= centred.std() <= high + 1e-6
            found[way].append((covered, high - low, hit, float(np.ptp(ends, axis=1).mean())))
    cells = [_cells(results) for results in found.values()]
    columns = " | ".join(" / ".join(column) for column in zip(*cells, strict=True))
    print(f"| {design.name} | {labels} | {columns} |", flush=True)


def _cells(results: list[tuple[bool, float, np.ndarray, float]]) -> list[str]:
    covered, width, hits, each = (np.array([r[k] for r in results]) for k in range(4))
    shares = f"{hits.mean():.0%}", f"{hits[:, 0].mean():.0%}"
    return [f"{covered.mean():.0%}", f"{width.mean():.1f}", *shares, f"{each.mean():.0f}"]


if __name__ == "__main__":
    main()

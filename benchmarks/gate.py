"""Simulates studies at a limit and prints how often the gate wrongly passes or fails them, over all looks.

OMP_NUM_THREADS=1 python benchmarks/gate.py [--studies N] [--designs 0,1,...]

One look: the study as planned. Five looks: at a fifth of the plan, ..., at the plan, or until it decides. Growing: at
the plan, then with as many more items as the gate says would settle it (at most twice as many), four times at most.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from evenhand.analysis import Analysis, Settings, summarize
from evenhand.analysis.gate import Check, gate
from evenhand.analysis.looks import ERROR, Spent, spend
from evenhand.analysis.minimum import bias_room, least_items

DRAWS = 4000


@dataclass(frozen=True)
class Design:
    """Scores of a kind, and the limit they lie at."""

    name: str
    identities: int
    items: int
    base: float
    limits: dict[str, float]

    def draw(self, rng: np.random.Generator, items: int) -> np.ndarray:
        """0 and 1, one identity lower so that the truth is exactly at the limit."""
        chance = np.full(self.identities, self.base)
        if "max_pb" in self.limits:
            chance[0] -= self.limits["max_pb"] / 100 * self.identities / np.sqrt(self.identities - 1)
        else:
            chance[0] = self.limits["min_safety"] / 100
        return (rng.random((self.identities, items)) < chance[:, None]).astype(float)

    @property
    def least(self) -> float:
        """Items needed to pass at all, as a share of those planned, at least 1."""
        limit = self.limits.get("max_pb")
        room = 100 - self.limits["min_safety"] if limit is None else bias_room(limit, self.identities)
        return max(1.0, (least_items(room, ERROR) or 0) / self.items)


PB = {"max_pb": 1.5}
DESIGNS = [
    Design("ceiling 1.00", 5, 20, 1.0, PB),
    Design("ceiling 1.00", 5, 60, 1.0, PB),
    Design("ceiling 1.00", 7, 60, 1.0, PB),
    Design("ceiling 1.00", 12, 150, 1.0, PB),
    Design("ceiling 1.00", 5, 300, 1.0, PB),
    Design("ceiling .99", 12, 150, 0.99, PB),
    Design("ceiling .99", 31, 150, 0.99, PB),
    Design("middle .70", 12, 150, 0.7, PB),
    Design("middle .70", 12, 600, 0.7, {"max_pb": 3.0}),
    Design("lowest safety", 5, 20, 1.0, {"min_safety": 95.0}),
    Design("lowest safety", 5, 150, 1.0, {"min_safety": 95.0}),
]


def analysed(scores: np.ndarray, level: float) -> Analysis:
    people, items = scores.shape
    rows = [
        ("s", "safety", "g", f"i{i:05}", "system", f"u{u}", "c", 0, float(scores[u, i]), "x", "stop", None)
        for u in range(people)
        for i in range(items)
    ]
    names = [(f"u{u}", "c") for u in range(people)]
    return summarize(rows, names, planned=len(rows), failed=0, settings=Settings(DRAWS, 1, level=level))


def decided(scores: np.ndarray, limits: dict[str, float], sides: tuple[Spent, Spent]) -> Check:
    """The first check at what a look may spend."""
    levels = [1 - 2 * (side.error or ERROR) for side in sides]
    passing = analysed(scores, levels[0])
    failing = analysed(scores, levels[1]) if levels[1] != levels[0] else None
    return gate(passing, limits, failing=failing, can_pass=sides[0].error > 0, can_fail=sides[1].error > 0)[0]


def one_look(design: Design) -> Iterator[int]:
    yield design.items


def five_looks(design: Design) -> Iterator[int]:
    for k in range(1, 6):
        yield max(2, design.items * k // 5)


def study(design: Design, sizes: Iterator[int] | None, rng: np.random.Generator) -> str:
    """The decision of one study, looked at until it decides; without sizes, it grows as the gate says."""
    scores = design.draw(rng, 40 * design.items)
    passing: list[Spent] = []
    failing: list[Spent] = []
    items, grown = design.items, 0
    while True:
        if sizes is not None:
            items = next(sizes, 0)
            if not items:
                return "not enough data"
        passing.append(spend(passing, items, design.items * design.least))
        failing.append(spend(failing, items, design.items))
        check = decided(scores[:, :items], design.limits, (passing[-1], failing[-1]))
        if check.decision != "not enough data":
            return check.decision
        if sizes is None:
            grown += 1
            if grown > 4:
                return "not enough data"
            more = (check.more_trials or 0) / (items * design.identities)
            items = min(scores.shape[1], int(np.ceil(items * (1 + min(max(more, 0.2), 1.0)))))


def row(design: Design, studies: int) -> str:
    ways: list[Callable[[Design], Iterator[int]] | None] = [one_look, five_looks, None]
    cells = []
    for way in ways:
        found = [study(design, way(design) if way else None, np.random.default_rng(seed)) for seed in range(studies)]
        cells.append(" / ".join(f"{100 * np.mean([d == kind for d in found]):.1f}" for kind in ("pass", "fail")))
    limit = ", ".join(f"{name} {value:g}" for name, value in design.limits.items())
    return f"| {design.name} | {design.identities} | {design.items} | {limit} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--designs", default="", help="rows to run, counted from 0, comma-separated; all by default")
    options = parser.parse_args()
    chosen = [DESIGNS[int(n)] for n in options.designs.split(",") if n] or DESIGNS
    print("| scores | identities | items | limit, true | one look: % pass / fail | five looks | growing |")
    print("|---|---|---|---|---|---|---|")
    for design in chosen:
        print(row(design, options.studies), flush=True)


if __name__ == "__main__":
    main()

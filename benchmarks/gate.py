"""Simulates gates: how often they wrongly pass or fail over all looks, what deciding saves, and what holds after it.

OMP_NUM_THREADS=1 python benchmarks/gate.py [--studies N] [--only limit,decide]

First table, studies at a limit. One look: the study as planned. Five looks: at a fifth of the plan, ..., at the plan,
or until it decides. Growing: at the plan, then with as many more items as the gate says would settle it (at most twice
as many), four times at most.

Second table, ``check --decide`` on a pool of items: its rounds and its way of spending the error. Items saved are
against asking the whole pool first.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from evenhand.analysis import Analysis
from evenhand.analysis.bias import estimate_pb
from evenhand.analysis.breakdown import gap, lowest
from evenhand.analysis.gate import Check, failing_level, gate, verdict
from evenhand.analysis.looks import DECIDING_RATE, ERROR, Spent, repeated_error, spend
from evenhand.analysis.marginals import marginals
from evenhand.analysis.minimum import bias_room, least_items
from evenhand.analysis.missing import Missing
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.summary import AxisResult
from evenhand.deciding import schedule

DRAWS = 2000


@dataclass(frozen=True)
class Design:
    """Scores of a kind, and limits.

    Attributes:
        name: what it is called.
        identities, items: how many.
        base: chance of a score of 1.
        limits: of the gate.
        bias: PB in points, of one identity lower than the others.
    """

    name: str
    identities: int
    items: int
    base: float
    limits: dict[str, float]
    bias: float

    def draw(self, rng: np.random.Generator, items: int) -> np.ndarray:
        """0 and 1."""
        chance = np.full(self.identities, self.base)
        chance[0] -= lower(self.bias, self.identities) / 100
        return (rng.random((self.identities, items)) < chance[:, None]).astype(float)

    @property
    def least(self) -> float:
        """Items needed to pass at all, as a share of those planned, at least 1."""
        rooms = {
            "max_pb": lambda limit: bias_room(limit, self.identities),
            "max_gap": lambda limit: limit,
            "min_safety": lambda limit: 100 - limit,
        }
        needs = [least_items(rooms[name](limit), ERROR) or 0 for name, limit in self.limits.items()]
        return max(1.0, max(needs) / self.items)


def lower(bias: float, identities: int) -> float:
    """Points by which one identity lies below the others at a PB."""
    return bias * identities / math.sqrt(identities - 1)


def at_limit(name: str, identities: int, items: int, base: float, pb: float = 1.5) -> Design:
    return Design(name, identities, items, base, {"max_pb": pb}, pb)


def at_floor(identities: int, items: int, floor: float) -> Design:
    bias = (100 - floor) / lower(1.0, identities)
    return Design("lowest safety", identities, items, 1.0, {"min_safety": floor}, bias)


def at_all(identities: int, items: int, base: float, pb: float) -> Design:
    """Every limit is exactly kept."""
    gap_ = lower(pb, identities)
    limits = {"max_pb": pb, "max_gap": gap_, "min_safety": 100 * base - gap_}
    return Design("three limits", identities, items, base, limits, pb)


LIMIT_DESIGNS = [
    at_limit("ceiling 1.00", 5, 60, 1.0),
    at_limit("ceiling 1.00", 12, 150, 1.0),
    at_limit("ceiling 1.00", 5, 300, 1.0),
    at_limit("ceiling .99", 12, 150, 0.99),
    at_limit("ceiling .99", 31, 150, 0.99),
    at_limit("middle .70", 12, 150, 0.7),
    at_limit("middle .70", 12, 600, 0.7, 3.0),
    at_floor(5, 20, 95.0),
    at_floor(5, 150, 95.0),
    at_all(12, 300, 0.9, 3.0),
]

PB = {"max_pb": 1.5}
DECIDE_DESIGNS = [
    Design("1.00, alike", 12, 900, 1.0, PB, 0.0),
    Design(".97, alike", 12, 900, 0.97, PB, 0.0),
    Design(".97", 12, 900, 0.97, PB, 0.75),
    Design(".97", 12, 900, 0.97, PB, 1.5),
    Design(".97", 12, 900, 0.97, PB, 3.0),
    Design(".97", 12, 900, 0.97, PB, 6.0),
    Design(".70, alike", 12, 1300, 0.7, {"max_pb": 3.0}, 0.0),
    Design(".70", 12, 1300, 0.7, {"max_pb": 3.0}, 3.0),
    Design(".70", 12, 1300, 0.7, {"max_pb": 3.0}, 6.0),
]


def analysed(scores: np.ndarray, level: float, limits: dict[str, float]) -> Analysis:
    """What the gate reads of an analysis, and no more."""
    people, items = scores.shape
    points, axes = 100 * scores, {}
    pb = estimate_pb(points, draws=DRAWS, permutations=0, level=level) if "max_pb" in limits else None
    if limits.keys() & {"max_gap", "min_safety"}:
        fit, rng, names = marginals(points), np.random.default_rng(1), [f"u{u}" for u in range(people)]
        noise, level_noise = noise_draws(fit, DRAWS, rng), noise_draws(fit, DRAWS, rng, level=True)
        found = gap(names, [fit], [noise[:1]], [noise], level)
        axes = {"safety": AxisResult(found, lowest(names, [fit], [level_noise], level), {}, {})}
    suite = SimpleNamespace(axis="safety", items=items)
    return Analysis(
        pb={"safety": pb}, identities=(), suites=cast(Any, (suite,)), axes=axes, trade_off=None,
        trials={"planned": scores.size, "done": scores.size, "missing": 0, "failed": 0}, missing_reasons={},
        missing=Missing((), None), quality=(), corrections=(), notes=(), level=level, estimand="",
    )  # fmt: skip


def decided(scores: np.ndarray, limits: dict[str, float], sides: tuple[Spent, Spent]) -> list[Check]:
    """The checks at what a look may spend."""
    levels = [1 - 2 * (sides[0].error or ERROR), failing_level(sides[1].error or 2 * ERROR)]
    passing = analysed(scores, levels[0], limits)
    failing = analysed(scores, levels[1], limits) if levels[1] != levels[0] else None
    return gate(passing, limits, failing=failing, can_pass=sides[0].error > 0, can_fail=sides[1].error > 0)


class Looks:
    """The looks at one study."""

    def __init__(self, design: Design, rate: float | None = None) -> None:
        self._design, self._rate = design, rate
        self._passing: list[Spent] = []
        self._failing: list[Spent] = []

    def at(self, scores: np.ndarray) -> list[Check]:
        items, planned, checks = scores.shape[1], self._design.items, len(self._design.limits)
        self._passing.append(spend(self._passing, items, planned * self._design.least, rate=self._rate))
        self._failing.append(spend(self._failing, items, planned, checks=checks, rate=self._rate))
        sides = self._passing[-1], self._failing[-1]
        if not any(side.error for side in sides):
            return []
        return decided(scores, self._design.limits, sides)

    @property
    def error(self) -> float:
        """One-sided error of intervals that hold over all looks."""
        looks = [look.information for look in self._failing if look.error > 0]
        return repeated_error(looks, self._design.items, ERROR, rate=self._rate) or ERROR


def one_look(design: Design) -> Iterator[int]:
    yield design.items


def five_looks(design: Design) -> Iterator[int]:
    for k in range(1, 6):
        yield max(2, design.items * k // 5)


def study(design: Design, sizes: Iterator[int] | None, rng: np.random.Generator) -> str:
    """The decision of one study, looked at until it decides; without sizes, it grows as the gate says."""
    scores = design.draw(rng, 40 * design.items)
    looks = Looks(design)
    items, grown = design.items, 0
    while True:
        if sizes is not None:
            items = next(sizes, 0)
            if not items:
                return "not enough data"
        checks = looks.at(scores[:, :items])
        if verdict(checks) != "not enough data":
            return verdict(checks)
        if sizes is None:
            grown += 1
            if grown > 4:
                return "not enough data"
            more = max((c.more_trials or 0 for c in checks), default=0) / (items * design.identities)
            items = min(scores.shape[1], int(np.ceil(items * (1 + min(max(more, 0.2), 1.0)))))


def limit_row(design: Design, studies: int) -> str:
    ways: list[Callable[[Design], Iterator[int]] | None] = [one_look, five_looks, None]
    cells = []
    for way in ways:
        found = [study(design, way(design) if way else None, np.random.default_rng(seed)) for seed in range(studies)]
        cells.append(" / ".join(f"{100 * np.mean([d == kind for d in found]):.1f}" for kind in ("pass", "fail")))
    limit = ", ".join(f"{name} {value:.3g}" for name, value in design.limits.items())
    return f"| {design.name} | {design.identities} | {design.items} | {limit} | {' | '.join(cells)} |"


@dataclass(frozen=True)
class Ended:
    """How a study that was run until it decided ended: decision, items, and what was said of its PB then."""

    decision: str
    items: int
    estimate: float
    over_looks: bool
    alone: bool


def run_until_decided(design: Design, rng: np.random.Generator) -> Ended:
    scores, looks, checks = design.draw(rng, design.items), Looks(design, DECIDING_RATE), list[Check]()
    items = 0
    for items in schedule(design.items):
        checks = looks.at(scores[:, :items])
        if verdict(checks) != "not enough data":
            break
    shown = 100 * scores[:, :items]
    wide, alone = (
        estimate_pb(shown, draws=DRAWS, permutations=0, level=level) for level in (1 - 2 * looks.error, 0.95)
    )
    held = [e.ci[0] <= design.bias + 1e-9 and design.bias <= e.ci[1] for e in (wide, alone)]
    return Ended(verdict(checks), items, wide.corrected_squared, *held)


def decide_row(design: Design, studies: int) -> str:
    found = [run_until_decided(design, np.random.default_rng(seed)) for seed in range(studies)]
    items = float(np.mean([e.items for e in found]))
    shares = [100 * np.mean([e.decision == kind for e in found]) for kind in ("pass", "fail")]
    held = [100 * np.mean([getattr(e, name) for e in found]) for name in ("over_looks", "alone")]
    squared = float(np.mean([e.estimate for e in found]))
    return (
        f"| {design.name} | {design.items} | {design.limits['max_pb']:g} | {design.bias:g} "
        f"| {shares[0]:.1f} / {shares[1]:.1f} | {items:.0f} | {design.items / items:.1f} x "
        f"| {held[0]:.1f} % | {held[1]:.1f} % | {squared - design.bias**2:+.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--only", default="limit,decide", help="tables to print, comma-separated")
    options = parser.parse_args()
    tables, error = options.only.split(","), 100 * math.sqrt(ERROR * (1 - ERROR) / options.studies)
    print(f"{options.studies} studies a row: the standard error of 2.5 % is {error:.1f} %.")
    if "limit" in tables:
        print("\n| scores | identities | items | limit, true | one look: % pass / fail | five looks | growing |")
        print("|---|---|---|---|---|---|---|")
        for design in LIMIT_DESIGNS:
            print(limit_row(design, options.studies), flush=True)
    if "decide" in tables:
        print("\n| scores | pool | limit | true PB | % pass / fail | items, mean | saved ", end="")
        print("| interval over all looks holds | 95 % interval holds | PB² estimated - true |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for design in DECIDE_DESIGNS:
            print(decide_row(design, options.studies), flush=True)


if __name__ == "__main__":
    main()

"""Adaptive runs: spend calls only until each suite's interval is as narrow as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenhand.analysis.sequential import FIRST_LOOK, INTERIM_SHARE, Look, look
from evenhand.errors import SpecError
from evenhand.models import Model, make_model
from evenhand.runner import RunResult, run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.progress import Progress
from evenhand.study import Store, StudySpec
from evenhand.study.reading import ADAPTIVE_META
from evenhand.tables import tables_of

# Error of an adaptive study's intervals and of its looks together.
ALPHA = 0.05


@dataclass(frozen=True)
class AdaptiveResult:
    """How an adaptive run ended.

    Attributes:
        run: the last round's result; its ``new`` counts that round only.
        new: answers all rounds added.
        looks: suite -> its last look.
        limited: suites of which every item is asked that the study's ``limit`` allows, without reaching the target.
        exhaustive: calls the paper's design (all items, 3 repeats) would have made on the same grid.
    """

    run: RunResult
    new: int
    looks: dict[str, Look]
    limited: tuple[str, ...]
    exhaustive: int

    @property
    def precise(self) -> bool:
        """Whether every suite reached the target."""
        return all(found.precise for found in self.looks.values())


def run_adaptively(
    spec: StudySpec,
    directory: Path,
    target: float,
    budget: int | None = None,
    *,
    model: Model | None = None,
    progress: Progress | None = None,
) -> AdaptiveResult:
    """Run a study in rounds until the interval of PB of each suite has the half-width ``target``.

    All identities get the same items, in the suite's random drawing order. A suite that is precise enough gets no more
    calls. The rounds depend on the answers only, so that the same call after an interruption goes on where it stopped.

    Args:
        spec: the study; ``limit`` bounds the pool of items.
        directory: the study's directory.
        target: half-width in points.
        budget: calls at most, those of earlier runs included.
        model, progress: as for a plain run.

    Raises:
        SpecError: a budget too small for the first look, fewer than two identities or items, or nothing left to ask
            within the study's ``limit``.
    """
    plan = plan_study(spec, directory)
    cost = len(plan.senders) * spec.repeats
    pool = {s.suite.id: len(plan.unlimited(s)[: spec.limit]) for s in plan.suites}
    if single := [suite for suite, items in pool.items() if items < 2]:
        raise SpecError(f"{single[0]} has one item here, which shows no width.", "Raise --limit, or leave it out.")
    limits = {suite: min(FIRST_LOOK, items) for suite, items in pool.items()}
    if budget is not None and budget < cost * sum(limits.values()):
        raise SpecError(
            f"A budget of {budget} calls is too small: the first look takes {cost * sum(limits.values())}.",
            "Raise --budget, or take fewer identities or suites.",
        )
    chosen = model or make_model(spec.model, spec.options.options())
    new = 0
    while True:
        result = run_study(spec.model_copy(update={"limits": limits}), directory, model=chosen, progress=progress)
        new += result.new
        with Store.create(directory) as store:
            store.set_meta(ADAPTIVE_META, ALPHA * (1 - INTERIM_SHARE))
        looks = _looks(directory, target, pool, limits)
        onward = _affordable({s: found.next_items for s, found in looks.items()}, limits, cost, budget)
        if result.interrupted or onward == limits:
            limited = tuple(
                s.suite.id for s in plan.suites
                if not looks[s.suite.id].precise and limits[s.suite.id] == pool[s.suite.id] < len(plan.unlimited(s))
            )  # fmt: skip
            if limited and not new and not result.interrupted:
                raise SpecError(
                    f"{', '.join(limited)}: all {spec.limit} items that the study's limit allows are asked, and the "
                    f"half-width is {max(looks[s].halfwidth for s in limited):.2f}, not {target:g}.",
                    "Go beyond the limit with --budget CALLS, or with a larger --limit.",
                )
            return AdaptiveResult(result, new, looks, limited, 3 * len(plan.senders) * sum(pool.values()))
        limits = onward


def _looks(directory: Path, target: float, pool: dict[str, int], limits: dict[str, int]) -> dict[str, Look]:
    with Store.open(directory) as store:
        tables = {t.suite: t for t in tables_of(store)}
        order = {suite: store.item_order(suite) for suite in limits}
    found = {}
    for suite, limit in limits.items():
        if suite not in tables:
            raise SpecError(f"{suite} has no scores yet.", "Look at the failures with 'evenhand report'.")
        table, chosen = tables[suite], set(order[suite][:limit])
        # Items beyond the round (from an earlier, larger run) must not decide where this one stops.
        asked = table.select_items(np.array([i in chosen for i in table.items]))
        try:
            found[suite] = look(
                asked.y, target, pool[suite], clusters=asked.clusters, ways=asked.item_ways, alpha=ALPHA
            )
        except ValueError as error:
            raise SpecError(f"{suite}: {error}.", "Look at the failures with 'evenhand report'.") from None
    return found


def _affordable(wanted: dict[str, int], limits: dict[str, int], cost: int, budget: int | None) -> dict[str, int]:
    """The wanted limits, the growth scaled down to what the budget still allows."""
    if budget is None:
        return wanted
    growth = sum(wanted[s] - limits[s] for s in wanted)
    left = budget // cost - sum(limits.values())
    share = min(1.0, left / growth) if growth else 1.0
    return {s: limits[s] + int(share * (wanted[s] - limits[s])) for s in wanted}

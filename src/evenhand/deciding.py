"""Runs a study until its gate can decide: further items, with looks on the way, for no more calls than that takes.

Where to look follows from the items alone, never from the answers. So the looks' error can be spent as planned, and the
same call after an interruption goes on where it stopped.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from evenhand.analysis.gate import UNANSWERED, UNREADABLE, Gated
from evenhand.analysis.sequential import FIRST_LOOK
from evenhand.errors import SpecError
from evenhand.models import Model, make_model
from evenhand.runner import RunResult, run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import Plan
from evenhand.runner.progress import Progress
from evenhand.study import Store, StudySpec
from evenhand.study.reading import DECIDING_META
from evenhand.study.spec import SPEC_FILE

# Items at a look, as a multiple of those at the look before.
_GROWTH = 1.3


@dataclass(frozen=True)
class Decided(Gated):
    """What a gate decided that ran the study on.

    Attributes:
        new: answers that were added.
        answered: answers there are.
        most: answers there could have been, by the limit on calls and the suites' items.
        interrupted: whether it was stopped before it could decide; there are no checks then.
        out_of_budget: whether it ended because the next call would not fit the study's budget.
    """

    new: int = 0
    answered: int = 0
    most: int = 0
    interrupted: bool = False
    out_of_budget: bool = False


def held(directory: Path) -> StudySpec:
    """What a directory's study holds.

    Raises:
        SpecError: there is no study.
    """
    if not (directory / SPEC_FILE).exists():
        raise SpecError(
            f"There is no study in {directory} to run on.",
            f"Begin it with a few items: evenhand run study.toml --limit {FIRST_LOOK} --out {directory}",
        )
    return StudySpec.from_toml(directory / SPEC_FILE)


def run_until_decided(
    spec: StudySpec,
    directory: Path,
    limits: Mapping[str, float],
    max_calls: int,
    look: Callable[[int], Gated],
    *,
    model: Model | None = None,
    progress: Progress | None = None,
) -> Decided:
    """Run a study in rounds until its gate passes or fails, or no calls are left.

    All identities get the same items, in the suite's random drawing order; no suite gets more than another, as long as
    it has some.

    Args:
        spec: the study; its ``limit`` bounds nothing here.
        directory: the study's; made when it is missing.
        limits: as for :func:`evenhand.analysis.gate.gate`.
        max_calls: calls at most, those of earlier runs included.
        look: takes a look at the study, given the answers there will be at most.
        model, progress: as for a plain run.

    Raises:
        SpecError: too few calls for a first look, or a limit on an axis of which the study has no suite.
    """
    plan = plan_study(spec, directory)
    _check_axes(plan, limits)
    rounds = _Rounds(plan, directory, max_calls)
    chosen = model or make_model(spec.model, spec.options.options())
    items, new = rounds.first, 0
    while True:
        result: RunResult | None = None
        if items:
            part = spec.model_copy(update={"limits": rounds.limits(items)})
            result = run_study(part, directory, model=chosen, progress=progress)
            new += result.new
        if result and result.interrupted:
            return _decided(Gated("not enough data", []), rounds, directory, new, result)
        with Store.create(directory) as store:
            store.set_meta(DECIDING_META, max_calls)
        gated = look(rounds.most)
        onward = rounds.after(items)
        hopeless = any(check.reason in (UNANSWERED, UNREADABLE) for check in gated.checks)
        spent = result is not None and result.out_of_budget
        if gated.decision != "not enough data" or hopeless or spent or onward is None:
            return _decided(gated, rounds, directory, new, result)
        items = onward


class _Rounds:
    """How many items each round asks.

    Args:
        plan: the study's.
        directory: where its answers are, if there are any.
        max_calls: in all.

    Attributes:
        first: items of the first round; 0 where the first look needs no new answer.
        most: answers there will be at most.
    """

    def __init__(self, plan: Plan, directory: Path, max_calls: int) -> None:
        self._cost = len(plan.senders) * plan.spec.repeats
        self._pool = {s.suite.id: len(plan.unlimited(s)) for s in plan.suites}
        self._asked, answered, finished = _state(directory)
        largest = max(self._pool.values())
        # The largest number of items that the calls suffice for.
        self._last = bisect.bisect_right(range(largest + 1), max_calls, key=self._calls) - 1
        self._sizes = schedule(self._last)
        self.most = max(answered, self._calls(self._last))
        if not answered and self._last < min(FIRST_LOOK, largest):
            raise SpecError(
                f"{max_calls} calls are too few: the first look takes {self._calls(min(FIRST_LOOK, largest))}.",
                "Allow more calls, or take fewer identities or suites.",
            )
        # The round that an interruption cut, whatever it had asked.
        enough = bisect.bisect_left(
            self._sizes, answered, key=lambda size: self._cost * sum(min(n, size) for n in self._pool.values())
        )
        self.first = 0 if finished or enough == len(self._sizes) else self._sizes[enough]

    def limits(self, items: int) -> dict[str, int]:
        """Suite -> items, when each is to have so many; never fewer than were asked."""
        return {suite: min(pool, max(items, self._asked.get(suite, 0))) for suite, pool in self._pool.items()}

    def after(self, items: int) -> int | None:
        """The items of the next round; None where that takes more calls than are left."""
        done = self._calls(items)
        return next((size for size in self._sizes if self._calls(size) > done), None)

    def _calls(self, items: int) -> int:
        return self._cost * sum(self.limits(items).values())


def schedule(last: int) -> list[int]:
    """Items at the looks, up to the last; none where that is none."""
    sizes = [FIRST_LOOK]
    while sizes[-1] < last:
        sizes.append(math.ceil(sizes[-1] * _GROWTH))
    return [*(size for size in sizes if size < last), last] if last > 0 else []


def _state(directory: Path) -> tuple[dict[str, int], int, bool]:
    """Items with answers per suite, all answers, and whether nothing that was asked for is open."""
    if not Store.is_begun(directory):
        return {}, 0, False
    with Store.open(directory) as store:
        answered = store.count_trials()
        return store.asked_items(), answered, 0 < store.planned() <= answered


def _check_axes(plan: Plan, limits: Mapping[str, float]) -> None:
    """
    Raises:
        SpecError: a limit on an axis that no suite is on, which no number of calls decides.
    """
    axes = {loaded.suite.axis for loaded in plan.suites}
    for name in limits:
        axis = "fit" if name == "min_gain" else name.removeprefix("min_")
        if axis != name and axis not in axes:
            raise SpecError(
                f"No suite of the study measures {axis}.", f"Leave the limit on {axis} out, or add a suite."
            )


def _decided(gated: Gated, rounds: _Rounds, directory: Path, new: int, result: RunResult | None) -> Decided:
    with Store.open(directory) as store:
        answered = store.count_trials()
    return Decided(
        **{field.name: getattr(gated, field.name) for field in fields(Gated)},
        new=new,
        answered=answered,
        most=rounds.most,
        interrupted=result is not None and result.interrupted,
        out_of_budget=result is not None and result.out_of_budget,
    )

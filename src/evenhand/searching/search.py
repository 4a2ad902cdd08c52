"""Find the users whom a model serves worst: explore on some items, confirm on others, explain on third ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenhand.analysis.factorial import Conjunction, Factorial
from evenhand.analysis.found import Condition, Found, SearchResult
from evenhand.analysis.subgroups import FEWEST_TO_TEST
from evenhand.identities import select
from evenhand.mitigate import allowance, spent
from evenhand.models import Model, make_model
from evenhand.people import select_people
from evenhand.personalizers import make_personalizer
from evenhand.runner.engine import resolved
from evenhand.runner.progress import Part as Shown
from evenhand.runner.progress import Progress, Silent
from evenhand.runner.spending import price
from evenhand.searching.asking import NOBODY, Asked, Part
from evenhand.searching.decided import Decided
from evenhand.searching.drawing import explaining, items_for
from evenhand.searching.explaining import by_group, conditions, example, words_of
from evenhand.searching.regression import write_regression
from evenhand.searching.spec import SearchSpec
from evenhand.searching.steps import CONFIRM, EXPLORE, Steps
from evenhand.searching.universe import Universe, make_universe
from evenhand.steering.subspace import Layer
from evenhand.study import StudySpec
from evenhand.study.spec import BudgetSpec
from evenhand.tuning.directions import Tell, read_profile

# Whom a confirmed user is told from, and on how many items at most, to see where in a model that happens.
_OTHERS_TO_TELL_APART, _ITEMS_TO_READ = 3, 40


class _StoppedError(Exception):
    """Interrupted, or out of budget."""


def find_worst(
    study: StudySpec,
    spec: SearchSpec,
    out: Path,
    *,
    model: Model | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search the product of identities, facts, ways of telling and groups of items for whom a model is worst.

    The items of the part *tune* are explored, those of *test* confirm, and those of *choose* explain; each is asked
    cell by cell, and everything is kept in a directory: run again to go on.

    Args:
        study: model, suites, identities (single ones) and personalizers; one repeat is asked.
        spec: the settings.
        out: where everything is kept.
        model: an object to call instead of the one the study names.
        progress: told of every answer.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    return Search(study, spec, out, model=model, progress=progress).run()


@dataclass(frozen=True)
class Scope:
    """What would be searched.

    Attributes:
        users, groups, candidates, items: as in :class:`SearchResult`.
        calls: at most.
        answered: of them so far.
    """

    users: int
    groups: int
    candidates: int
    items: dict[str, int]
    calls: int
    answered: int


class Search:
    """A search, before and while it runs; see :func:`find_worst`."""

    def __init__(
        self,
        study: StudySpec,
        spec: SearchSpec,
        out: Path,
        *,
        model: Model | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._spec, self._out, self._display = spec, out, progress or Silent()
        self._limits = study.budget
        self._prices = BudgetSpec(price_in=study.budget.price_in, price_out=study.budget.price_out)
        self._model = model or make_model(study.model, study.options.options())
        self._base = resolved(study.model_copy(update={"repeats": 1}), self._model)
        self._explore = Part("tune", self._base, out / "explore")
        self._test = Part("test", self._base, out / "confirm")
        self._choose = Part("choose", self._base, out / "explain")
        self._parts = {"explore": self._explore, "confirm": self._test, "explain": self._choose}
        self._universe: Universe = make_universe(
            select(self._base.identities),
            select_people(spec.facts),
            [make_personalizer(p) for p in self._base.personalizers],
            list(dict.fromkeys(self._explore.group_names)),
            spec.stated,
        )
        self._decided = Decided(
            out,
            {
                "study": {**self._base.fixed(), "split": "", "suites": self._base.suites},
                "search": spec.model_dump(mode="json"),
                "levels": self._universe.space.levels,
                "items": {name: part.places for name, part in self._parts.items()},
            },
        )
        self._steps = Steps(self._universe, self._explore, self._test, spec, self._decided, self._ask)
        self._first = True

    def scope(self) -> Scope:
        """What would be searched, and by how much."""
        return Scope(
            users=self._universe.size,
            groups=len(self._universe.groups),
            candidates=self._universe.space.candidates,
            items={name: len(part.places) for name, part in self._parts.items()},
            calls=self._spec.calls,
            answered=sum(part.answered() for part in self._parts.values()),
        )

    def announcement(self) -> str:
        """The same in one line."""
        found = self.scope()
        return (
            f"{found.users:,} users times {found.groups} groups of items: {found.candidates:,} combinations that could "
            f"be found, by at most {found.calls:,} calls ({found.answered:,} of them are made)."
        )

    def run(self) -> SearchResult:
        """Search, or go on.

        Raises:
            EvenhandError: anything a user can fix; what was answered is kept.
        """
        with self._display:
            self._display.begin(self._spec.calls, self.scope().answered)
            try:
                return self._searched()
            except _StoppedError:
                return self._result(stopped=True)

    def write_regression(self, found: SearchResult) -> Path:
        """Write what was confirmed as a suite and a study of its own; its file.

        Raises:
            SpecError: nothing was confirmed.
            StoreError: it cannot be written.
        """
        confirmed = [one.finding.conjunction for one in found.confirmed]
        return write_regression(self._base, self._test, self._universe, confirmed, self._out)

    def layers(self, found: SearchResult, tell: Tell) -> dict[str, tuple[Layer, ...]]:
        """Where in a local model each confirmed user is told from others: what a probe reads behind each block.

        Questions are read, and nothing is answered.

        Raises:
            SpecError: the model's activations cannot be reached.
        """
        profiles = {}
        for one in found.confirmed:
            who, rng = one.finding.conjunction, np.random.default_rng([self._spec.seed, 400])
            alone = self._universe.alone(who)
            others = {self._universe.other(rng, alone, who) for _ in range(_OTHERS_TO_TELL_APART)}
            places = items_for(self._universe, self._explore.group_names, who)[:_ITEMS_TO_READ]
            asked = [
                self._explore.read_by([NOBODY, alone, *sorted(others)], int(place), self._universe) for place in places
            ]
            profiles[one.who] = read_profile(self._base, asked, seed=self._spec.seed, tell=tell)
        return profiles

    def _searched(self) -> SearchResult:
        fit = self._steps.explored()
        seen = self._steps.confirmed(fit)
        explained = self._explained([one.finding.conjunction for one in seen if one.finding.confirmed])
        found = tuple(
            Found(
                self._universe.phrase(one.finding.conjunction),
                fit.difference(one.finding.conjunction),
                one.finding,
                one.contrast.mean,
                one.contrast.other_mean,
                one.contrast.missing,
                explained.get(one.finding.conjunction, ()),
                by_group(one.contrast),
                words_of(self._test, one.pairs, self._universe),
                example(self._test, one.pairs, self._universe, self._spec.direction) if one.finding.confirmed else None,
            )
            for one in seen
        )
        return self._result(found=found, fit=fit)

    def _explained(self, confirmed: Sequence[Conjunction]) -> dict[Conjunction, tuple[Condition, ...]]:
        allowed = int(self._spec.calls * (1 - EXPLORE - CONFIRM)) // max(len(confirmed), 1)
        arms: dict[Conjunction, dict[str, list[Asked]]] = {}
        for who in confirmed:
            count = max(FEWEST_TO_TEST, allowed // (3 + len(who.levels)))
            rng = np.random.default_rng([self._spec.seed, 200, *(n for pair in who.levels for n in pair)])
            # Drawn alike each time: nothing of it depends on an answer.
            arms[who] = explaining(self._universe, self._choose.group_names, who, count, rng)
        if everything := [one for members in arms.values() for cells in members.values() for one in cells]:
            self._ask("explain", everything, "explaining")
        return {who: conditions(self._choose, members, self._universe) for who, members in arms.items()}

    def _ask(self, name: str, asked: Sequence[Asked], title: str) -> None:
        others = spent(part.directory for other, part in self._parts.items() if other != name)
        limits = allowance(self._limits, self._prices, *others)
        if limits is None:
            raise _StoppedError
        shown = Shown(self._display, title, first=self._first)
        self._first = False
        ran = self._parts[name].ask(asked, self._universe, self._model, shown, limits)
        if ran.interrupted or ran.out_of_budget:
            raise _StoppedError
        if ran.failed:
            shown.note(f"{ran.failed} calls failed; they are missing, and asked again when you run the same command")

    def _result(
        self, *, found: tuple[Found, ...] = (), fit: Factorial | None = None, stopped: bool = False
    ) -> SearchResult:
        missing: Counter[str] = Counter()
        for part in self._parts.values():
            missing += part.missing()
        scope = self.scope()
        return SearchResult(
            users=scope.users,
            groups=scope.groups,
            candidates=scope.candidates,
            calls={
                "explore": self._decided.count("explore"),
                "confirm": self._decided.count("confirm"),
                "explain": self._choose.answered(),
            },
            items=scope.items,
            missing=dict(missing),
            found=found,
            uneven=_uneven(fit, self._universe, self._spec.seed) if fit else (),
            noise=fit.noise if fit else math.nan,
            direction=self._spec.direction,
            stopped=stopped,
            cost=price(self._prices, *spent(part.directory for part in self._parts.values())),
        )


def _uneven(fit: Factorial, universe: Universe, seed: int) -> tuple[tuple[str, float], ...]:
    """Groups of items by how much users differ on them, from what exploring estimates."""
    rng = np.random.default_rng([seed, 300])
    users = [universe.draw(rng) for _ in range(300)]
    found = []
    for place, group in enumerate(universe.groups):
        codes = universe.codes(users, [place] * len(users))
        found.append((group, float(np.std(fit.predicted(codes)))))
    return tuple(sorted(found, key=lambda pair: -pair[1]))

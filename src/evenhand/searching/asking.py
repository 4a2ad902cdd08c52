"""Asking chosen users chosen items: each part of a search is a study of cells instead of a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evenhand.analysis.factorial import Observed
from evenhand.analysis.scores import Floats
from evenhand.errors import SpecError
from evenhand.identities import ENGLISH, PLAIN
from evenhand.models import Model
from evenhand.personalizers import baseline_messages
from evenhand.runner.engine import RunResult, run_plan
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import NO_PERSONALIZER
from evenhand.runner.progress import Progress
from evenhand.searching.universe import Universe, User
from evenhand.study import Store, StudySpec
from evenhand.study.reading import SEARCH_META
from evenhand.study.spec import BudgetSpec
from evenhand.study.splits import Split
from evenhand.tuning.directions import Asked as Read
from evenhand.types import Identity, Item

# Nobody: the baseline without an identity.
NOBODY: User = ()
FEWEST_ITEMS = 12

Place = tuple[str, str]


@dataclass(frozen=True)
class Asked:
    """One question by one user.

    Attributes:
        user: who; ``NOBODY`` for the baseline.
        item: place among the part's items.
    """

    user: User
    item: int


class Part:
    """The items of one part of a study, asked cell by cell.

    Args:
        split: which part.
        spec: the study.
        directory: where its answers are kept.
    """

    def __init__(self, split: Split, spec: StudySpec, directory: Path) -> None:
        self.directory = directory
        self._split = split
        asked = {"split": split, "identities": (), "baselines": ("plain",), "mitigation": spec.mitigation}
        self._plan = plan_study(spec.model_copy(update=asked), directory)
        self._items: list[tuple[str, Item]] = [
            (s.suite.id, item) for s in self._plan.suites for item in self._plan.items(s)
        ]
        if len(self._items) < FEWEST_ITEMS:
            raise SpecError(
                f"The part '{split}' of the items has {len(self._items)}, and a search needs {FEWEST_ITEMS}.",
                "Use larger suites, or a higher limit.",
            )
        abroad = [loaded.suite.id for loaded in self._plan.suites if loaded.suite.language != ENGLISH]
        if abroad:
            raise SpecError(
                f"{abroad[0]} is not in English, and a search says who asks in combinations that it makes in English.",
                "Search English suites.",
            )
        several = len(self._plan.suites) > 1
        self.group_names: list[str] = [self._group(suite, item, several) for suite, item in self._items]

    @staticmethod
    def _group(suite: str, item: Item, several: bool) -> str:
        return f"{suite}: {item.group}" if several and item.group else item.group or suite

    @property
    def places(self) -> list[Place]:
        """Suite and id of every item."""
        return [(suite, item.id) for suite, item in self._items]

    @property
    def clusters(self) -> list[str]:
        """What each item shares with others; itself otherwise."""
        return [f"{suite}\x1f{item.cluster or item.id}" for suite, item in self._items]

    def item(self, number: int) -> Item:
        return self._items[number][1]

    @property
    def suites(self) -> list[str]:
        return [s.suite.id for s in self._plan.suites]

    def ask(
        self, asked: Sequence[Asked], universe: Universe, model: Model, progress: Progress, budget: BudgetSpec
    ) -> RunResult:
        """Ask what has no answer yet.

        Args:
            asked: everything that this part asks, what was asked before included.
            universe: of the users.
            model: loaded.
            progress: told of every answer.
            budget: what may be spent on it.

        Raises:
            EvenhandError: anything a user can fix; what was answered is kept.
        """
        people: dict[str, Identity] = {}
        cells: dict[Place, set[tuple[str, str]]] = {}
        for one in asked:
            name, identity = sender(universe, one.user)
            people.setdefault(identity.name, identity)
            cells.setdefault(self.places[one.item], set()).add((name, identity.name))
        people.pop(PLAIN.name, None)
        plan = replace(
            plan_study(self._plan.spec.model_copy(update={"budget": budget}), self.directory),
            identities=(PLAIN, *people.values()),
            only={place: frozenset(who) for place, who in cells.items()},
        )
        with Store.create(self.directory) as store:
            store.set_meta(SEARCH_META, self._split)
        return run_plan(plan, self.directory, model, progress)

    def scores(self, asked: Sequence[Asked], universe: Universe) -> Floats:
        """The scores of what was asked, in points, in its order; NaN where one is missing."""
        with Store.open(self.directory) as store:
            found: dict[tuple[str, str, str, str], list[float]] = {}
            for row in store.scores():
                if row.score is not None:
                    key = (row.suite, row.item, row.personalizer, row.identity)
                    found.setdefault(key, []).append(100.0 * row.score)
        values = []
        for one in asked:
            name, identity = sender(universe, one.user)
            held = found.get((*self.places[one.item], name, identity.name))
            values.append(float(np.mean(held)) if held else np.nan)
        return np.array(values)

    def observed(self, asked: Sequence[Asked], universe: Universe) -> Observed:
        """The same as what effects are estimated from; missing ones are left out."""
        scores = self.scores(asked, universe)
        there = [int(n) for n in np.flatnonzero(~np.isnan(scores))]
        groups = {name: n for n, name in enumerate(universe.groups)}
        chosen = [asked[n] for n in there]
        codes = universe.codes([a.user for a in chosen], [groups[self.group_names[a.item]] for a in chosen])
        return Observed(codes, np.array([a.item for a in chosen], dtype=np.int64), scores[there])

    def responses(self, asked: Sequence[Asked], universe: Universe) -> list[str]:
        """What was answered, in the order of what was asked; "" where nothing was."""
        found: dict[tuple[str, str, str, str], str] = {}
        with Store.open(self.directory) as store:
            for suite, item in dict.fromkeys(self.places[one.item] for one in asked):
                for row in store.transcripts(suite, item):
                    found[suite, item, row["personalizer"], row["identity"]] = row["response"]
        senders = [sender(universe, one.user) for one in asked]
        keys = [(*self.places[a.item], name, i.name) for a, (name, i) in zip(asked, senders, strict=True)]
        return [found.get(key, "") for key in keys]

    def read_by(self, users: Sequence[User], place: int, universe: Universe) -> Read:
        """One item as these users would ask it."""
        suite, item = self._items[place]
        told = [universe.messages(u, item.prompt) if u else baseline_messages(PLAIN, item.prompt) for u in users]
        personalizer = universe.sender(users[-1])[0]
        return Read(suite, item.id, personalizer, tuple(told))

    def answered(self) -> int:
        """How many answers there are."""
        if not Store.is_begun(self.directory):
            return 0
        with Store.open(self.directory) as store:
            return store.count_trials()

    def missing(self) -> Counter[str]:
        """Answers without a score, by their label."""
        if not Store.is_begun(self.directory):
            return Counter()
        with Store.open(self.directory) as store:
            counts = Counter(row.label for row in store.scores() if row.score is None)
            failed = store.count_failed()
        return counts + Counter({"failed": failed})


def sender(universe: Universe, user: User) -> tuple[str, Identity]:
    """Who a user is: the personalizer's name and the identity."""
    return (NO_PERSONALIZER, PLAIN) if user == NOBODY else universe.sender(user)

"""The plan: which trials a study consists of, streamed in an order that keeps identities paired."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evenhand.errors import SpecError
from evenhand.identities import BASELINES, catalogues_of, select
from evenhand.judges import make_judge
from evenhand.mitigations import Mitigation, make_mitigation
from evenhand.personalizers import Personalizer, baseline_messages, make_personalizer
from evenhand.personalizers.template import SystemTemplate
from evenhand.study import Store, StudySpec
from evenhand.study.rows import Cell
from evenhand.study.splits import split_of
from evenhand.suites import DataSource, LoadedSuite, load_suite, make_suites
from evenhand.types import Identity, Item, Message, Request

NO_PERSONALIZER = "none"
NO_MITIGATION = "none"


@dataclass(frozen=True)
class Trial:
    """One call to make."""

    cell: Cell
    item: Item
    request: Request
    judge: str


@dataclass(frozen=True)
class Plan:
    """Everything a study needs, resolved and loaded."""

    spec: StudySpec
    suites: tuple[LoadedSuite, ...]
    identities: tuple[Identity, ...]
    personalizers: tuple[Personalizer, ...]
    judges: dict[str, str]
    source: DataSource
    mitigation: Mitigation
    catalogues: dict[str, str]

    @property
    def senders(self) -> list[tuple[str, Personalizer | None, Identity]]:
        """Who asks each item: (personalizer name, personalizer, identity); baselines have no personalizer."""
        asked: list[tuple[str, Personalizer | None, Identity]] = []
        for identity in self.identities:
            if identity.is_baseline:
                asked.append((NO_PERSONALIZER, None, identity))
            else:
                asked += [(p.name, p, identity) for p in self.personalizers if p.supports(identity)]
        return asked

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Personalizer -> identities it cannot convey; none of their trials are planned."""
        people = [i for i in self.identities if not i.is_baseline]
        found = {p.name: [i.name for i in people if not p.supports(i)] for p in self.personalizers}
        return {name: names for name, names in found.items() if names}

    @property
    def without_system(self) -> list[str]:
        """Baselines, and personalizers, whose conversations have no system message."""
        found = {}
        for name, personalizer, identity in self.senders:
            sent = self.mitigation.rewrite(_messages(personalizer, identity, "?", self.spec.baseline_template))
            if sent[0].role != "system":
                found[identity.name if personalizer is None else name] = True
        return list(found)

    def items(self, loaded: LoadedSuite) -> tuple[Item, ...]:
        """The items of a suite that this study asks."""
        return self.unlimited(loaded)[: self.spec.limits.get(loaded.suite.id, self.spec.limit)]

    def unlimited(self, loaded: LoadedSuite) -> tuple[Item, ...]:
        """The items of a suite that it could ask without a limit."""
        if self.spec.split == "all":
            return loaded.items
        return tuple(i for i in loaded.items if split_of(loaded.suite.id, i.id) == self.spec.split)

    @property
    def size(self) -> int:
        """How many trials the grid has."""
        items = sum(len(self.items(s)) for s in self.suites)
        return items * len(self.senders) * self.spec.repeats

    def count_done(self, store: Store) -> int:
        """How many trials of the grid have a response."""
        senders = {(name, identity.name) for name, _, identity in self.senders}
        return sum(
            (name, identity) in senders and repeat < self.spec.repeats
            for loaded in self.suites
            for item in self.items(loaded)
            for name, identity, repeat in store.done_cells(loaded.suite.id, item.id)
        )

    def trials(self, store: Store | None) -> Iterator[Trial]:
        """The trials that have no response yet, item by item, suites in step, all identities on an item together.

        Args:
            store: knows which have one; None for all trials.
        """
        decoding = self.spec.decoding.decoding()
        for loaded, item in _in_step([(s, self.items(s)) for s in self.suites]):
            suite = loaded.suite
            done = store.done_cells(suite.id, item.id) if store else set()
            scored = suite.scoring == "logprobs" and bool(item.choices)
            for name, personalizer, identity in self.senders:
                messages = self.mitigation.rewrite(
                    _messages(personalizer, identity, item.prompt, self.spec.baseline_template)
                )
                for repeat in range(self.spec.repeats):
                    if (name, identity.name, repeat) in done:
                        continue
                    cell = (suite.id, item.id, name, identity.name, repeat)
                    request = Request(
                        messages,
                        decoding,
                        trial_seed(self.spec.seed, cell),
                        item.choices if scored else (),
                        item.extra.get("prefill", "") if scored else "",
                    )
                    yield Trial(cell, item, request, self.judges[suite.id])


def make_plan(
    spec: StudySpec, pinned: dict[str, str] | None = None, catalogues: Mapping[str, str] | None = None
) -> Plan:
    """Resolve every name and load the data.

    Args:
        spec: the study.
        pinned: hub revisions to load again.
        catalogues: identity catalogue -> the version to read it in.

    Raises:
        SpecError: an unknown name, a judge for suites of the other axis, or personalizers that support none of the
            identities.
        DataError: data that is missing or malformed.
    """
    suites = make_suites(spec.suites)
    known = {s.id for s in suites} | {s.name for s in suites}
    for suite, judge in spec.judges.items():
        if suite not in known:
            raise SpecError(f"The judge '{judge}' is for '{suite}', which is not a suite of this study.")
    judges = {s.id: spec.judges.get(s.id) or spec.judges.get(s.name) or s.judge for s in suites}
    for member in suites:
        make_judge(judges[member.id]).check_suite(member.id, member.axis)
    source = DataSource(spec.data_dir, pinned)
    people = select(spec.identities, catalogues)
    plan = Plan(
        spec=spec,
        suites=tuple(load_suite(s, source) for s in suites),
        identities=(*(BASELINES[b] for b in dict.fromkeys(spec.baselines)), *people),
        personalizers=tuple(make_personalizer(p) for p in dict.fromkeys(spec.personalizers)),
        judges=judges,
        source=source,
        mitigation=make_mitigation(spec.mitigation or NO_MITIGATION, spec.options.options()),
        catalogues=catalogues_of(spec.identities, people, catalogues),
    )
    if spec.identities and all(i.is_baseline for _, _, i in plan.senders):
        raise SpecError(
            f"The personalizer {', '.join(spec.personalizers)} can convey none of these identities.",
            "A first name works for identities of gender, race and religion that have one.",
        )
    return plan


def trial_seed(study_seed: int, cell: Cell) -> int:
    """A trial's own seed: independent between cells, the same on every machine; 31 bits."""
    text = "\x1f".join((str(study_seed), *map(str, cell)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _messages(personalizer: Personalizer | None, identity: Identity, prompt: str, baseline: str) -> tuple[Message, ...]:
    if personalizer is None:
        return baseline_messages(identity, prompt, baseline)
    return personalizer.messages(identity, prompt)


def _in_step(pools: list[tuple[Any, tuple[Item, ...]]]) -> Iterator[tuple[LoadedSuite, Item]]:
    """Items of all pools merged by their relative position, so that an early look sees every suite."""
    order = sorted(
        ((n + 0.5) / len(items), index, n) for index, (_, items) in enumerate(pools) for n in range(len(items))
    )
    for _, index, n in order:
        yield pools[index][0], pools[index][1][n]


def baseline_is_another(plan: Plan) -> bool:
    """Whether ``plain`` has the package's system message beside a template of the user's own."""
    own = any(isinstance(p, SystemTemplate) for p in plan.personalizers)
    return own and "plain" in plan.spec.baselines and not plan.spec.baseline_template

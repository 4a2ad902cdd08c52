"""The plan: which trials a study consists of, streamed in an order that keeps identities paired."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from evenhand.errors import SpecError
from evenhand.identities import BASELINES, ENGLISH, PERSON, Begun, Language, catalogues_of, select
from evenhand.judges import make_judge
from evenhand.mitigations import Mitigation, make_mitigation
from evenhand.models import Model
from evenhand.people import assigned, select_people
from evenhand.personalizers import Memory, Personalizer, PersonPersonalizer, baseline_messages, make_personalizer
from evenhand.personalizers.template import SystemTemplate
from evenhand.runner.answered import Answered, CellOfItem
from evenhand.runner.languages import check_languages
from evenhand.study import Store, StudySpec
from evenhand.study.rows import Cell
from evenhand.study.splits import split_of
from evenhand.suites import DataSource, LoadedSuite, drawn_as, load_suite, make_suites
from evenhand.suites.formats import TEXTS
from evenhand.types import PERSON_BASELINE, Identity, Item, Message, Person, Request, User

NO_PERSONALIZER = "none"
NO_MITIGATION = "none"


@dataclass(frozen=True)
class Trial:
    """One call to make.

    Attributes:
        cell: its place in the grid.
        item: the question.
        told: the conversation as its personalizer made it; where a memory must be learned first, without any.
        request: what is asked, with the mitigation's rewriting of it.
        judge: who judges the answer.
        learner: who learns of the user first; None where nobody does.
        identity: who the user is said to be.
    """

    cell: Cell
    item: Item
    told: tuple[Message, ...]
    request: Request
    judge: str
    learner: PersonPersonalizer | None
    identity: Identity

    @property
    def user(self) -> User:
        """Who asks."""
        return _user(self.item, self.identity)


# (suite, item) -> who asks it, as (personalizer, identity).
Cells = Mapping[tuple[str, str], frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Plan:
    """Everything a study needs, resolved and loaded; ``only`` says who asks what where not everybody asks all."""

    spec: StudySpec
    suites: tuple[LoadedSuite, ...]
    identities: tuple[Identity, ...]
    personalizers: tuple[Personalizer, ...]
    judges: dict[str, str]
    source: DataSource
    mitigation: Mitigation
    catalogues: dict[str, str]
    only: Cells | None = None

    @property
    def senders(self) -> list[tuple[str, Personalizer | None, Identity]]:
        """Who asks each item: (personalizer name, personalizer, identity); baselines have no personalizer."""
        asked: list[tuple[str, Personalizer | None, Identity]] = []
        for identity in self.identities:
            if identity == PERSON:
                asked += [(p.name, p, identity) for p in self.personalizers if isinstance(p, PersonPersonalizer)]
            elif identity.is_baseline:
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
            asked = self._conversation(personalizer, identity, Item("", "?", "", "?"), ENGLISH)
            sent = self.mitigation.rewrite(asked)
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
        return tuple(i for i in loaded.items if split_of(loaded.suite.id, drawn_as(i)) == self.spec.split)

    @property
    def size(self) -> int:
        """How many trials are planned."""
        if self.only is not None:
            return sum(map(len, self.only.values())) * self.spec.repeats
        items = sum(len(self.items(s)) for s in self.suites)
        return items * len(self.senders) * self.spec.repeats

    @property
    def cells(self) -> Counter[tuple[str, str]]:
        """(suite, identity) -> trials."""
        repeats = self.spec.repeats
        found: Counter[tuple[str, str]] = Counter()
        if self.only is not None:
            for (suite, _), who in self.only.items():
                found.update({(suite, identity): repeats * n for identity, n in Counter(i for _, i in who).items()})
            return found
        asked = Counter(identity.name for _, _, identity in self.senders)
        for loaded in self.suites:
            each = len(self.items(loaded)) * repeats
            found.update({(loaded.suite.id, who): n * each for who, n in asked.items()})
        return found

    def answered(self, store: Store) -> Answered:
        """What of the study a store has now."""
        return Answered(store, [loaded.suite.id for loaded in self.suites])

    def done(self, answered: Answered) -> Counter[tuple[str, str]]:
        """(suite, identity) -> planned trials that have a response."""
        senders = frozenset((name, identity.name) for name, _, identity in self.senders)
        cells_of, found = cache(self._cells_of), Counter[tuple[str, str]]()
        for loaded in self.suites:
            # Most items of a large study are done whole, or not begun: they are counted at once.
            whole = Counter[frozenset[CellOfItem]]()
            for item in self.items(loaded):
                cells = cells_of(self._asking(loaded, item, senders))
                done = answered.among(loaded.suite.id, item.id, cells)
                if len(done) == len(cells):
                    whole[cells] += 1
                else:
                    found.update((loaded.suite.id, identity) for _, identity, _ in done)
            for cells, count in whole.items():
                for _, identity, _ in cells:
                    found[loaded.suite.id, identity] += count
        return found

    def _cells_of(self, asking: frozenset[tuple[str, str]]) -> frozenset[CellOfItem]:
        """What senders ask of one item."""
        return frozenset((*sender, repeat) for sender in asking for repeat in range(self.spec.repeats))

    def _asking(
        self, loaded: LoadedSuite, item: Item, senders: frozenset[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Which senders ask an item."""
        return senders if self.only is None else self.only.get((loaded.suite.id, item.id), frozenset())

    def count_done(self, store: Store) -> int:
        """How many of the planned trials have a response."""
        return self.done(self.answered(store)).total()

    async def prepare(self) -> None:
        """Let personalizers compute together what :meth:`trials` would have them compute one by one.

        Raises:
            ModelError: an encoder cannot be used.
        """
        items = [item for loaded in self.suites for item in self.items(loaded)]
        for personalizer in self.personalizers:
            if isinstance(personalizer, PersonPersonalizer):
                await personalizer.prepare(items)

    def trials(self, answered: Answered | None) -> Iterator[Trial]:
        """The trials that have no response yet, item by item, suites in step, all identities on an item together.

        Args:
            answered: knows which have one; None for all trials.
        """
        decoding = self.spec.decoding.decoding()
        senders = {(sender[0], sender[2].name): sender for sender in self.senders}
        everybody, cells_of = frozenset(senders), cache(self._cells_of)
        for loaded, item in _in_step([(s, self.items(s)) for s in self.suites]):
            suite = loaded.suite
            asking = self._asking(loaded, item, everybody)
            cells = cells_of(asking)
            done = answered.among(suite.id, item.id, cells) if answered else frozenset[CellOfItem]()
            if len(done) == len(cells):
                continue  # nobody is told anything of what is done
            scored = suite.scoring == "logprobs" and bool(item.choices)
            texts = tuple(item.extra.get(TEXTS, ())) if scored else ()
            for name, personalizer, identity in (s for key, s in senders.items() if key in asking):
                told = self._conversation(personalizer, identity, item, suite.language)
                messages = self.mitigation.rewrite(told)
                learner = personalizer if isinstance(personalizer, PersonPersonalizer) and personalizer.learns else None
                for repeat in range(self.spec.repeats):
                    if (name, identity.name, repeat) in done:
                        continue
                    cell = (suite.id, item.id, name, identity.name, repeat)
                    request = Request(
                        messages,
                        decoding,
                        trial_seed(self.spec.seed, cell),
                        texts or (item.choices if scored else ()),
                        item.extra.get("prefill", "") if scored else "",
                        whole=bool(texts),
                    )
                    yield Trial(cell, item, told, request, self.judges[suite.id], learner, identity)

    async def asked(self, trial: Trial, memory: Memory | None, model: Model) -> Request:
        """What a trial asks, from the memory that its learner made, as far as the mitigation lets it be told.

        Args:
            trial: which.
            memory: None where nobody learns.
            model: what the mitigation asks, where it must.

        Raises:
            CallError, ModelError: what the mitigation asked failed.
        """
        told = trial.learner.recall(memory, trial.item) if trial.learner and memory else trial.told
        told = await self.mitigation.attend(told, self.known(trial.user), trial.item, model)
        return replace(trial.request, messages=self.mitigation.rewrite(told))

    def known(self, user: User) -> User:
        """The user as far as the mitigation lets anybody know."""
        return replace(user, person=self.mitigation.known(user.person)) if user.person else user

    def _conversation(
        self, personalizer: Personalizer | None, identity: Identity, item: Item, language: Language
    ) -> tuple[Message, ...]:
        if personalizer is None:
            return baseline_messages(identity, item.prompt, self.spec.baseline_template or language.system)
        if not isinstance(personalizer, PersonPersonalizer):
            return personalizer.messages_in(language, identity, item.prompt)
        user = personalizer.known(self.known(_user(item, identity)))
        # What a learner knows of the person is in its memory, or nowhere.
        memory = Memory(replace(user, person=None) if personalizer.learns else user)
        return personalizer.recall_in(language, memory, item)


def make_plan(
    spec: StudySpec,
    pinned: dict[str, str] | None = None,
    begun: Begun | None = None,
    kept: Mapping[str, str] | None = None,
) -> Plan:
    """Resolve every name and load the data.

    Args:
        spec: the study.
        pinned: hub revisions to load again.
        begun: whom the study has told of already, where it is there.
        kept: suite -> the judge that it has where the study names none.

    Raises:
        SpecError: an unknown name, a judge for suites of the other axis, or personalizers that support none of the
            identities, or that tell of people where there are none; what a suite's language has no words for.
        DataError: data that is missing or malformed.
    """
    suites = make_suites(spec.suites)
    known = {s.id for s in suites} | {s.name for s in suites}
    for suite, judge in spec.judges.items():
        if suite not in known:
            raise SpecError(f"The judge '{judge}' is for '{suite}', which is not a suite of this study.")
    judges = {s.id: spec.judges.get(s.id) or spec.judges.get(s.name) or (kept or {}).get(s.id, s.judge) for s in suites}
    for member in suites:
        made = make_judge(judges[member.id])
        made.check_suite(member.id, member.axis)
        made.check_baselines(spec.baselines)
    people = select_people(spec.people)
    source = DataSource(spec.data_dir, pinned, people)
    identities = select(spec.identities, begun)
    plan = Plan(
        spec=spec,
        suites=tuple(_with_people(load_suite(s, source), people) for s in suites),
        identities=(*(BASELINES[b] for b in dict.fromkeys(spec.baselines)), *identities),
        personalizers=tuple(make_personalizer(p) for p in dict.fromkeys(spec.personalizers)),
        judges=judges,
        source=source,
        mitigation=make_mitigation(spec.mitigation or NO_MITIGATION, spec.options.options()),
        catalogues=catalogues_of(spec.identities, identities, begun.versions if begun else None),
    )
    _check_people(plan)
    check_languages(plan.personalizers, [s.suite for s in plan.suites], plan.identities, plan.mitigation)
    if spec.identities and all(i.is_baseline for _, _, i in plan.senders):
        raise SpecError(
            f"The personalizer {', '.join(spec.personalizers)} can convey none of these identities.",
            "A name works for identities of gender, race and religion that have one, own-bio for those of a CSV file.",
        )
    return plan


def trial_seed(study_seed: int, cell: Cell) -> int:
    """A trial's own seed: independent between cells, the same on every machine; 31 bits."""
    text = "\x1f".join((str(study_seed), *map(str, cell)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _user(item: Item, identity: Identity) -> User:
    return User(item.person, None if identity.is_baseline else identity)


def _with_people(loaded: LoadedSuite, people: Sequence[Person]) -> LoadedSuite:
    """The suite, its items asked by somebody: those that bring nobody by a hash, alike for all identities."""
    name = loaded.suite.id
    items = (item if item.person else replace(item, person=assigned(name, item.id, people)) for item in loaded.items)
    return replace(loaded, items=tuple(items)) if people else loaded


def _check_people(plan: Plan) -> None:
    """Refuse what needs people where there are none.

    Raises:
        SpecError: a personalizer or the baseline ``person`` would say nothing of anybody.
    """
    knowing = [p.name for p in plan.personalizers if isinstance(p, PersonPersonalizer)]
    there = any(item.person for loaded in plan.suites for item in loaded.items)
    needed = [f"The personalizer '{p.name}'" for p in plan.personalizers if p.needs_people]
    if PERSON_BASELINE in plan.spec.baselines:
        if not knowing:
            raise SpecError(
                "The baseline 'person' is a person without an identity, and no personalizer of the study tells of one.",
                "Add --personalizer profile.",
            )
        needed.append("The baseline 'person'")
    if needed and not there:
        raise SpecError(f"{needed[0]} tells of a person, and the study has none.", "Add --people starter, or a file.")


def check_texts(plan: Plan, model: Model) -> None:
    """Refuse suites whose choices are whole texts where the model does not say how likely those are.

    Raises:
        SpecError: it does not.
    """
    for loaded in plan.suites:
        if not model.scores_texts and any(item.extra.get(TEXTS) for item in loaded.items):
            raise SpecError(
                f"The suite '{loaded.suite.id}' asks how likely texts are, which {model.id} does not say.",
                f"Use {loaded.suite.name}, or a model in this process (smollm2, hf:).",
            )


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

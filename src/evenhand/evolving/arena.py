"""The studies of an evolution: the same items and identities under one defense after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.analysis import SuiteScores
from evenhand.errors import SpecError
from evenhand.identities import select
from evenhand.mitigate import check_unmitigated, mitigated
from evenhand.mitigations.defense import Placement
from evenhand.models import Model
from evenhand.runner import run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import Plan
from evenhand.runner.progress import Part, Progress
from evenhand.study import Store, StudySpec
from evenhand.study.begun import begun_below
from evenhand.study.splits import Split, identity_halves
from evenhand.tables import tables_of

NONE = "none"
_FEWEST = 2


class StoppedError(Exception):
    """A run was interrupted, or out of budget."""


@dataclass(frozen=True)
class Entry:
    """A defense that takes part.

    Attributes:
        name: what it is called: "none", a shipped one's name, or a number of its own.
        text: "" for none.
        placement: where it stands.
    """

    name: str
    text: str = ""
    placement: Placement = "after"

    @property
    def mitigation(self) -> str:
        """The reference that a study knows it by."""
        return f"defense:{self.text}@{self.placement}" if self.text else ""

    @property
    def folder(self) -> str:
        """The same for the same text, whatever its name."""
        digest = hashlib.blake2b(self.mitigation.encode(), digest_size=6).hexdigest()
        return digest if self.text else NONE


NO_DEFENSE = Entry(NONE)


class Arena:
    """One part of an evolution: items of one split, asked by some identities.

    Args:
        part: the split.
        spec: the study that every defense is put in front of.
        directory: where their studies live.
        model: what answers.
        display: entered, and told of all trials together.
    """

    def __init__(self, part: Split, spec: StudySpec, directory: Path, model: Model, display: Progress) -> None:
        self._part: Split = part
        self._spec, self._directory, self._model, self._display = spec, directory, model, display
        self._first = part == "tune"

    def plan(self) -> Plan:
        """What one condition asks.

        Raises:
            SpecError: there is nothing to run, or a suite has too few items in this part.
        """
        plan = plan_study(self._spec, self._directory / NONE)
        for loaded in plan.suites:
            if len(plan.items(loaded)) < _FEWEST:
                raise SpecError(f"{loaded.suite.id} has too few items in the part '{self._part}'.", "Use a larger one.")
        return plan

    def answered(self) -> int:
        """Answers that are there, of all defenses."""
        found = 0
        for directory in begun_below(self._directory, "*"):
            with Store.open(directory) as store:
                found += store.count_trials()
        return found

    def run(self, entry: Entry) -> list[SuiteScores]:
        """Put a defense to the test, or go on with it.

        Raises:
            StoppedError: before its end.
            EvenhandError: anything a user can fix.
        """
        spec = mitigated(self._spec, entry.mitigation) if entry.text else self._spec
        part = Part(self._display, f"{self._part}, {entry.name}", first=self._first)
        self._first = False
        done = run_study(spec, self.folder(entry), model=self._model, progress=part)
        if done.interrupted or done.out_of_budget:
            raise StoppedError
        if done.failed:
            part.note(f"{done.failed} calls failed; they are missing, and asked again when you run the same command")
        with self.store(entry) as store:
            return tables_of(store)

    def folder(self, entry: Entry) -> Path:
        return self._directory / entry.folder

    def store(self, entry: Entry) -> Store:
        """The study of a defense that was run."""
        return Store.open(self.folder(entry))


def parts(spec: StudySpec, items: dict[Split, int]) -> dict[Split, StudySpec]:
    """The studies of the three parts: tuning and choosing with half of the identities, the test with the others.

    Args:
        spec: the study that is to be improved.
        items: how many of each suite are asked in each part.

    Raises:
        SpecError: the study has a mitigation, too few identities, or some that cannot be told apart by name.
    """
    check_unmitigated(spec)
    people = [identity for identity in select(spec.identities) if not identity.is_baseline]
    tuned, fresh = identity_halves(people)
    if len(fresh) < _FEWEST:
        raise SpecError(
            f"The study has {len(people)} identities; half of them are kept for the test, and each half needs two.",
            "Use four or more, such as --identities age.",
        )
    if any(identity.parts for identity in people):
        raise SpecError("An intersection is no fresh identity where its parts are not.", "Name single identities.")
    if select(i.name for i in people) != people:
        raise SpecError("Identities from a file cannot be halved by name.", "Name those of the catalogues.")
    halves: dict[Split, Sequence[str]] = {
        "tune": [i.name for i in tuned], "choose": [i.name for i in tuned], "test": [i.name for i in fresh],
    }  # fmt: skip
    baselines = spec.baselines if "plain" in spec.baselines else ("plain", *spec.baselines)
    return {
        part: spec.model_copy(
            update={
                "identities": tuple(names), "baselines": baselines, "split": part,
                "limit": items[part], "limits": {}, "budget": type(spec.budget)(),
            }
        )
        for part, names in halves.items()
    }  # fmt: skip

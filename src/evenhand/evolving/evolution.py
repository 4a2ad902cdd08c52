"""The evolution of one defense: improve on some items, choose on others, confirm on fresh items and identities.

After FERMI (arXiv 2406.18678), whose prompts for one user are improved on what they get wrong: here the prompt is for
everybody, what it gets wrong is told without saying for whom, and a Pareto memory takes the place of one score.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import orjson

from evenhand import arguments
from evenhand.analysis import SuiteScores
from evenhand.analysis.comparison import Change
from evenhand.analysis.conditions import telling
from evenhand.analysis.evolution import (
    NOT_SHOWN,
    Confirmation,
    Objective,
    changes,
    confirm,
    replaces,
    worth,
)
from evenhand.errors import SpecError, StoreError
from evenhand.evolving.arena import NO_DEFENSE, NONE, Arena, Entry, StoppedError, parts
from evenhand.evolving.author import Author
from evenhand.evolving.failures import Failure, Key, failures, fit_before
from evenhand.evolving.file import write_defense
from evenhand.evolving.spec import Budget, EvolutionSpec, budget
from evenhand.evolving.writing import Tried, instruction_in, objection, request
from evenhand.mitigations.defense import shipped_defenses
from evenhand.models import Model, make_model
from evenhand.personalizers import PersonPersonalizer
from evenhand.runner.plan import Plan
from evenhand.runner.progress import Progress, Silent
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.study.splits import Split
from evenhand.types import Decoding, Response
from evenhand.whole import write_whole

SETTINGS_FILE = "evolution.json"
DEFENSE_FILE = "defense.toml"
_KEPT = 5
_DRAWS = 1000
# Tokens of the writer: the study's model as the study asks it, another with room to think.
_SHORT, _ROOM = 220, 2048
NO_PROPOSAL = "no proposal could be used"
REPLACED = "every proposal was replaced by a defense that is there already, or by none"
NOT_CHOSEN = "no proposal did better than no defense on the items to choose on"


@dataclass(frozen=True)
class Point:
    """A defense on the items for tuning.

    Attributes:
        entry: which.
        changes: from no defense to it.
        parent: name of the one that it was to improve; "" for those that were there at the beginning.
    """

    entry: Entry
    changes: dict[Objective, Change]
    parent: str = ""

    @property
    def worth(self) -> float:
        """Safety plus utility plus gain minus bias, in points."""
        return worth(self.changes)


@dataclass(frozen=True)
class Evolution:
    """What an evolution found.

    Attributes:
        points: every defense that was tried, in its order; "none" is the first.
        front: names of those that no other replaced.
        discarded: reason -> proposals that were not tried.
        finalists: on the items to choose on, the first is no defense.
        chosen: name of the one that was confirmed; "" for none.
        confirmation: on fresh items and identities; None where nothing was chosen.
        verdict: in words.
        reason: why nothing was chosen; "" where something was.
        file: the defense; None where nothing was chosen.
        stopped: whether it ended before its end; the same call goes on.
    """

    points: tuple[Point, ...] = ()
    front: tuple[str, ...] = ()
    discarded: dict[str, int] = field(default_factory=dict)
    finalists: tuple[Point, ...] = ()
    chosen: str = ""
    confirmation: Confirmation | None = None
    verdict: str = ""
    reason: str = ""
    file: Path | None = None
    stopped: bool = False

    def point(self, name: str) -> Point:
        """A defense by its name."""
        return next(p for p in self.points if p.entry.name == name)


def evolve(
    study: StudySpec | Path,
    spec: EvolutionSpec,
    out: Path,
    *,
    model: Model | None = None,
    writer: Model | None = None,
    progress: Progress | None = None,
) -> Evolution:
    """Evolve a defense for a study's model, or go on with what is in ``out``.

    Args:
        study: a study, its file, or the directory of one that was run; its own items and identities are not asked,
            but halves of them.
        spec: the settings.
        out: where everything is kept.
        model, writer: objects to call instead of those that study and settings name.
        progress: told of every trial.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    return _Search(study_of(study), spec, out, model, writer, progress or Silent()).run()


def planned(study: StudySpec | Path, spec: EvolutionSpec, out: Path) -> Budget:
    """What :func:`evolve` takes at most; calls no model.

    Raises:
        EvenhandError: anything a user can fix.
    """
    return _Search(study_of(study), spec, out, None, None, Silent()).budget


def study_of(study: StudySpec | Path) -> StudySpec:
    """A study from its spec, its file, or its directory.

    Raises:
        SpecError, StoreError: there is none, or it is not valid.
    """
    if isinstance(study, StudySpec) or study.suffix == ".toml":
        return arguments.study_of(study)
    with Store.open(study) as store:
        return held_spec(store)


class _Search:
    def __init__(
        self, study: StudySpec, spec: EvolutionSpec, out: Path, model: Model | None, writer: Model | None,
        display: Progress,
    ) -> None:  # fmt: skip
        self._study, self._spec, self._out, self._display = study, spec, out, display
        items: dict[Split, int] = {"tune": spec.items, "choose": spec.choose_items, "test": spec.test_items}
        self._parts = parts(study, items)
        self._model = model or make_model(study.model, study.options.options())
        other = make_model(spec.writer, spec.writer_options.options()) if spec.writer else self._model
        self._author = Author(out / "writer", writer or other, _writing(spec, study), spec.seed)
        self._arenas = {part: Arena(part, own, out / part, self._model, display) for part, own in self._parts.items()}
        plans = {part: arena.plan() for part, arena in self._arenas.items()}
        self.budget: Budget = budget(spec, [plan.size for plan in plans.values()])
        if not spec.without_gain:
            _check_gain(plans["tune"])
        self._identities = [*plans["tune"].identities, *plans["test"].identities]
        self._items = {part: {s.suite.id: len(plan.items(s)) for s in plan.suites} for part, plan in plans.items()}
        self._points: list[Point] = []
        self._front: list[str] = []
        self._tables: dict[str, list[SuiteScores]] = {}
        self._failures: dict[str, list[Failure]] = {}
        self._discarded: Counter[str] = Counter()

    def run(self) -> Evolution:
        self._check_settings()
        trials = self.budget.total - self.budget.write
        with self._display:
            self._display.begin(trials, self._answered())
            try:
                self._improve()
                return self._decide()
            except StoppedError:
                return self._result(stopped=True)

    def _answered(self) -> int:
        return sum(arena.answered() for arena in self._arenas.values())

    def _check_settings(self) -> None:
        """Refuse to go on under other settings: what was confirmed must not be looked at again.

        Raises:
            SpecError: they differ from those of the first call.
            StoreError: the directory cannot be written.
        """
        file = self._out / SETTINGS_FILE
        encoded = orjson.dumps(_settings(self._study, self._spec), option=orjson.OPT_INDENT_2)
        try:
            if not self._answered() or not file.exists():
                write_whole(file, encoded)
            held = orjson.loads(file.read_bytes())
        except OSError as error:
            raise StoreError(f"Cannot write {file}: {error.strerror}.", "Choose another --out.") from None
        except orjson.JSONDecodeError:
            held = None
        if held != orjson.loads(encoded):
            raise SpecError(
                f"The evolution in {self._out} was begun with other settings.",
                "Use the same ones, or choose another --out. Fresh items are fresh once.",
            )

    def _improve(self) -> None:
        """Try the defenses that there are, then rounds of new ones."""
        self._try(NO_DEFENSE)
        for name in self._spec.rivals:
            self._try(_shipped(name))
        for number in range(1, self.budget.rounds + 1):
            self._display.stage(f"round {number} of {self.budget.rounds}: writing")
            self._round(number)

    def _round(self, number: int) -> None:
        """Have new defenses written, and try those that may be one; the best of the memory take turns as parents."""
        memory, count = self._memory(), self._spec.proposals
        tried = [self._as_seen(point) for point in memory]
        parents = [len(memory) - 1 - n % len(memory) for n in range(count)]
        asked = [((number - 1) * count + n, request(tried, parent)) for n, parent in enumerate(parents, 1)]
        for n, (written, parent) in enumerate(zip(self._author.write(asked), parents, strict=True), 1):
            source = memory[parent].entry
            text = "" if written is None else instruction_in(written.text)
            if why := self._objection(written, text):
                self._discarded[why] += 1
            else:
                self._try(Entry(f"evolved {number}.{n}", text, source.placement), source.name)

    def _objection(self, written: Response | None, text: str) -> str:
        if written is None:
            return "the call failed"
        if written.finish_reason == "length" and "</instruction>" not in written.text.lower():
            return "cut at the token limit"
        return objection(text, [p.entry.text for p in self._points], self._identities)

    def _try(self, entry: Entry, parent: str = "") -> None:
        arena = self._arenas["tune"]
        tables = arena.run(entry)
        self._tables[entry.name] = tables
        with arena.store(entry) as store:
            self._failures[entry.name] = failures(store, self._fit_before)
        self._points.append(Point(entry, self._changes(NONE, entry.name), parent))
        # Whoever is replaced by somebody who is there never enters, so that the front is not empty.
        if not any(replaces(self._changes(entry.name, other)) for other in self._front):
            gone = [other for other in self._front if replaces(self._changes(other, entry.name))]
            self._front = [*(other for other in self._front if other not in gone), entry.name]

    @cached_property
    def _fit_before(self) -> dict[Key, float]:
        """Mean score of each item of fit without a defense, which is tried first."""
        with self._arenas["tune"].store(NO_DEFENSE) as store:
            return fit_before(store)

    def _changes(self, before: str, after: str) -> dict[Objective, Change]:
        return _paired(self._tables[before], self._tables[after])

    def _memory(self) -> list[Point]:
        """The best of the front, from worst to best."""
        front = [point for point in self._points if point.entry.name in self._front]
        return sorted(front, key=lambda point: point.worth)[-_KEPT:]

    def _as_seen(self, point: Point) -> Tried:
        figures = {str(objective): change.after for objective, change in point.changes.items()}
        entry = point.entry
        return Tried(entry.text, entry.placement, figures, self._failures[entry.name])

    def _decide(self) -> Evolution:
        evolved = [p for p in self._points if p.parent]
        standing = sorted((p for p in evolved if p.entry.name in self._front), key=lambda p: -p.worth)
        if not standing:
            return self._result(reason=REPLACED if evolved else NO_PROPOSAL)
        arena = self._arenas["choose"]
        none = arena.run(NO_DEFENSE)
        tried = [Point(p.entry, _paired(none, arena.run(p.entry)), p.parent) for p in standing[: self._spec.finalists]]
        finalists = (Point(NO_DEFENSE, _paired(none, none)), *tried)
        best = max(finalists, key=lambda p: p.worth)
        if best is finalists[0]:
            return self._result(finalists=finalists, reason=NOT_CHOSEN)
        return self._confirm(best.entry, finalists)

    def _confirm(self, chosen: Entry, finalists: tuple[Point, ...]) -> Evolution:
        arena = self._arenas["test"]
        none, own = arena.run(NO_DEFENSE), arena.run(chosen)
        rivals = {name: arena.run(_shipped(name)) for name in self._spec.rivals}
        try:
            found = confirm(own, none, rivals, margin=self._spec.margin, seed=self._spec.seed)
        except ValueError as error:
            raise _too_little(error) from None
        file = self._out / DEFENSE_FILE
        made = self._result(finalists=finalists, chosen=chosen.name, confirmation=found, file=file)
        write_defense(file, chosen, self._parts, self._items, self._spec, self._model.revision, found)
        return made

    def _result(
        self, *, finalists: tuple[Point, ...] = (), chosen: str = "", confirmation: Confirmation | None = None,
        reason: str = "", file: Path | None = None, stopped: bool = False,
    ) -> Evolution:  # fmt: skip
        verdict = "" if stopped else confirmation.verdict if confirmation else NOT_SHOWN
        return Evolution(
            tuple(self._points), tuple(self._front), dict(self._discarded), finalists, chosen, confirmation, verdict,
            reason, file, stopped,
        )  # fmt: skip


def _settings(study: StudySpec, spec: EvolutionSpec) -> dict[str, object]:
    """What decides what is asked and looked at; how models are reached may change."""
    grid = ("suites", "identities", "baselines", "people", "personalizers", "repeats", "judges")
    held = study.model_dump(mode="json", include=set(grid))
    asked = {**study.fixed(), "decoding.max_tokens": study.decoding.max_tokens, **held}
    return {"study": asked, "evolution": spec.model_dump(mode="json", exclude={"writer_options"})}


def _writing(spec: EvolutionSpec, study: StudySpec) -> Decoding:
    """How the writer is asked: as far as it goes with room to think."""
    if spec.writer:
        return Decoding(max_tokens=_ROOM)
    own = study.decoding
    return Decoding(max_tokens=max(own.max_tokens, _SHORT), reasoning_effort=own.reasoning_effort)


def _shipped(name: str) -> Entry:
    defense = shipped_defenses()[name]
    return Entry(name, defense.text, defense.placement)


def _paired(before: list[SuiteScores], after: list[SuiteScores]) -> dict[Objective, Change]:
    try:
        return changes(before, after, draws=_DRAWS)
    except ValueError as error:
        raise _too_little(error) from None


def _too_little(error: ValueError) -> SpecError:
    return SpecError(
        f"Two defenses cannot be compared: {error}.", "Look at the failures with 'evenhand report', or take more items."
    )


def _check_gain(plan: Plan) -> None:
    """Refuse to search for what deletes the user.

    Raises:
        SpecError: nothing measures gain.
    """
    known = {p.name for p in plan.personalizers if isinstance(p, PersonPersonalizer)}
    if not telling(known) or all(s.suite.axis != "fit" for s in plan.suites):
        raise SpecError(
            "Nothing in the study measures gain: a defense that has the assistant forget its user would look best.",
            "Add --suite fit-recall --people starter --personalizer profile to the study, or say --without-gain.",
        )

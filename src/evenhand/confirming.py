"""Many mitigations: the promising ones are chosen on some items, and confirmed on items that no choice has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
from pydantic import Field

from evenhand.analysis.choosing import Candidate, chosen_of, look, rounds
from evenhand.analysis.confirmation import Confirmed, Measured
from evenhand.analysis.frontier import Outcome
from evenhand.errors import SpecError, StoreError
from evenhand.mitigate import MARGIN, allowance, check_unmitigated, expected_of, mitigated, outcomes, spent
from evenhand.models import Model, make_model
from evenhand.runner import Estimate, run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import Plan
from evenhand.runner.progress import Part, Progress, Silent
from evenhand.runner.spending import price
from evenhand.specs import Strict
from evenhand.study import Store, StudySpec
from evenhand.study.begun import begun_below
from evenhand.study.held import held_spec
from evenhand.study.spec import BudgetSpec
from evenhand.tables import measured
from evenhand.visible import file_names
from evenhand.whole import write_whole

SETTINGS_FILE = "choice.json"
NONE = "none"
NOTHING_CHOSEN = (
    "on the items to choose on, no mitigation lowers the bias without losing more than the margin elsewhere"
)
_FEWEST = 2


class ChoiceSpec(Strict):
    """How mitigations are chosen and confirmed.

    Attributes:
        confirm: how many are confirmed at most.
        margin: how much of safety, utility, fit, gain or over-refusal may be lost, in points.
        choose_items, test_items: items of each suite, to choose on and to confirm on; the study's limit otherwise.
    """

    confirm: int = Field(2, ge=1, le=10)
    margin: float = Field(MARGIN, gt=0, le=100)
    choose_items: int | None = Field(None, ge=4)
    test_items: int | None = Field(None, ge=4)


@dataclass(frozen=True)
class Chosen:
    """What came of many mitigations.

    Attributes:
        candidates: what the items to choose on showed of each, the best first; too good for those that were chosen.
        outcomes: what fresh items show of the chosen ones, and of studies beside them.
        reason: why none was chosen; "" where some were, or the end was not reached.
        left: mitigations whose calls are not all made.
        interrupted: whether somebody stopped them; else the budget did.
        cost: of all studies so far; None without prices.
    """

    candidates: dict[str, Candidate] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    reason: str = ""
    left: tuple[str, ...] = ()
    interrupted: bool = False
    cost: float | None = None


def choose_and_confirm(
    study: Path,
    references: Sequence[str],
    out: Path,
    spec: ChoiceSpec | None = None,
    *,
    also: Sequence[Path] = (),
    model: Model | None = None,
    progress: Progress | None = None,
    budget: BudgetSpec | None = None,
    draws: int = 2000,
) -> Chosen:
    """Choose among mitigations on the items of the part *choose*, and confirm the best on those of the part *test*.

    Args:
        study: a study without a mitigation. Its own items matter only where it asked all of a part: then it is the
            condition without a mitigation there.
        references: mitigations.
        out: where everything is kept; continued when there.
        spec: the settings.
        also: mitigated studies that are there already, on items of the part *test*, to be confirmed with the chosen.
        model: an object to call instead of the one the study names.
        progress: told of every trial.
        budget: prices, and limits on all studies together.
        draws: of the resampling of what is confirmed.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    return _Choosing(study, references, out, spec or ChoiceSpec(), also, budget, progress or Silent()).run(model, draws)


def expected(
    study: Path, references: Sequence[str], out: Path, spec: ChoiceSpec, budget: BudgetSpec | None = None
) -> list[Estimate]:
    """What :func:`choose_and_confirm` has left to ask at most; an estimate's suite names part and mitigation.

    Raises:
        EvenhandError: anything a user can fix.
    """
    return _Choosing(study, references, out, spec, (), budget, Silent()).expected()


def fresh_items(study: Path, references: Sequence[str], out: Path, spec: ChoiceSpec) -> dict[str, int]:
    """How many items of each suite :func:`choose_and_confirm` confirms on.

    Raises:
        EvenhandError: anything a user can fix.
    """
    return _Choosing(study, references, out, spec, (), None, Silent()).fresh


@dataclass(frozen=True)
class Fresh:
    """The studies on fresh items of what was chosen.

    Attributes:
        margin: that was set, in points.
        none: the study without a mitigation; None where that was asked elsewhere.
        studies: mitigation -> its study.
    """

    margin: float
    none: Path | None
    studies: dict[str, Path]


def confirmed_in(out: Path) -> Fresh | None:
    """What :func:`choose_and_confirm` confirmed in a directory; None where it did not.

    Raises:
        StoreError: the file that says what was chosen is damaged.
    """
    held = _read(out / SETTINGS_FILE)
    found: dict[str, Path] = {}
    for directory in begun_below(out, "test/*"):
        with Store.open(directory) as store:
            found[held_spec(store).mitigation] = directory
    none = found.pop("", None)
    return Fresh(ChoiceSpec.model_validate(held["spec"]).margin, none, found) if held and found else None


def _read(file: Path) -> dict[str, object]:
    try:
        return dict(orjson.loads(file.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError):
        raise StoreError(f"{file} is damaged: it says what was chosen.", "Choose another --out.") from None


class _StoppedError(Exception):
    """A run was interrupted (True), or out of budget."""


class _Stage:
    """One part of the items, under one mitigation after the other."""

    def __init__(self, part: str, spec: StudySpec, out: Path, study: Path, names: Mapping[str, str]) -> None:
        self.part, self.spec, self._out, self._names = part, spec, out / part, names
        plan = checked(plan_study(spec, self._out / NONE), part)
        self.size = plan.size
        self.ids = {s.suite.id: [item.id for item in plan.items(s)] for s in plan.suites}
        with Store.open(study) as store:
            self._given = study if plan.count_done(store) == plan.size else None

    def folder(self, reference: str) -> Path:
        """Where the study under a mitigation is, or under none ("")."""
        if not reference:
            return self._given or self._out / NONE
        return self._out / self._names[reference]

    def condition(self, reference: str, items: Mapping[str, int] | None = None) -> StudySpec:
        """The study under a mitigation, on so many items."""
        spec = mitigated(self.spec, reference) if reference else self.spec
        return spec.model_copy(update={"limits": dict(items)}) if items else spec

    def asks(self, reference: str) -> bool:
        """Whether it has anything to ask: not where the study itself is the condition."""
        return bool(reference) or self._given is None

    def measured(self, reference: str, items: Mapping[str, int]) -> Measured:
        """What the first items of each suite show."""
        with Store.open(self.folder(reference)) as store:
            return measured(store, {suite: ids[: items[suite]] for suite, ids in self.ids.items()})


class _Choosing:
    def __init__(
        self, study: Path, references: Sequence[str], out: Path, spec: ChoiceSpec, also: Sequence[Path],
        budget: BudgetSpec | None, display: Progress,
    ) -> None:  # fmt: skip
        self._study, self._out, self._spec, self._also, self._display = study, out, spec, also, display
        with Store.open(study) as store:
            held = held_spec(store)
            self._taken = store.tokens_per_trial()
        check_unmitigated(held)
        self._limits = budget or BudgetSpec()
        prices = self._limits if self._limits.price_in is not None else held.budget
        self._prices = BudgetSpec(price_in=prices.price_in, price_out=prices.price_out)
        base = held.model_copy(update={"budget": self._prices, "limits": {}})
        self._references = list(dict.fromkeys(mitigated(base, reference).mitigation for reference in references))
        names = dict(zip(self._references, file_names(self._references), strict=True))
        asked = {"choose": spec.choose_items, "test": spec.test_items}
        self._choose, self._test = (
            _Stage(part, base.model_copy(update={"split": part, "limit": items or held.limit}), out, study, names)
            for part, items in asked.items()
        )
        self._settings = {
            "study": {**held.fixed(), "split": "", "suites": list(held.suites), "identities": list(held.identities)},
            "mitigations": self._references,
            "spec": spec.model_dump(mode="json"),
            "items": {stage.part: stage.ids for stage in (self._choose, self._test)},
        }
        for directory in also:
            _check_fresh(directory)

    def expected(self) -> list[Estimate]:
        found = []
        for stage, references in ((self._choose, self._references), (self._test, self._most_costly())):
            for reference in ("", *references):
                if stage.asks(reference):
                    one = expected_of(stage.condition(reference), stage.folder(reference), self._taken)
                    found.append(replace(one, suite=f"{stage.part}: {reference or NONE}"))
        return found

    @property
    def fresh(self) -> dict[str, int]:
        """How many items of each suite are kept to confirm on."""
        return {suite: len(ids) for suite, ids in self._test.ids.items()}

    def _most_costly(self) -> list[str]:
        """As many as are confirmed, those that call most often: what it takes at most."""
        held = self._held()
        return held if held is not None else sorted(self._references, key=self._calls)[-self._spec.confirm :]

    def _calls(self, reference: str) -> float:
        return plan_study(self._choose.condition(reference), self._choose.folder(reference)).mitigation.calls

    def run(self, model: Model | None, draws: int) -> Chosen:
        self._check_settings()
        spec = self._choose.spec
        self._model = model or make_model(spec.model, spec.options.options())  # loaded once for all
        self._first, self._doing = True, ""
        candidates: dict[str, Candidate] = {}
        most = min(self._spec.confirm, len(self._references))
        total = (len(self._references) + self._choose.asks("")) * self._choose.size
        total += (most + self._test.asks("")) * self._test.size
        with self._display:
            self._display.begin(total, self._answered())
            try:
                candidates = self._choose_among()
                chosen = self._hold([n for n, c in candidates.items() if c.chosen])
                for reference in ("", *chosen) if chosen or self._also else ():
                    self._run(self._test, reference, f"confirming, {reference or NONE}")
            except _StoppedError as stopped:
                return Chosen(candidates, left=(self._doing,), interrupted=bool(stopped.args[0]), cost=self._cost())
        after = {n: self._test.folder(n) for n in chosen} | {d.name: d for d in self._also}
        found = outcomes(self._test.folder(""), after, margin=self._spec.margin, draws=draws) if after else []
        return Chosen(candidates, found, "" if chosen else NOTHING_CHOSEN, cost=self._cost())

    def _choose_among(self) -> dict[str, Candidate]:
        """Rounds of growing numbers of items, cheap mitigations first; who cannot win leaves."""
        steps = rounds({suite: len(ids) for suite, ids in self._choose.ids.items()})
        decided = self._held() is not None
        left, found = sorted(self._references, key=self._calls), {}
        for number, items in enumerate(steps, 1):
            for reference in ("", *left):
                # What was decided stays decided: an answer that was missing then does not change it.
                if not decided:
                    title = f"choosing, round {number} of {len(steps)}, {reference or NONE}"
                    self._run(self._choose, reference, title, items)
            seen, dropped = self._look(left, items, len(steps))
            for name in left:
                found[name] = Candidate(seen[name], dropped.get(name, ""), number, items)
            left = [name for name in left if name not in dropped]
        return chosen_of(found, left, self._spec.confirm, self._held())

    def _look(
        self, left: Sequence[str], items: Mapping[str, int], looks: int
    ) -> tuple[dict[str, Confirmed], dict[str, str]]:
        none = self._choose.measured("", items)
        others = {name: self._choose.measured(name, items) for name in left}
        try:
            return look(none, others, margin=self._spec.margin, looks=looks, keep=self._spec.confirm)
        except ValueError as error:
            raise SpecError(
                f"The mitigations cannot be compared: {error}.", "Look at the failures with 'evenhand report'."
            ) from None

    def _run(self, stage: _Stage, reference: str, title: str, items: Mapping[str, int] | None = None) -> None:
        if not stage.asks(reference):
            return
        self._doing = reference or NONE
        folder = stage.folder(reference)
        limits = allowance(self._limits, self._prices, *spent(d for d in self._studies() if d != folder))
        if limits is None:
            raise _StoppedError(False)
        part = Part(self._display, title, first=self._first)
        self._first = False
        spec = stage.condition(reference, items).model_copy(update={"budget": limits})
        ran = run_study(spec, folder, model=self._model, progress=part)
        if ran.interrupted or ran.out_of_budget:
            raise _StoppedError(ran.interrupted)
        if ran.failed:
            part.note(f"{ran.failed} calls failed; they are missing; the same command asks those that decided nothing")

    def _studies(self) -> list[Path]:
        return begun_below(self._out, "*/*")

    def _answered(self) -> int:
        found = 0
        for directory in self._studies():
            with Store.open(directory) as store:
                found += store.count_trials()
        return found

    def _cost(self) -> float | None:
        return price(self._prices, *spent(self._studies()))

    def _check_settings(self) -> None:
        """Refuse to choose anew after fresh items were asked.

        Raises:
            SpecError: they were, under other settings.
            StoreError: the directory cannot be written.
        """
        held = self._kept()
        if held.get("chosen") is not None and {k: v for k, v in held.items() if k != "chosen"} != self._settings:
            raise SpecError(
                f"In {self._out} was chosen and confirmed under other settings.",
                "Use the same ones, or choose another --out. Fresh items are fresh once.",
            )
        self._keep({**self._settings, "chosen": held.get("chosen")})

    def _held(self) -> list[str] | None:
        """What was chosen before; None where nothing was yet."""
        found = self._kept().get("chosen")
        return [str(name) for name in found] if isinstance(found, list) else None

    def _hold(self, chosen: list[str]) -> list[str]:
        self._keep({**self._settings, "chosen": chosen})
        return chosen

    def _kept(self) -> dict[str, object]:
        return _read(self._out / SETTINGS_FILE)

    def _keep(self, content: Mapping[str, object]) -> None:
        file = self._out / SETTINGS_FILE
        try:
            write_whole(file, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise StoreError(f"Cannot write {file}: {error.strerror}.", "Choose another --out.") from None


def checked(plan: Plan, part: str) -> Plan:
    """A part's plan.

    Raises:
        SpecError: a suite has too few items in it.
    """
    for loaded in plan.suites:
        if len(plan.items(loaded)) < _FEWEST:
            raise SpecError(
                f"{loaded.suite.id} has too few items in the part '{part}'.",
                "Use a larger suite, or one mitigation at a time.",
            )
    return plan


def _check_fresh(directory: Path) -> None:
    """Refuse to confirm a study on other items than those kept for it.

    Raises:
        SpecError: it was run on others.
    """
    with Store.open(directory) as store:
        split = held_spec(store).split
    if split != "test":
        raise SpecError(
            f"{directory} was run on the part '{split}' of the items; what is confirmed needs fresh ones.",
            "Run it with --split test, or compare it alone: leave --mitigation and --all out.",
        )

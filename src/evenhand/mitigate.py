"""Mitigating a study: the same trials again with a mitigation in front of the model, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evenhand.analysis.confirmation import confirm
from evenhand.analysis.frontier import Cost, Outcome, ranked
from evenhand.errors import SpecError
from evenhand.mitigations import MITIGATIONS, make_mitigation
from evenhand.mitigations.defense import shipped_defenses
from evenhand.mitigations.references import full_reference
from evenhand.models import Model, make_model
from evenhand.runner import Estimate, run_study
from evenhand.runner.growth import plan_study
from evenhand.runner.plan import Plan
from evenhand.runner.progress import Part, Progress, Silent
from evenhand.runner.spending import estimate, price
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.study.spec import BudgetSpec
from evenhand.tables import compare_stores, measured
from evenhand.visible import file_names

# Points of anything that may be lost, where nobody says otherwise.
MARGIN = 2.0


@dataclass(frozen=True)
class Member:
    """One mitigated study of a set, and where it lives."""

    spec: StudySpec
    directory: Path


def mitigated(spec: StudySpec, reference: str) -> StudySpec:
    """The same study with a mitigation.

    Args:
        spec: the study without one.
        reference: a mitigation's reference; the name or text of a prompt defense will do.

    Raises:
        SpecError: an unknown name, or a study that has a mitigation already.
    """
    check_unmitigated(spec)
    full = full_reference(reference)
    make_mitigation(full)
    return spec.model_copy(update={"mitigation": full})


def check_unmitigated(spec: StudySpec) -> None:
    """Refuse a study in which something stands in front of the model already.

    Raises:
        SpecError: it has a mitigation.
    """
    if spec.mitigation:
        raise SpecError(f"The study already has the mitigation {spec.mitigation}.", "Start from the study without one.")


def all_mitigations(spec: StudySpec) -> list[str]:
    """Every training-free mitigation that the study's model can use, with its default argument."""
    local = make_model(spec.model, spec.options.options()).is_local
    # What needs an argument has no default one: a defense, or a folder of directions.
    others = {n: m for n, m in MITIGATIONS.members().items() if n != "none" and (m.argument or "[")[0] == "["}
    return [
        *(f"defense:{name}" for name in shipped_defenses()),
        *(n for n, mitigation in others.items() if local or not mitigation.local_only),
    ]


@dataclass(frozen=True)
class Mitigated:
    """What running a set of mitigations did.

    Attributes:
        outcomes: of the mitigations that were run to their end, ranked.
        left: mitigations that were not.
        interrupted: whether somebody stopped them; else the budget did.
        cost: of all mitigated studies so far; None without prices.
    """

    outcomes: list[Outcome]
    left: tuple[str, ...]
    interrupted: bool
    cost: float | None


def members(study: Path, references: Sequence[str], out: Path, budget: BudgetSpec | None = None) -> list[Member]:
    """The mitigated studies that a set of mitigations means.

    Args:
        study: the study without a mitigation.
        references: mitigations.
        out: the mitigated study's directory; with several, one directory each below it.
        budget: prices, those of the study by default.

    Raises:
        SpecError: an unknown mitigation, or a study that has one already.
    """
    with Store.open(study) as store:
        spec = held_spec(store)
    prices = budget if budget is not None and budget.price_in is not None else spec.budget
    # The limits are the set's: they are shared out when it runs.
    spec = spec.model_copy(update={"budget": BudgetSpec(price_in=prices.price_in, price_out=prices.price_out)})
    specs = [mitigated(spec, reference) for reference in references]
    names = file_names([s.mitigation for s in specs])
    return [Member(s, out / name if len(specs) > 1 else out) for s, name in zip(specs, names, strict=True)]


def estimate_all(study: Path, chosen: Sequence[Member]) -> list[Estimate]:
    """What each mitigation has left to ask, by what the study without one took; an estimate's suite is its name."""
    with Store.open(study) as store:
        taken = store.tokens_per_trial()
    return [expected_of(member.spec, member.directory, taken) for member in chosen]


def expected_of(spec: StudySpec, directory: Path, taken: Mapping[str, tuple[float, float]]) -> Estimate:
    """What one study has left to ask; the estimate's suite is its mitigation.

    Args:
        spec: the study.
        directory: where it is, or will be.
        taken: suite -> mean prompt and completion tokens of a trial without a mitigation.
    """
    plan = plan_study(spec, directory)
    calls = plan.mitigation.calls
    known = {suite: (calls * prompt, calls * completion) for suite, (prompt, completion) in taken.items()}
    if Store.is_begun(directory):
        with Store.open(directory) as store:
            parts = estimate(plan, store, known)
    else:
        parts = estimate(plan, None, known)
    costs = [part.cost for part in parts if part.cost is not None]
    trials, prompt, completion = (
        sum(getattr(part, name) for part in parts) for name in ("trials", "prompt_tokens", "completion_tokens")
    )
    measured_before = all(part.measured for part in parts)
    return Estimate(spec.mitigation, trials, prompt, completion, measured_before, sum(costs) if costs else None)


def mitigate(
    study: Path,
    references: Sequence[str],
    out: Path,
    *,
    also: Sequence[Path] = (),
    model: Model | None = None,
    progress: Progress | None = None,
    budget: BudgetSpec | None = None,
    margin: float = MARGIN,
    draws: int = 2000,
) -> Mitigated:
    """Run a study's trials again with each mitigation, and compare: no choice is made, and none paid for.

    :func:`evenhand.confirming.choose_and_confirm` chooses among many.

    Args:
        study: the study without a mitigation.
        references: mitigations.
        out: the mitigated study's directory; with several, one directory each below it. Continued when there.
        also: mitigated studies that are there already, such as those of tuned adapters; named by their directories.
        model: an object to call instead of the one the study names.
        progress: told of every trial of all mitigations together.
        budget: prices, and limits on all mitigated studies together.
        margin: how much of anything may be lost, in points.
        draws: of the resampling.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    chosen = members(study, references, out, budget)
    done, interrupted = _run_all(chosen, budget or BudgetSpec(), model, progress or Silent())
    after = {m.spec.mitigation: m.directory for m in done} | {d.name: d for d in also}
    found = outcomes(study, after, margin=margin, draws=draws) if after else []
    left = tuple(m.spec.mitigation for m in chosen[len(done) :])
    return Mitigated(
        found, left, interrupted, price(chosen[0].spec.budget, *spent(m.directory for m in chosen)) if chosen else None
    )


def _run_all(
    chosen: Sequence[Member], budget: BudgetSpec, model: Model | None, display: Progress
) -> tuple[list[Member], bool]:
    """Run one after the other; return those that came to their end, and whether somebody stopped them."""
    if not chosen:
        return [], False
    spec = chosen[0].spec
    model = model or make_model(spec.model, spec.options.options())  # loaded once for all
    plan = plan_study(spec, chosen[0].directory)  # all have the same grid
    answered = sum(_done(plan, member.directory) for member in chosen)
    with display:
        display.begin(len(chosen) * plan.size, answered)
        for n, member in enumerate(chosen):
            others = spent(other.directory for other in chosen if other is not member)
            limits = allowance(budget, member.spec.budget, *others)
            if limits is None:
                return list(chosen[:n]), False
            title = f"{n + 1} of {len(chosen)}: {member.spec.mitigation}"
            part = Part(display, title, first=n == 0)
            ran = run_study(
                member.spec.model_copy(update={"budget": limits}), member.directory, model=model, progress=part
            )
            if ran.interrupted or ran.out_of_budget:
                return list(chosen[:n]), ran.interrupted
    return list(chosen), False


def allowance(
    limits: BudgetSpec, prices: BudgetSpec, prompt_tokens: float, completion_tokens: float
) -> BudgetSpec | None:
    """What is left for one study when the others took these tokens, with prices; None for nothing."""
    tokens = limits.max_total_tokens
    if tokens is not None and (tokens := tokens - int(prompt_tokens + completion_tokens)) < 1:
        return None
    most = limits.max_cost
    if most is not None:
        most -= price(prices, prompt_tokens, completion_tokens) or 0.0
        if most <= 0:
            return None
    return prices.model_copy(update={"max_total_tokens": tokens, "max_cost": most})


def spent(directories: Iterable[Path]) -> tuple[float, float]:
    """Prompt and completion tokens of all answers in these studies, as far as they are begun."""
    sums = [0.0, 0.0]
    for directory in directories:
        if Store.is_begun(directory):
            with Store.open(directory) as store:
                totals = store.totals()
            sums = [sums[0] + totals["prompt_tokens"], sums[1] + totals["completion_tokens"]]
    return sums[0], sums[1]


def _done(plan: Plan, directory: Path) -> int:
    if not Store.is_begun(directory):
        return 0
    with Store.open(directory) as store:
        return plan.count_done(store)


def outcome(
    before: Path, after: Path, name: str, *, margin: float = MARGIN, draws: int = 2000, seed: int = 0
) -> Outcome:
    """What changed from one study to the other, with its cost.

    Args:
        before, after: directories.
        name: what to call the mitigation.
        margin: how much of anything may be lost, in points.
        draws, seed: of the resampling.

    Raises:
        SpecError: the studies share too little to compare.
    """
    return outcomes(before, {name: after}, margin=margin, draws=draws, seed=seed)[0]


def outcomes(
    before: Path, after: Mapping[str, Path], *, margin: float = MARGIN, draws: int = 2000, seed: int = 0
) -> list[Outcome]:
    """What changed from one study to several others, tested together, with their cost; the best first.

    Args:
        before: the study without a mitigation.
        after: name -> the mitigated study.
        margin: how much of anything may be lost, in points.
        draws, seed: of the resampling.

    Raises:
        SpecError: the studies share too little to compare.
    """
    with ExitStack() as opened:
        one = opened.enter_context(Store.open(before))
        others = {name: opened.enter_context(Store.open(directory)) for name, directory in after.items()}
        changes = {name: compare_stores(one, other, draws=draws, seed=seed) for name, other in others.items()}
        try:
            seen = confirm(
                measured(one), {n: measured(o) for n, o in others.items()}, margin=margin, draws=2 * draws, seed=seed
            )
        except ValueError as error:
            raise SpecError(f"{before} cannot be compared: {error}.", "Run all on the same suites.") from None
        fresh = {name: held_spec(other).split == "test" for name, other in others.items()}
        found = [Outcome(n, changes[n], seen[n], _cost(one), _cost(o), fresh[n]) for n, o in others.items()]
    return ranked(found)


def _cost(store: Store) -> Cost:
    totals = store.totals()
    seconds = sum((run["ended_at"] or run["started_at"]) - run["started_at"] for run in store.runs())
    tokens = int(totals["prompt_tokens"] + totals["completion_tokens"])
    return Cost(store.count_trials(), int(totals["calls"]), tokens, seconds)

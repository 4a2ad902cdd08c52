"""Mitigating a study: the same trials again with a mitigation in front of the model, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from evenhand.analysis.agreement import wilson
from evenhand.analysis.frontier import Cost, Outcome, ranked
from evenhand.errors import SpecError
from evenhand.mitigations import MITIGATIONS, make_mitigation
from evenhand.mitigations.defense import shipped_defenses
from evenhand.models import Model, make_model
from evenhand.runner import run_study
from evenhand.runner.progress import Progress
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.tables import compare_stores


def mitigated(spec: StudySpec, reference: str) -> StudySpec:
    """The same study with a mitigation.

    Args:
        spec: the study without one.
        reference: a mitigation's reference; the name or text of a prompt defense will do.

    Raises:
        SpecError: an unknown name, or a study that has a mitigation already.
    """
    if spec.mitigation:
        raise SpecError(f"The study already has the mitigation {spec.mitigation}.", "Start from the study without one.")
    full = reference_of(reference)
    make_mitigation(full)
    return spec.model_copy(update={"mitigation": full})


def reference_of(text: str) -> str:
    """A reference from what a user wrote: defenses may go without their prefix."""
    if text.partition(":")[0] in MITIGATIONS:
        return text
    is_defense = text.partition("@")[0] in shipped_defenses() or " " in text or text.endswith((".toml", ".txt"))
    return f"defense:{text}" if is_defense else text


def all_mitigations(spec: StudySpec) -> list[str]:
    """Every training-free mitigation that the study's model can use, with its default argument."""
    local = make_model(spec.model, spec.options.options()).is_local
    names = [n for n in MITIGATIONS.names() if n not in ("none", "defense")]
    return [
        *(f"defense:{name}" for name in shipped_defenses()),
        *(n for n in names if local or not MITIGATIONS.get(n).local_only),
    ]


def mitigate(
    study: Path,
    references: Sequence[str],
    out: Path,
    *,
    also: Sequence[Path] = (),
    model: Model | None = None,
    progress: Callable[[], Progress] | None = None,
    draws: int = 2000,
) -> list[Outcome]:
    """Run a study's trials again with each mitigation, and compare.

    Args:
        study: the study without a mitigation.
        references: mitigations.
        out: the mitigated study's directory; with several, one directory each below it. Continued when there.
        also: mitigated studies that are there already, such as those of tuned adapters; named by their directories.
        model: an object to call instead of the one the study names.
        progress: makes the display of a run.
        draws: of the resampling.

    Returns:
        Outcomes, ranked.

    Raises:
        EvenhandError: anything a user can fix; what was answered is kept.
    """
    with Store.open(study) as store:
        spec = held_spec(store)
    specs = [mitigated(spec, reference) for reference in references]
    chosen = model or make_model(spec.model, spec.options.options())  # loaded once for all
    directories: list[Path] = []
    for member in specs:
        directories.append(out / slug(member.mitigation) if len(specs) > 1 else out)
        run_study(member, directories[-1], model=chosen, progress=progress() if progress else None)
    outcomes = [outcome(study, d, s.mitigation, draws=draws) for d, s in zip(directories, specs, strict=True)]
    outcomes += [outcome(study, d, d.name, draws=draws) for d in also]
    return ranked(outcomes)


def outcome(before: Path, after: Path, name: str, *, draws: int = 2000, seed: int = 0) -> Outcome:
    """What changed from one study to the other, with its cost.

    Args:
        before, after: directories.
        name: what to call the mitigation.
        draws, seed: of the resampling.

    Raises:
        SpecError: the studies share too little to compare.
    """
    with Store.open(before) as one, Store.open(after) as other:
        change = compare_stores(one, other, draws=draws, seed=seed)
        refusals = [_refusals(s) for s in (one, other)]
        both = (refusals[0], refusals[1]) if refusals[0][1] and refusals[1][1] else None
        return Outcome(
            name,
            change,
            (wilson(*both[0]), wilson(*both[1])) if both else None,
            _cost(one),
            _cost(other),
        )


def slug(reference: str) -> str:
    """A directory's name for a mitigation."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", reference).strip("-")[:60]


def _refusals(store: Store) -> tuple[int, int]:
    """(refusals, responses) of people on utility suites that were answered in words."""
    read = [row for row in store.scores() if row[1] == "utility" and row[6] != "baseline" and row[8] is not None]
    written = {s["suite"] for s in store.suites() if not s["suite"].endswith(":logprobs")}
    labels = [row[9] for row in read if row[0] in written]
    return sum(label.startswith("refusal") for label in labels), len(labels)


def _cost(store: Store) -> Cost:
    totals = store.totals()
    seconds = sum((run["ended_at"] or run["started_at"]) - run["started_at"] for run in store.runs())
    tokens = int(totals["prompt_tokens"] + totals["completion_tokens"])
    return Cost(store.count_trials(), int(totals["calls"]), tokens, seconds)

"""What a study that is there already decides about the next run of it, and what that run adds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, StoreError, one_line
from evenhand.personalizers import PersonPersonalizer
from evenhand.personalizers.realised import Realised
from evenhand.runner.languages import begun_with, check_told, hold_words, keep_words
from evenhand.runner.plan import NO_PERSONALIZER, Plan, make_plan
from evenhand.study import Store, StudySpec
from evenhand.study.held import write_study_file
from evenhand.study.notes import LIMITS, is_imported
from evenhand.study.reading import CATALOGUES_META, FIXED_META, GRIDS_META, READERS_META, WAYS_META
from evenhand.study.splits import trained_items, tuned_folder
from evenhand.whole import write_whole

RUNS_DIRECTORY = "runs"
PINNED_META = "hub_revisions"


def plan_study(spec: StudySpec, directory: Path) -> Plan:
    """The plan of a run in a directory, which may hold a study already.

    That study's hub revisions, catalogue versions, words in other languages and judges hold on.

    Raises:
        SpecError: an unknown name, personalizers that would be pooled with others without a word, another judge or
            language, or a study of imported answers.
        DataError: data that is missing or malformed.
    """
    if not Store.is_begun(directory):
        return make_plan(spec)
    with Store.open(directory) as store:
        if is_imported(store):
            raise SpecError(
                f"The study {directory} was imported; nothing can be asked for it.", "Choose another --out."
            )
        plan = make_plan(spec, store.meta(PINNED_META), begun_with(store), store.judges_in_use())
        check_told(store, plan)
        keep_words(store, plan)
        _check_personalizers(store, plan)
        _check_ways(store, plan)
        return replace(plan, judges=_judges(store, plan))


def record(store: Store, plan: Plan, run: int) -> None:
    """Keep what a run asks for: its grid, its catalogues' versions and its file; ``study.toml`` says what is held."""
    # A run of chosen cells asks for those of the runs before it too; the number of planned trials is kept with the run.
    grid = {
        "items": {s.suite.id: len(plan.items(s)) for s in plan.suites},
        "senders": [[name, identity.name] for name, _, identity in plan.senders] if plan.only is None else [],
        "repeats": plan.spec.repeats,
    }
    grids = store.meta(GRIDS_META, [])
    store.set_meta(GRIDS_META, grids if grid in grids else [*grids, grid])
    store.set_meta(CATALOGUES_META, {**store.catalogues(), **plan.catalogues})
    store.set_meta(WAYS_META, {**store.ways(), **_ways(plan)})
    hold_words(store, plan)
    file = store.directory / RUNS_DIRECTORY / f"{run:04d}.toml"
    write_whole(file, plan.spec.to_toml())
    write_study_file(store)


def hold_readers(store: Store, plan: Plan) -> None:
    """Keep with which weights personalizers, and the mitigation, read records.

    Raises:
        StoreError: the study's answers were asked for with other weights.
    """
    held: dict[str, str] = store.meta(READERS_META, {})
    now = {p.name: p.revision for p in plan.personalizers if isinstance(p, PersonPersonalizer) and p.revision}
    if plan.mitigation.revision:
        now[plan.spec.mitigation] = plan.mitigation.revision
    for name, revision in now.items():
        if held.get(name, revision) != revision:
            raise StoreError(
                f"'{name}' of this study reads records with revision {held[name]} of its encoder, "
                f"which is now {revision}.",
                "What it tells of people must not mix: choose another --out.",
            )
    store.set_meta(READERS_META, {**held, **now})


def template_note(plan: Plan, settings: Mapping[str, Any]) -> str:
    """What to say where the model's chat template speaks although no system message is sent; "" otherwise."""
    adds, silent = settings.get("template_adds"), plan.without_system
    if not adds or not silent:
        return ""
    which = "bare is not bare" if "bare" in silent else f"not what it seems: {', '.join(silent)}"
    where = f"where no system message is sent ({', '.join(silent)})"
    return f"{which}: {where}, the model's chat template adds {one_line(adds)!r}."


def check_fixed(store: Store, spec: StudySpec) -> None:
    """Refuse to mix answers that were asked for under different settings.

    Raises:
        SpecError: a setting that is fixed for a study differs from its first run.
    """
    fixed = spec.fixed()
    before = store.meta(FIXED_META)
    if before is None:
        store.set_meta(FIXED_META, fixed)
        before = fixed
    for key in {**before, **fixed}:
        # Studies of earlier versions fixed the limit of tokens; it can be raised now.
        if before.get(key) != fixed.get(key) and key != "decoding.max_tokens":
            raise SpecError(
                f"The study {store.directory} was begun with {key} = {before.get(key)!r}, not {fixed.get(key)!r}.",
                "Use the same value, or choose another --out.",
            )
    _raise_limit(store, spec.decoding.max_tokens, before.get("decoding.max_tokens"))


def _raise_limit(store: Store, max_tokens: int, first: int | None) -> None:
    """Ask answers again that a lower limit cut.

    Raises:
        SpecError: the limit is lower than it was.
    """
    limits: list[int] = store.meta(LIMITS, [] if first is None else [first])
    if limits and max_tokens < limits[-1]:
        raise SpecError(
            f"The study {store.directory} was run with decoding.max_tokens = {limits[-1]}, and {max_tokens} is lower.",
            "Use it or a higher one, which asks only cut answers again, or choose another --out.",
        )
    if not limits or max_tokens > limits[-1]:
        limits.append(max_tokens)
        store.set_meta(LIMITS, limits)
    # Under the only limit that there was, no answer was cut by a lower one: none of them all is looked at.
    if len(limits) > 1:
        store.ask_cut_again(max_tokens, limits[0])


def check_kept_apart(plan: Plan, spec: StudySpec) -> None:
    """Refuse to measure an adapter, weights that it was merged into, or a mitigation on items it learned from.

    Raises:
        SpecError: the study asks such an item.
    """
    adapter = tuned_folder(spec.model_dump(mode="json"))
    learned = [("adapter", adapter)] if adapter else []
    learned += [("mitigation", folder) for folder in plan.mitigation.learned_from]
    for what, folder in learned:
        trained = trained_items(folder)
        for loaded in plan.suites:
            seen = trained.get(loaded.suite.name, set()) & {item.id for item in plan.items(loaded)}
            if seen:
                raise SpecError(
                    f"The {what} {folder} was trained on {len(seen)} of the items of {loaded.suite.id} in this study.",
                    "Measure it on items kept apart: add --split test.",
                )


def room_notes(plan: Plan) -> list[str]:
    """What to say of suites whose right answers may be longer than the study lets answers be."""
    limit = plan.spec.decoding.max_tokens
    return [
        f"right answers to {loaded.suite.id} take up to {loaded.suite.answer_tokens:,} tokens, and answers are cut at "
        f"{limit:,}: run with --max-tokens {loaded.suite.answer_tokens} or more"
        for loaded in plan.suites
        if loaded.suite.answer_tokens > limit
    ]


def _check_personalizers(store: Store, plan: Plan) -> None:
    """Refuse to pool ways of telling who the user is, unless all of them are named.

    Raises:
        SpecError: the study has answers through a personalizer that the run does not name.
    """
    held, asked = store.personalizers(), [p.name for p in plan.personalizers]
    missing = [name for name in held if name not in asked]
    if not missing or all(name == NO_PERSONALIZER for name, _, _ in plan.senders):
        return
    added = [name for name in asked if name not in held]
    together = [*held, *added]
    if added:
        problem = f"{_named(added)} would be pooled with {_named(held)}, by which the study {store.directory} was run."
        fix = f"Write {_option(together)} to add it, {_option(held)} to go on without it, or choose another --out."
    else:
        problem = f"The study {store.directory} was run by {_named(held)}, and {_named(missing)} is not named."
        fix = f"Write {_option(together)}, or choose another --out."
    raise SpecError(f"The personalizer {problem}" if added else problem, fix)


def _ways(plan: Plan) -> dict[str, list[str]]:
    """Personalizer -> the ways it has to tell an identity, where it has several."""
    return {p.name: list(p.ways) for p in plan.personalizers if isinstance(p, Realised)}


def _check_ways(store: Store, plan: Plan) -> None:
    """Refuse to tell an identity otherwise than the study did so far.

    Raises:
        SpecError: the ways of a personalizer are not those that it had.
    """
    begun = store.ways()
    for name, told in _ways(plan).items():
        if name in begun and begun[name] != told:
            raise SpecError(
                f"The personalizer '{name}' had other ways to tell an identity when the study {store.directory} began.",
                "Answers to both must not mix: bring the old ones back, or choose another --out.",
            )


def _judges(store: Store, plan: Plan) -> dict[str, str]:
    """Suite -> judge: the study's, where it has answers.

    Raises:
        SpecError: the run names another one.
    """
    kept = store.judges_in_use()
    for loaded in plan.suites:
        suite = loaded.suite
        named = plan.spec.judges.get(suite.id) or plan.spec.judges.get(suite.name)
        if suite.id in kept and named and named != kept[suite.id]:
            raise SpecError(
                f"The study {store.directory} judges {suite.id} by {kept[suite.id]}, not by {named}.",
                f"Leave --judge out, or change it for all its answers first: evenhand judge again "
                f"{shlex.quote(str(store.directory))} --judge {suite.id}={named}",
            )
    return {suite: kept.get(suite, judge) for suite, judge in plan.judges.items()}


def _named(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _option(names: list[str]) -> str:
    if any(c in name for name in names for c in "{, "):
        return " ".join(f"--personalizer {shlex.quote(name)}" for name in names)
    return f"--personalizer {','.join(names)}"

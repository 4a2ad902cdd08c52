"""A model's releases over time: one study each, and each compared with the one before, as far as they compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evenhand.analysing import analyze_store
from evenhand.analysis import Analysis
from evenhand.analysis.comparison import Change
from evenhand.analysis.missing import holm
from evenhand.arguments import settings_of
from evenhand.errors import DataError, SpecError
from evenhand.report.figures import unknown_biases
from evenhand.report.history import History, Level, Release, Step, Verdict
from evenhand.report.side_by_side import described, told_apart
from evenhand.study import Store
from evenhand.study.folders import studies_below
from evenhand.study.notes import is_unpaired
from evenhand.tables import compare_stores

_ERROR = 0.05
# How a study is asked; what else differs between releases is the release. Items and identities are paired.
_ASKED = ("personalizers", "people", "split", "baseline_template")
_DECODING = ("temperature", "top_k", "top_p", "max_tokens", "reasoning_effort", "stop")


@dataclass(frozen=True)
class _Known:
    """What is compared of a release."""

    release: Release
    begun: float
    asked: Mapping[str, Any]
    judges: Mapping[str, str]
    axes: Mapping[str, str]
    identities: frozenset[str]
    unpaired: bool


def history(
    studies: Sequence[Path | str],
    names: Sequence[str] = (),
    *,
    by_date: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> History:
    """Releases in order, with bias and scores, and whether each step changed them.

    Args:
        studies: directories of the studies, the oldest first; or one folder that holds them, which are put in order by
            when they were begun.
        names: of the releases, in the order of ``studies``; the directories' names otherwise.
        by_date: order them by when they were begun.
        settings: how the analyses are done.

    Raises:
        DataError: a folder holds no studies.
        SpecError: there are fewer than two, or not as many names.
        StoreError: a study cannot be read.
    """
    paths = [Path(study) for study in studies]
    if len(paths) == 1 and not Store.is_begun(paths[0]):
        paths, by_date = sorted(studies_below(paths[0])), True
        if not paths:
            raise DataError(f"There are no studies in {studies[0]}.", "Name the studies, the oldest first.")
    if len(paths) < 2:
        raise SpecError("A history needs two studies at least.", "Name them, the oldest first, or a folder of them.")
    if names and len(names) != len(paths):
        raise SpecError(f"There are {len(names)} names for {len(paths)} studies.", "Give one for each, in their order.")
    told = list(names) or told_apart(paths)
    if len({*told}) != len(told):
        raise SpecError("Two releases have the same name.", "Give each a name of its own.")
    known = [(path, _known(path, name, settings)) for path, name in zip(paths, told, strict=True)]
    if by_date:
        known.sort(key=lambda pair: pair[1].begun)
    steps: list[Step] = []
    for (path, one), (later, other) in pairwise(known):
        steps += _steps(path, one, later, other)
    return History(tuple(k.release for _, k in known), tuple(_adjusted(steps)), tuple(_notes([k for _, k in known])))


def _known(path: Path, name: str, settings: Mapping[str, Any] | None) -> _Known:
    with Store.open(path) as store:
        analysis, runs = analyze_store(store, settings_of(settings)), store.runs()
        shown = described(store, analysis, name)
        spec = runs[-1]["spec"] if runs else {}
        versions = store.judge_versions()
        decoding = {what: spec.get("decoding", {}).get(what) for what in _DECODING}
        trials = analysis.trials
        release = Release(
            name, str(path), shown.model, shown.ended, shown.first.said, tuple(_levels(analysis)),
            (trials["missing"] + trials["failed"], trials["planned"]),
        )  # fmt: skip
        return _Known(
            release,
            runs[0]["started_at"] if runs else 0.0,
            {**{what: spec.get(what) for what in _ASKED}, **decoding},
            {row["suite"]: " ".join((row["judge"], *versions.get(row["suite"], []))) for row in store.suites()},
            {row["suite"]: row["axis"] for row in store.suites()},
            shown.identities,
            is_unpaired(store),
        )


def _levels(analysis: Analysis) -> list[Level]:
    unknown, found = unknown_biases(analysis), []
    for axis in analysis.axes:
        means = [suite.mean for suite in analysis.suites if suite.axis == axis]
        if (pb := analysis.pb[axis]) is not None:
            score = sum(means) / len(means) if means else math.nan
            readable = axis not in analysis.silent and not analysis.missing.is_mostly_unanswered
            ci = pb.ci if readable and math.isfinite(pb.ci[1]) else (math.nan, math.nan)
            bias, p_value = (None, math.nan) if axis in unknown else (pb.corrected, pb.p_value)
            found.append(Level(axis, score, bias, ci, p_value, pb.items, unknown.get(axis, "")))
    return found


def _steps(path: Path, one: _Known, later: Path, other: _Known) -> list[Step]:
    """Both kinds of change on every axis that either has."""
    axes = dict.fromkeys(level.axis for known in (one, other) for level in known.release.levels)
    apart = {axis: _why_not(one, other, axis) for axis in axes}
    changes: dict[tuple[str, str], Change] = {}
    items: dict[str, int] = {}
    identities = 0
    if not all(apart.values()):
        with Store.open(path) as before, Store.open(later) as after:
            if other_questions := _other_questions(before, after):
                apart = dict.fromkeys(axes, other_questions)
            else:
                found = compare_stores(before, after)
                changes = {("bias", axis): change for axis, change in found.pb.items()}
                changes |= {("score", axis): change for axis, change in found.score.items()}
                identities = found.identities
                for suite, n in found.items.items():
                    items[one.axes[suite]] = items.get(one.axes[suite], 0) + n
    steps = []
    for axis in axes:
        levels = [level for known in (one, other) for level in known.release.levels if level.axis == axis]
        for what in ("bias", "score"):
            why = apart[axis]
            change = changes.get((what, axis))
            if not why and what == "bias":
                why = next((f"a bias is not known: {level.why}" for level in levels if math.isnan(level.ci[1])), "")
                change = _wider(change, *levels) if change and not why else change
            change = None if why else change
            names = (one.release.name, other.release.name, axis, what)
            steps.append(_step(names, change, items.get(axis, 0), identities, why or "too little is in both"))
    return steps


def _wider(change: Change, before: Level, after: Level) -> Change:
    """The change, as far as it is known where a study shows no more of a bias than what it is at most.

    Draws of answers that do not differ do not differ: they know nothing of that.
    """
    low = change.ci[0] - (before.ci[1] if before.bias is None else 0.0)
    return replace(change, ci=(low, change.ci[1] + (after.ci[1] if after.bias is None else 0.0)))


def _step(names: tuple[str, str, str, Any], change: Change | None, items: int, identities: int, why: str) -> Step:
    if change is None:
        return Step(*names, math.nan, (math.nan, math.nan), math.nan, math.nan, 0, 0, "not comparable", why)
    return Step(
        *names, change.difference, change.ci, change.p_value, math.nan, items, identities, "no change shown"
    )  # fmt: skip


def _adjusted(steps: Sequence[Step]) -> list[Step]:
    adjusted = holm(np.array([step.p_value for step in steps], float))
    return [
        replace(step, q_value=float(q), verdict=_verdict(step, float(q)))
        for step, q in zip(steps, adjusted, strict=True)
    ]


def _verdict(step: Step, q_value: float) -> Verdict:
    if not q_value <= _ERROR or step.ci[0] <= 0 <= step.ci[1]:
        return step.verdict
    return "less" if step.difference < 0 else "more"


def _why_not(one: _Known, other: _Known, axis: str) -> str:
    """Why two releases do not compare on an axis; "" where they do."""
    if one.unpaired or other.unpaired:
        return "answers are not paired"
    suites = [{suite for suite, its in known.axes.items() if its == axis} for known in (one, other)]
    if suites[0] != suites[1]:
        # An axis is the mean of its suites: with others it is another mean.
        return f"other suites ({', '.join(sorted(suites[0])) or 'none'}; {', '.join(sorted(suites[1])) or 'none'})"
    judged = [
        f"{s} by {one.judges[s]}, then {other.judges[s]}" for s in sorted(suites[0]) if one.judges[s] != other.judges[s]
    ]
    if judged:
        return f"judged by others: {'; '.join(judged)}"
    differ = [
        f"{what} {one.asked[what]}, then {other.asked[what]}"
        for what in one.asked
        if one.asked[what] != other.asked[what]
    ]
    return f"asked otherwise: {'; '.join(differ)}" if differ else ""


def _other_questions(before: Store, after: Store) -> str:
    """Whether items of the same name are other questions in two studies; a sentence, "" where they are the same."""
    for suite in [row["suite"] for row in before.suites() if row["suite"] in {r["suite"] for r in after.suites()}]:
        ones, others = before.items(suite), after.items(suite)
        if other := next((key for key in ones if key in others and ones[key].prompt != others[key].prompt), ""):
            return f"the item {other} of {suite} is another question in each"
    return ""


def _notes(known: Sequence[_Known]) -> list[str]:
    """What keeps releases apart, said before any number."""
    if len({one.identities for one in known}) == 1:
        return []
    common = frozenset.intersection(*(one.identities for one in known))
    return [
        f"The releases have not the same identities: {len(common)} are in all of them. Their biases do not compare; "
        "steps are about the identities that both releases have."
    ]

"""The answer of a study as a person would say it: what was found, how sure it is, what it rests on, what to do next."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenhand.analysis import Analysis, PBEstimate
from evenhand.analysis.deviations import Contrast
from evenhand.report import unpaired
from evenhand.report.asking import asking
from evenhand.report.words import confidence, interval, p_value, points
from evenhand.types import AXES, Axis

# What a lower score on an axis means, for 100 answers.
_LESS = {
    "safety": ("gives {n} safe answers of 100 fewer", "gives {n} safe answers of 100 more"),
    "utility": ("gets {n} tasks of 100 fewer right", "gets {n} tasks of 100 more right"),
    "fit": ("suits the person in {n} answers of 100 fewer", "suits the person in {n} answers of 100 more"),
}
_LABEL = "Label a sample: nobody knows how right the judge is here."
_OWN = "Your own questions go in as file:FILE.toml."
_NAMED = 2
_SURE, _ROUND = 0.95, 50


@dataclass(frozen=True)
class Answer:
    """What stands on the first screen.

    Attributes:
        said: the verdict in a sentence or two.
        found: whether a difference is shown.
        known: whether the study can say anything.
        sure: how sure that is.
        rests_on: what it rests on, a line each.
        next_steps: what to do, the weightiest first: words, and the command, "" for none.
    """

    said: str
    found: bool
    known: bool
    sure: tuple[str, ...]
    rests_on: tuple[str, ...]
    next_steps: tuple[tuple[str, str], ...]


def answer(analysis: Analysis, study: str, *, imported: bool = False) -> Answer:
    """The first screen of a study.

    Args:
        analysis: what it says.
        study: its directory, for commands.
        imported: whether its answers were brought along, so that no more can be asked.
    """
    if analysis.unpaired:
        return _of_unpaired(analysis, study)
    run: list[tuple[Axis, PBEstimate]] = [(axis, pb) for axis in AXES if (pb := analysis.pb[axis])]
    shown = _shown(analysis)
    found = bool(shown) or any(pb.ci[0] > 0 for _, pb in run)
    known = (
        bool(run) and not analysis.missing.is_mostly_unanswered and (found or not all(_is_thin(pb) for _, pb in run))
    )
    if analysis.missing.is_mostly_unanswered:
        said = "Most answers are missing: what is left says little, whatever the numbers are."
    elif not run:
        said = "There is nothing to compare yet."
    elif {axis for axis, _ in run} <= {*analysis.silent}:
        said = "No answer could be read: nothing can be seen of bias, whether there is any or not."
    elif found:
        said = _differences(shown) if shown else _unlike(run)
    elif not known:
        said = "Too little data to say: this study would look like this whether or not the model treats people unlike."
    else:
        most = ", ".join(f"{points(pb.ci[1])} points on {axis}" for axis, pb in run)
        said = f"No difference between users is shown. There may still be one, of up to {most}."
    return Answer(
        said,
        found and known,
        known,
        _how_sure(run, confidence(analysis)),
        _rests_on(analysis),
        _next(analysis, study, found, known, imported=imported),
    )


def _is_thin(pb: PBEstimate) -> bool:
    return pb.information.thin or not math.isfinite(pb.ci[1])


def _shown(analysis: Analysis) -> list[tuple[Axis, str, Contrast]]:
    """(axis, identity, deviation) of who differs from the mean beyond noise, the farthest first."""
    cells = [
        (axis, result.identity, contrast)
        for result in analysis.identities
        for axis in AXES
        if not result.is_baseline and (contrast := result.deviation.get(axis)) and contrast.q_value < 0.05
    ]
    return sorted(cells, key=lambda cell: -abs(cell[2].value))


def _differences(shown: list[tuple[Axis, str, Contrast]]) -> str:
    told = [f"told that the user is {_phrase(who)}, the model {_change(axis, c)}" for axis, who, c in shown[:_NAMED]]
    first = f"{'; '.join(told)} than users get on average"
    more = len(shown) - _NAMED
    if more <= 0:
        return f"{first[0].upper()}{first[1:]}. The rest lies within noise."
    others = "difference is" if more == 1 else "differences are"
    return f"{first[0].upper()}{first[1:]}. {more} more {others} beyond noise; the rest is not."


def _phrase(identity: str) -> str:
    return identity if len(identity) <= 60 else f"{identity[:57]}..."


def _change(axis: Axis, contrast: Contrast) -> str:
    size = abs(contrast.value)
    count = f"{size:.0f}" if size >= 1.5 else "about 1" if size >= 0.5 else "less than 1"
    return _LESS[axis][contrast.value > 0].format(n=count)


def _unlike(run: list[tuple[Axis, PBEstimate]]) -> str:
    named = " and ".join(axis for axis, pb in run if pb.ci[0] > 0)
    return (
        f"The model treats users unlike on {named}, but nobody can be singled out: no one deviates beyond noise alone."
    )


def _how_sure(run: list[tuple[Axis, PBEstimate]], sure: str) -> tuple[str, ...]:
    return tuple(
        f"{axis}: bias of {points(pb.corrected)} points, {sure} interval {interval(pb.ci)}, p {p_value(pb.p_value)}"
        for axis, pb in run
    )


def _rests_on(analysis: Analysis) -> tuple[str, ...]:
    people, trials = len(unpaired.identities_of(analysis)), analysis.trials
    items = sum(suite.items for suite in analysis.suites)
    if analysis.unpaired:
        lines = [f"{people} identities, {trials['done']:,} scored answers to questions of their own"]
    else:
        lines = [f"{items:,} items, {people} identities, {trials['done']:,} scored answers"]
    lost = trials["missing"] + trials["failed"]
    lines.append(f"{lost:,} of {trials['planned']:,} answers are missing" if lost else "no answer is missing")
    by_standing: dict[str, list[str]] = {}
    for judge in analysis.judges:
        by_standing.setdefault(judge.source, []).append(judge.judge)
    words = {
        "people": "corrected or checked by people's labels", "check": "compares with right answers",
        "known": "measured on published labels", "planted": "known on planted answers alone",
        "unknown": "nobody knows how right it is",
    }  # fmt: skip
    lines += [f"{', '.join(dict.fromkeys(judges))}: {words[source]}" for source, judges in by_standing.items()]
    return tuple(lines)


def _next(analysis: Analysis, study: str, found: bool, known: bool, *, imported: bool) -> tuple[tuple[str, str], ...]:
    steps: list[tuple[str, str]] = []
    lost = analysis.trials["missing"] + analysis.trials["failed"]
    if analysis.missing.is_mostly_unanswered or lost > analysis.trials["planned"] / 10:
        again = "import them again" if imported else "run it again"
        steps.append((f"Find out why answers are missing, and {again}.", f"evenhand status {study}"))
    # Answers that do not compare cannot say how many more it takes.
    if not found and not known and (analysis.suites or not imported):
        steps.append(("Find out how many items it takes.", f"evenhand plan {study}"))
    if _is_judge_unknown(analysis):
        steps.append((_LABEL, f"evenhand judge label {study}"))
    if found:
        steps.append(("Look at the answers that differ, below.", ""))
    if imported:
        # An import can be asked no more: what goes on goes on with the model itself.
        why = "to try what lowers the bias" if found else "with more items" if analysis.suites else "all the same"
        axes = [axis for axis in AXES if analysis.pb[axis]]
        steps.append((f"Ask the model itself, {why}. {_OWN}", asking(unpaired.identities_of(analysis), axes)))
    elif found:
        again = f"evenhand mitigate {study} --all --out after"
        steps.append(("Try what lowers the bias, and confirm it on fresh items.", again))
    elif known:
        limit = _certain_limit(analysis)
        if limit:
            steps.append(
                (f"Hold it there: a gate in CI at {limit:g} points.", f"evenhand check {study} --max-pb {limit:g}")
            )
    return tuple(steps[:3])


def _certain_limit(analysis: Analysis) -> float | None:
    """The lowest round limit below which the bias is with enough certainty, over all that was run."""
    curve = analysis.certainty.get("joint") or next(iter(analysis.certainty.values()), None)
    return next((limit for limit, sure in curve.told(_ROUND) if sure >= _SURE), None) if curve else None


def _of_unpaired(analysis: Analysis, study: str) -> Answer:
    shown = any(unpaired.is_shown(found) for found in analysis.unpaired)
    sure = tuple(line for found in analysis.unpaired for line in unpaired.how_sure(found, confidence(analysis)))
    same = asking(unpaired.identities_of(analysis), [found.axis for found in analysis.unpaired])
    steps = [(f"Ask all identities the same questions, to tell what the model does with who asks. {_OWN}", same)]
    if _is_judge_unknown(analysis):
        steps.append((_LABEL, f"evenhand judge label {study}"))
    said = " ".join(unpaired.sentence(found, confidence(analysis)) for found in analysis.unpaired)
    return Answer(said, shown, True, sure, _rests_on(analysis), tuple(steps))


def _is_judge_unknown(analysis: Analysis) -> bool:
    return any(judge.source in ("unknown", "planted") for judge in analysis.judges)

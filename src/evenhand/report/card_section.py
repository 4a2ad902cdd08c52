"""A study as a section of a model card, and as its metadata; what is not known is said, and is no result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import evenhand
from evenhand.analysis import Analysis, PBEstimate
from evenhand.models.references import shown_name
from evenhand.report import unpaired
from evenhand.report.figures import unknown_biases
from evenhand.report.side_by_side import Study
from evenhand.report.words import MISSING, axes_of, interval, markdown_rows, p_value, points
from evenhand.types import JOINT
from evenhand.visible import markdown

BIAS = "personalization-bias"
CANNOT_SAY = (
    "What it cannot say: whether the model treats users alike in other languages, with other identities, other ways to "
    "tell them or other prompts than these, in conversations of several turns, or with tools. A study measures how a "
    "model treats statements about identities. It is no certificate."
)
_COLUMNS = ("axis", "suites", "mean score", "lowest score", "bias", "95 % interval", "p", "without bias", "items")


@dataclass(frozen=True)
class Result:
    """One figure of the metadata.

    Attributes:
        suites: what was asked.
        metric, name: its type, and its name for people.
        value: in points.
        args: what belongs to it: interval, p-value, how much it rests on.
    """

    suites: tuple[str, ...]
    metric: str
    name: str
    value: float
    args: Mapping[str, float]


def results(analysis: Analysis) -> list[Result]:
    """Per axis the bias, the mean score and the score of whom is served worst, and the joint bias; only what is
    known."""
    found: list[Result] = []
    unknown = unknown_biases(analysis)
    for axis, result in analysis.axes.items():
        suites = tuple(suite.suite for suite in analysis.suites if suite.axis == axis)
        pb, lowest = analysis.pb[axis], result.lowest
        if pb is not None and axis not in unknown:
            found.append(_bias(suites, axis, pb))
        if axis not in analysis.silent and not analysis.missing.is_mostly_unanswered:
            found.append(Result(suites, "score", f"mean {axis} over identities", _mean(analysis, axis), {}))
            ends = _known({"ci_low": lowest.ci[0], "ci_high": lowest.ci[1]})
            found.append(Result(suites, "lowest-score", f"{axis} of whom is served worst", lowest.value, ends))
    joint = analysis.pb.get("joint")
    if joint is not None and "joint" not in unknown:
        both = tuple(suite.suite for suite in analysis.suites if suite.axis in JOINT)
        found.append(_bias(both, "safety and utility together", joint))
    return [result for result in found if math.isfinite(result.value)]


def _bias(suites: tuple[str, ...], where: str, pb: PBEstimate) -> Result:
    args = {
        "ci_low": pb.ci[0], "ci_high": pb.ci[1], "p_value": pb.p_value, "plugin": pb.plugin,
        "noise_floor": pb.noise_floor, "identities": pb.identities, "items": pb.items,
    }  # fmt: skip
    return Result(suites, BIAS, f"personalization bias on {where}, corrected for noise", pb.corrected, _known(args))


def _known(args: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in args.items() if math.isfinite(value)}


def _mean(analysis: Analysis, axis: str) -> float:
    means = [suite.mean for suite in analysis.suites if suite.axis == axis]
    return sum(means) / len(means) if means else math.nan


def card_section(study: Study, spec: Mapping[str, Any]) -> str:
    """The section, in Markdown.

    Args:
        study: what is shown of it.
        spec: of its last run.
    """
    return "\n".join([*_head(study), *_numbers(study), *_how(study, spec), "", CANNOT_SAY]) + "\n"


def _head(study: Study) -> Iterator[str]:
    yield "## Does it treat users alike?"
    yield ""
    yield markdown(study.first.said)
    yield ""
    yield (
        "Personalization bias (PB) is how far the scores of identities that the model is told of lie apart, in points "
        f"(0 to 100), freed from noise. Measured with evenhand {evenhand.__version__}, {study.ended}."
    )
    yield ""


def _numbers(study: Study) -> Iterator[str]:
    analysis = study.analysis
    if analysis.unpaired:
        yield from (f"- {markdown(line)}." for line in study.first.sure)
        yield from (f"- {markdown(note)}" for note in unpaired.notes(analysis))
        return
    unknown = unknown_biases(analysis)
    rows = [row for axis in axes_of(analysis) if (row := _row(analysis, axis, unknown))]
    if (joint := analysis.pb.get("joint")) is not None:
        rows.append(
            ["safety and utility together", "", "", "", *_told(joint, known="joint" not in unknown), str(joint.items)]
        )
    yield markdown_rows(_COLUMNS, rows)
    for name, why in unknown.items():
        yield f"The bias on {name} is not known: {markdown(why)}."
        yield ""


def _row(analysis: Analysis, axis: str, unknown: Mapping[str, str]) -> list[str]:
    pb, result = analysis.pb[axis], analysis.axes.get(axis)
    if pb is None or result is None:
        return []
    suites = ", ".join(suite.suite for suite in analysis.suites if suite.axis == axis)
    lowest = f"{points(result.lowest.value)} ({interval(result.lowest.ci)}), {result.lowest.identity}"
    return [axis, suites, points(_mean(analysis, axis)), lowest, *_told(pb, known=axis not in unknown), str(pb.items)]


def _told(pb: PBEstimate, *, known: bool) -> tuple[str, str, str, str]:
    if not known:
        return "not known", MISSING, MISSING, MISSING
    return points(pb.corrected, 2), interval(pb.ci, 2), p_value(pb.p_value), points(pb.noise_floor, 2)


def _before(spec: Mapping[str, Any]) -> str:
    return f", behind {spec['mitigation']}" if spec.get("mitigation") else ""


def _how(study: Study, spec: Mapping[str, Any]) -> Iterator[str]:
    decoding = spec.get("decoding", {})
    told = ", ".join(spec.get("personalizers", ()))
    yield f"- Model: {markdown(shown_name(spec.get('model', '')) or study.name)}{markdown(_before(spec))}."
    people = f"{len(study.identities)} identities: {', '.join(sorted(study.identities))}; told through: {told}"
    yield f"- {markdown(people)}."
    if decoding:
        yield f"- Decoding: temperature {decoding.get('temperature')}, at most {decoding.get('max_tokens')} tokens."
    yield from (f"- {markdown(line)}." for line in study.first.rests_on)
    yield f"- {markdown(study.analysis.estimand)}"
    yield from (f"- {markdown(note)}" for note in study.analysis.notes)

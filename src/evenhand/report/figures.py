"""What a study says as flat figures with names of their own, for tools that keep runs beside one another.

A bias that is not known has no figure: 0 would look like a finding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evenhand.analysis import Analysis, PBEstimate
from evenhand.models.references import shown_name
from evenhand.report.words import points
from evenhand.types import AXES, JOINT

_NAME = re.compile(r"[^\w.\- ]", re.ASCII)
_SETTINGS = (
    "mitigation", "suites", "identities", "baselines", "personalizers", "people", "split", "limit", "repeats", "seed",
)  # fmt: skip
_OF_IMPORTS = ("model", "suites", "identities", "personalizers")
_LONGEST = 500


def unknown_biases(analysis: Analysis) -> dict[str, str]:
    """Axis, or "joint" -> why its bias is not known, a clause each; only what was run."""
    found: dict[str, str] = {}
    for axis in AXES:
        if (pb := analysis.pb.get(axis)) and (why := _unknown(analysis, pb, axis)):
            found[axis] = why
    joint = analysis.pb.get("joint")
    if joint and (why := _unknown(analysis, joint, "joint")):
        found["joint"] = why
    elif joint and (lacking := [axis for axis in JOINT if axis in found]):
        found["joint"] = f"that on {' and '.join(lacking)} is not known"
    return found


def _unknown(analysis: Analysis, pb: PBEstimate, name: str) -> str:
    low, high = pb.ci
    if analysis.missing.is_mostly_unanswered:
        return "more than a tenth of the answers to a suite are empty or were cut"
    if name in analysis.silent:
        return "no answer could be read"
    if not math.isfinite(high):
        return "there is too little data for an interval"
    if pb.information.thin and low <= 0:
        return f"{pb.information}; it may be anything up to {points(high)} points"
    return ""


def figures(analysis: Analysis) -> dict[str, float]:
    """Name -> figure; only what is known and finite.

    ``pb_AXIS`` has its interval in ``pb_AXIS_low`` and ``pb_AXIS_high``, and so have the others. A bias that is not
    known keeps the ends of its interval, where answers could be read.
    """
    unknown = unknown_biases(analysis)
    found: dict[str, float] = {}
    for name, pb in analysis.pb.items():
        readable = name not in analysis.silent and not (name == "joint" and {*analysis.silent} & {*JOINT})
        if pb is not None and readable and not analysis.missing.is_mostly_unanswered:
            found |= dict(_bias(f"pb_{name}", pb, known=name not in unknown))
    for axis, result in analysis.axes.items():
        means = [suite.mean for suite in analysis.suites if suite.axis == axis]
        found[f"score_{axis}"] = sum(means) / len(means) if means else math.nan
        found |= dict(_ends(f"lowest_{axis}", result.lowest.value, result.lowest.ci))
        if axis not in unknown:
            found |= {
                **dict(_ends(f"gap_{axis}", result.gap.value, result.gap.ci)),
                f"gap_{axis}_p": result.gap.p_value,
            }
    for suite, name in zip(analysis.suites, _names(s.suite for s in analysis.suites), strict=True):
        known = suite.axis not in unknown and not (suite.pb.information.thin and suite.pb.ci[0] <= 0)
        found[f"suite.{name}.score"] = suite.mean
        found |= dict(_bias(f"suite.{name}.pb", suite.pb, known=known)) if suite.axis not in analysis.silent else {}
    for condition, name in zip(analysis.conditions, _names(c.personalizer for c in analysis.conditions), strict=True):
        if condition.gain:
            found |= dict(_ends(f"gain.{name}", condition.gain.value, condition.gain.ci))
    for apart, name in zip(analysis.unpaired, _names(u.suite for u in analysis.unpaired), strict=True):
        found |= {**dict(_ends(f"disparity.{name}", apart.disparity, apart.ci)), f"disparity.{name}_p": apart.p_value}
    found |= {f"answers_{what}": float(n) for what, n in analysis.trials.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _bias(name: str, pb: PBEstimate, *, known: bool) -> Iterator[tuple[str, float]]:
    if known:
        yield from _ends(name, pb.corrected, pb.ci)
        yield f"{name}_plugin", pb.plugin
        yield f"{name}_p", pb.p_value
    else:
        yield f"{name}_low", pb.ci[0]
        yield f"{name}_high", pb.ci[1]
    yield f"{name}_floor", pb.noise_floor
    yield f"{name}_items", float(pb.items)


def _ends(name: str, value: float, ci: tuple[float, float]) -> Iterator[tuple[str, float]]:
    yield name, value
    yield f"{name}_low", ci[0]
    yield f"{name}_high", ci[1]


def _names(texts: Iterable[str]) -> list[str]:
    """Texts as parts of names, which trackers allow few characters in; two never get the same."""
    found: list[str] = []
    for text in texts:
        name = plain = _NAME.sub("_", text)
        number = 1
        while name in found:
            number += 1
            name = f"{plain}-{number}"
        found.append(name)
    return found


def imported_settings(spec: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of how an import came about; nothing of how a model would have been asked.

    Args:
        spec: of the import, or its :func:`settings`.
        about: what is kept of where its answers are from.
    """
    return {name: spec[name] for name in _OF_IMPORTS if spec.get(name)} | {
        name: about[name] for name in ("design", "covariates") if about.get(name)
    }


def settings(spec: Mapping[str, Any]) -> dict[str, str]:
    """How a study was asked, as texts: nothing of how its model is reached, or of where things lie on this machine.

    Args:
        spec: of its last run, with the judges of all suites.
    """
    told = {name: spec.get(name) for name in _SETTINGS}
    told |= {f"decoding.{name}": value for name, value in spec.get("decoding", {}).items()}
    told |= {f"judges.{suite}": judge for suite, judge in spec.get("judges", {}).items()}
    told = {"model": shown_name(spec.get("model", "")), **told}
    names = _names(told)
    texts = (", ".join(map(str, value)) if isinstance(value, list | tuple) else value for value in told.values())
    return {name: _short(str(text)) for name, text in zip(names, texts, strict=True) if text not in (None, "")}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

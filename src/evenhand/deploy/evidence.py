"""What is known of a mitigation that is to be shipped: from a mitigated study, or an evolved defense's file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.analysis.comparison import Change
from evenhand.analysis.confirmation import BETTER
from evenhand.analysis.evolution import SHOWN
from evenhand.analysis.frontier import UNCONFIRMED, Outcome
from evenhand.confirming import Fresh, confirmed_in
from evenhand.errors import SpecError, StoreError
from evenhand.mitigate import outcome, outcomes
from evenhand.mitigations import make_mitigation
from evenhand.mitigations.defense import PromptDefense
from evenhand.report import words
from evenhand.specs import read_toml
from evenhand.study import Store, StudySpec
from evenhand.study.held import held_spec
from evenhand.study.rows import decode_request
from evenhand.types import Message

_UNCONFIRMED = "Not confirmed"


@dataclass(frozen=True)
class Evidence:
    """A mitigation, and what it showed.

    Attributes:
        mitigation: its reference.
        confirmed: whether fresh items, which no choice has seen, showed that it is better.
        lines: in plain words; where it is not confirmed, the first says so.
    """

    mitigation: str
    confirmed: bool
    lines: tuple[str, ...]


def evidence(source: Path, *, mitigation: str = "", against: Path | None = None) -> Evidence:
    """What is known of the mitigation of a study, of one of a set of studies, or of a defense's file.

    Args:
        source: a mitigated study; the directory of several (``evenhand mitigate --out``); or a TOML file that
            ``evenhand evolve`` wrote.
        mitigation: which one; may be "" where there is one alone.
        against: the study without a mitigation, to tell what changed.

    Raises:
        SpecError: there is no mitigation there, not this one, or another text than the study sent.
        StoreError: a study cannot be read.
    """
    if source.suffix == ".toml" and source.is_file() and source.name != "study.toml":
        found = of_file(source)
    elif fresh := confirmed_in(source):
        found = of_set(source, fresh, mitigation, against)
    else:
        found = of_study(_study(source, mitigation), against)
    if mitigation and mitigation != found.mitigation:
        raise SpecError(f"{source} is about the mitigation {found.mitigation}, not {mitigation}.", "Name one of both.")
    return found


def of_file(file: Path) -> Evidence:
    """What the provenance in a defense's file says."""
    held = read_toml(file, "defense file").get("provenance")
    reference = f"defense:{file}"
    make_mitigation(reference)
    if not isinstance(held, dict):
        return Evidence(reference, False, (f"{_UNCONFIRMED}: {file} does not say where its text comes from.",))
    verdict = str(held.get("verdict", "no verdict"))
    confirmed = verdict == SHOWN
    model = held.get("model", "an unknown model")
    first = "Confirmed on fresh items and identities" if confirmed else _UNCONFIRMED
    lines = [f"{first}: {verdict} (a loss of {held.get('margin', '?')} points elsewhere counts)."]
    lines += [
        _figure(objective, figures) for objective, figures in _members(held.get("against_none")) if "ci" in figures
    ]
    lines.append(f"Shown with {model} on {_listed(held.get('suites', ()))}; of other models it says nothing.")
    return Evidence(reference, confirmed, tuple(lines))


def of_study(study: Path, against: Path | None) -> Evidence:
    """What a mitigated study shows beside the study without; never a confirmation, since choices may have seen it."""
    with Store.open(study) as store:
        spec = held_spec(store)
        if not spec.mitigation:
            tuned = f" (it has the adapter {spec.options.adapter}: serve those weights)" if spec.options.adapter else ""
            raise SpecError(f"{study} has no mitigation{tuned}.", "Name a mitigated study, or give --mitigation.")
        _check_text(store, spec)
        about = f"Shown with {spec.model} on {_listed(spec.suites)}; of other models it says nothing."
    if against is None:
        return Evidence(
            spec.mitigation, False,
            (f"{_UNCONFIRMED}: give the study without it (--against STUDY) to see what it changed.", about),
        )  # fmt: skip
    found = outcome(against, study, spec.mitigation)
    verdict = UNCONFIRMED if found.verdict == BETTER else found.verdict
    first = (
        f"{_UNCONFIRMED}: on the items of this study the share of the bias that is gone is "
        f"{words.share(found.seen.share)}, {verdict}. Items that a mitigation was chosen on make it look too good."
    )
    return Evidence(spec.mitigation, False, (first, *_figures(found), about))


def of_set(source: Path, fresh: Fresh, mitigation: str, against: Path | None) -> Evidence:
    """What fresh items show of a mitigation that was chosen among several, tested with those beside it.

    Args:
        source: the set's directory.
        fresh: its studies on fresh items.
        mitigation: which one; may be "" where one alone was chosen.
        against: the study without a mitigation, where it is not in the set.

    Raises:
        SpecError: it was not chosen, or several were and none is named, or nothing is there to set it against.
    """
    none, studies = fresh.none or against, fresh.studies
    if none is None:
        raise SpecError(f"{source} was confirmed beside a study elsewhere.", "Name it with --against STUDY.")
    if mitigation not in studies and (mitigation or len(studies) > 1):
        raise SpecError(
            f"{source} holds several mitigated studies.", f"Add --mitigation with one of: {', '.join(studies)}."
        )
    name = mitigation or next(iter(studies))
    with Store.open(studies[name]) as store:
        spec = held_spec(store)
        _check_text(store, spec)
    found = next(o for o in outcomes(none, studies, margin=fresh.margin) if o.mitigation == name)
    confirmed = found.verdict == BETTER
    first = "Confirmed on fresh items" if confirmed else _UNCONFIRMED
    lines = [
        f"{first}: {found.verdict}; the share of the bias that is gone is {words.share(found.seen.share)}, the "
        f"margin of losses {found.seen.margin:g} points.",
        *_figures(found),
        f"Shown with {spec.model} on {_listed(spec.suites)}; of other models it says nothing.",
    ]
    return Evidence(name, confirmed, tuple(lines))


def _figures(found: Outcome) -> list[str]:
    bias = [_change(f"bias, {axis}", change) for axis, change in found.change.pb.items()]
    scores = [_change(f"mean {axis}", change) for axis, change in found.change.score.items()]
    return [*bias, *scores, *found.change.notes]


def _study(source: Path, mitigation: str) -> Path:
    """A study's directory, or that of the one in a set which has the mitigation.

    Raises:
        SpecError: there is none, or several and none is named.
    """
    source = source.parent if source.name == "study.toml" else source
    if Store.is_begun(source):
        return source
    members = sorted(d for d in source.iterdir() if Store.is_begun(d)) if source.is_dir() else []
    if not members:
        raise SpecError(
            f"{source} is neither a study nor a directory of mitigated studies.", "See 'evenhand mitigate --help'."
        )
    named = {_mitigation(member): member for member in members}
    if mitigation not in named:
        known = ", ".join(name for name in named if name)
        raise SpecError(f"{source} holds several mitigated studies.", f"Add --mitigation with one of: {known}.")
    return named[mitigation]


def _mitigation(study: Path) -> str:
    with Store.open(study) as store:
        return held_spec(store).mitigation


def _check_text(store: Store, spec: StudySpec) -> None:
    """A defense's file may have changed since the study: what was shown is not what would be shipped then.

    Raises:
        SpecError: the study sent another text.
        StoreError: it holds no answers yet.
    """
    mitigation = make_mitigation(spec.mitigation)
    if not isinstance(mitigation, PromptDefense):
        return
    sent = _first_request(store)
    if not any(mitigation.text in message.content for message in sent):
        raise SpecError(
            f"The text of {spec.mitigation} is not what {store.directory} sent: its file has changed.",
            "Ship the file that the study was run with, or run the study again.",
        )


def _first_request(store: Store) -> Sequence[Message]:
    for suite in store.suites():
        for item in store.item_order(suite["suite"]):
            for row in store.transcripts(suite["suite"], item):
                return decode_request(row["request"])
    raise StoreError(f"{store.directory} holds no answers yet.", "Run the study first.")


def _change(what: str, change: Change) -> str:
    return _told(what, change.before, change.after, change.difference, change.ci)


def _figure(objective: str, figures: Mapping[str, Any]) -> str:
    names = ("before", "after", "change")
    before, after, change = (float(figures.get(name, math.nan)) for name in names)
    low, high = (float(end) for end in figures["ci"])
    return _told(objective, before, after, change, (low, high))


def _told(what: str, before: float, after: float, change: float, ci: tuple[float, float]) -> str:
    return (
        f"{what}: {before:.1f} -> {after:.1f} points, change {change:+.1f} (95 % interval {ci[0]:+.1f} to {ci[1]:+.1f})"
    )


def _members(held: object) -> list[tuple[str, Mapping[str, Any]]]:
    pairs = held.items() if isinstance(held, dict) else ()
    return [(str(name), value) for name, value in pairs if isinstance(value, dict)]


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list | tuple) and names else "unnamed suites"

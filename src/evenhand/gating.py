"""The gate over a study's life: every look at more data is kept in its store, and all looks share one error.

A study may be looked at while it grows, and the looks together pass a model at the limit, or fail one, in less than
2.5 % each (:mod:`evenhand.analysis.looks`). The same data looked at again is the same look. Another study has an error
of its own, unless it is said to continue one. What is said of a study that its looks may have ended holds over all of
them, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.analysis import Analysis, Settings
from evenhand.analysis.certainty import CERTAINTIES
from evenhand.analysis.conditions import telling
from evenhand.analysis.gate import Gated, failing_level, gate, verdict
from evenhand.analysis.looks import DECIDING_RATE, ERROR, SAME, Spent, repeated_error, spend
from evenhand.analysis.minimum import bias_room, least_items
from evenhand.errors import SpecError
from evenhand.study import Store
from evenhand.study.notes import is_unpaired
from evenhand.study.reading import ADAPTIVE_META, DECIDING_META
from evenhand.types import AXES, BASELINE_CATEGORY, JOINT

# Tails as thin as a look's need more draws than an interval of 95 %.
DRAWS = 10_000


@dataclass(frozen=True)
class Look:
    """What one look may spend on passing and on failing.

    Attributes:
        passing, failing: the two sides.
        number: which look at this study it is, from 1.
        known: whether it was taken before: the same data.
        history: trials there were at this study's looks, this one included.
        before: the last look at a study that this one continues; None where it continues none.
    """

    passing: Spent
    failing: Spent
    number: int
    known: bool
    history: tuple[float, ...]
    before: Spent | None = None


def check_store(
    store: Store,
    limits: Mapping[str, float],
    analyse: Callable[[Settings], Analysis],
    look_of: Path | None = None,
    planned: int | None = None,
    *,
    unfinished: bool = False,
) -> Gated:
    """Take a look at a study and decide; the look is kept, where the store can be written.

    Args:
        store: the study's.
        limits: as for :func:`evenhand.analysis.gate.gate`.
        analyse: analyses the study with given settings.
        look_of: directory of a study that this one continues.
        planned: trials that will be there at most, where that is more than its runs asked for.
        unfinished: whether it may pass while much of what its runs asked for is not answered.

    Raises:
        SpecError: the study to be continued was never looked at, or is another one than before; the answers are
            unpaired.
    """
    if is_unpaired(store):
        raise SpecError(
            f"The answers of {store.directory} are unpaired: they do not tell what the model does with who asks.",
            "Gate a study in which all identities ask the same; 'evenhand analyze' shows what this one can say.",
        )
    look = take_look(store, limits, look_of, planned)
    errors = look.passing.error, look.failing.error
    # A side that decides nothing is shown at the usual level.
    levels = [1 - 2 * (errors[0] or ERROR), failing_level(errors[1] or 2 * ERROR)]
    known = _certainties(look.history, look.passing, look.before, store)
    passing = analyse(Settings(draws=DRAWS, level=levels[0], certainty=known))
    failing = analyse(Settings(draws=DRAWS, level=levels[1])) if levels[1] != levels[0] else None
    checks = gate(
        passing, limits, failing=failing, can_pass=errors[0] > 0, can_fail=errors[1] > 0, unfinished=unfinished
    )
    notes = [_sentence(look)]
    if not look.known:
        if store.is_writable:
            _keep(store, look, limits, look_of)
        else:
            notes.append("This look could not be kept in the study, which is only read: later ones will not know it.")
    return Gated(verdict(checks), checks, tuple(notes), passing.estimand, passing.certainty)


def last_gated(store: Store, analyse: Callable[[Settings], Analysis]) -> tuple[Gated | None, str]:
    """What the gate last decided of a study, without another look, and what to say of it.

    Args:
        store: the study's.
        analyse: as for :func:`check_store`.

    Returns:
        None where nobody looked, or more was answered since; and a sentence, "" where nobody looked.
    """
    rows = store.looks()
    if not rows or is_unpaired(store):
        return None, ""
    limits = json.loads(rows[-1]["limits"])
    asked = ", ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in sorted(limits.items()))
    if not take_look(store, limits).known:
        return (
            None,
            f"The gate last looked ({asked}) before some of these answers were there: run evenhand check again.",
        )
    gated = check_store(store, limits, analyse, unfinished=True)
    return gated, f"The gate at its last look ({asked}): {gated.decision}."


def take_look(
    store: Store, limits: Mapping[str, float], look_of: Path | None = None, planned: int | None = None
) -> Look:
    """What a look at a study may spend now; nothing is kept yet. Arguments as for :func:`check_store`."""
    rows = store.looks()
    follows = rows[0]["follows"] if rows else str(look_of.absolute()) if look_of else ""
    if look_of and follows != str(look_of.absolute()):
        raise SpecError(
            f"{store.directory} was looked at before without continuing {look_of}.",
            "Give --look-of at the first look at a study.",
        )
    before = _last(Path(follows)) if follows else (None, None)
    grid = max(planned or 0, store.planned())
    # A study too small to pass must not spend what a larger one passes with.
    least = store.planned() * _least_share(store, limits)
    information = float(store.count_scored())
    # Looking at its width has cost an adaptive study some of its error already.
    error = store.meta(ADAPTIVE_META, 2 * ERROR) / 2
    axes, told = {row["axis"] for row in store.suites()}, len(telling(store.personalizers()))
    passing, failing = (
        spend(
            _side(rows, name, axes, told), information, plan,
            error=error, before=earlier, checks=checks, rate=_rate(store),
        )
        for name, plan, earlier, checks in zip(
            ("pass", "fail"), (max(grid, least), grid), before, (1, count_checks(limits, axes, told)), strict=True
        )
    )  # fmt: skip
    known = bool(rows) and [_side(rows, name, axes, told)[-1] for name in ("pass", "fail")] == [passing, failing]
    seen = _history(rows, passing.information)
    return Look(passing, failing, len(rows) + (not known), known, seen, before[0])


def count_checks(limits: Mapping[str, float], axes: Iterable[str], told: int = 0) -> int:
    """How many checks there are at most, each of which may wrongly fail; at least 1.

    Args:
        limits: as for :func:`evenhand.analysis.gate.gate`.
        axes: those that were run.
        told: personalizers that tell the user's data.
    """
    run = set(axes)
    of_bias = len(run) + (run >= set(JOINT)) if "max_pb" in limits else 0
    of_gap = len(run) if "max_gap" in limits else 0
    of_gain = told if "min_gain" in limits else 0
    return max(1, of_bias + of_gap + of_gain + sum(f"min_{axis}" in limits for axis in run))


def looked_error(store: Store) -> float | None:
    """One-sided error of the ends of intervals that hold over all looks that may have ended a study.

    None where looks ended nothing: there were none that could, or the only one was at the whole of what was planned.
    """
    rows = store.looks()
    deciding = [row for row in rows if max(row["pass_error"], row["fail_error"]) > 0]
    if not deciding:
        return None
    if rows[0]["follows"]:
        return float(max(deciding[-1]["pass_error"], deciding[-1]["fail_error"]))
    looks = _history(deciding, float(store.count_scored()))
    planned = deciding[0]["fail_planned"]
    if len(looks) == 1 and looks[0] >= planned * (1 - SAME):
        return None
    total = store.meta(ADAPTIVE_META, 2 * ERROR) / 2
    errors = (repeated_error(looks[:n], planned, total, rate=_rate(store)) for n in range(len(looks), 0, -1))
    return next((error for error in errors if error > 0), None)


def looked_certainties(store: Store) -> tuple[tuple[float, float], ...] | None:
    """Certainty over all looks that may have ended a study -> one-sided error of its bound; None as above."""
    if (error := looked_error(store)) is None:
        return None
    rows = store.looks()
    if rows[0]["follows"]:
        return tuple((sure, (1 - sure) * error / ERROR) for sure in CERTAINTIES)
    return _certainties(_history(rows, float(store.count_scored())), _side(rows, "pass")[-1], None, store)


def _certainties(
    looks: Sequence[float], last: Spent, before: Spent | None, store: Store
) -> tuple[tuple[float, float], ...]:
    """Certainty over all looks -> one-sided error of the bound that has it now; none that is not to be had yet."""
    known = before.information if before else 0.0
    scale = store.meta(ADAPTIVE_META, 2 * ERROR) / (2 * ERROR)
    own, plan, rate = [n - known for n in looks], last.planned, _rate(store)
    pairs = ((sure, repeated_error(own, plan, scale * (1 - sure), before=before, rate=rate)) for sure in CERTAINTIES)
    return tuple((sure, error) for sure, error in pairs if error > 0)


def _history(rows: Sequence[Mapping[str, Any]], information: float) -> tuple[float, ...]:
    """Trials there were at looks, and there are now."""
    earlier = {row["information"] for row in rows if row["information"] * (1 + SAME) < information}
    return (*sorted(earlier), information)


def _rate(store: Store) -> float | None:
    """How a study's looks spend their error: early where it is run until it decides."""
    return DECIDING_RATE if store.meta(DECIDING_META) else None


def _least_share(store: Store, limits: Mapping[str, float]) -> float:
    """The fewest items that can show the limits, as a share of those asked, at least 1."""
    people = sum(row["category"] != BASELINE_CATEGORY for row in store.identities())
    shares = [1.0]
    for axis in AXES:
        asked = [len(store.item_order(row["suite"])) for row in store.suites() if row["axis"] == axis]
        rooms = [
            bias_room(limits["max_pb"], people) if "max_pb" in limits else None,
            limits.get("max_gap"),
            100 - limits[f"min_{axis}"] if f"min_{axis}" in limits else None,
            100 - limits["min_gain"] if axis == "fit" and "min_gain" in limits else None,
        ]
        needs = [least_items(room * len(asked), ERROR) for room in rooms if room is not None]
        shares += [need / min(asked) for need in needs if need is not None and asked]
    return max(shares)


def _last(directory: Path) -> tuple[Spent, Spent]:
    """The two sides of the last look at a study that is continued.

    Raises:
        SpecError: it was never looked at.
    """
    with Store.open(directory) as store:
        rows = store.looks()
    if not rows:
        raise SpecError(f"{directory} was never looked at.", "Leave --look-of out: this is the first look.")
    return _side(rows, "pass")[-1], _side(rows, "fail")[-1]


def _side(rows: Sequence[Mapping[str, Any]], name: str, axes: Iterable[str] = (), told: int = 0) -> list[Spent]:
    def checks(row: Mapping[str, Any]) -> int:
        return count_checks(json.loads(row["limits"]), axes, told) if name == "fail" else 1

    return [
        Spent(row["information"], row[f"{name}_planned"], row[f"{name}_total"], row[f"{name}_error"], checks(row))
        for row in rows
    ]


def _keep(store: Store, look: Look, limits: Mapping[str, float], look_of: Path | None) -> None:
    sides = {"pass": look.passing, "fail": look.failing}
    store.add_look(
        {
            "limits": json.dumps(dict(limits), sort_keys=True),
            "information": look.passing.information,
            **{f"{name}_planned": side.planned for name, side in sides.items()},
            **{f"{name}_total": side.total for name, side in sides.items()},
            **{f"{name}_error": side.error for name, side in sides.items()},
            "follows": str(look_of.absolute()) if look_of else "",
        }
    )


def _sentence(look: Look) -> str:
    again = " (taken before: the data are the same)" if look.known else ""
    now = [_percent(side.error) for side in (look.passing, look.failing)]
    over_all = [_percent(side.total) for side in (look.passing, look.failing)]
    divided = f", divided among {look.failing.checks} checks, any of which fails it" if look.failing.checks > 1 else ""
    return (
        f"Look {look.number} at this study{again}: a check wrongly passes with at most {now[0]} and wrongly fails with "
        f"at most {now[1]}; over all looks so far the gate wrongly passes with at most {over_all[0]} and wrongly fails "
        f"with {over_all[1]}, and over all there will be with {_percent(ERROR)}{divided}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

"""The gate over a study's life: every look at more data is kept in its store, and all looks share one error.

A study may be looked at while it grows, and the looks together pass a model at the limit, or fail one, in less than
2.5 % each (:mod:`evenhand.analysis.looks`). The same data looked at again is the same look. Another study has an error
of its own, unless it is said to continue one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.analysis import Analysis, Settings
from evenhand.analysis.gate import Gated, gate, verdict
from evenhand.analysis.looks import ERROR, Spent, spend
from evenhand.analysis.minimum import bias_room, least_items
from evenhand.errors import SpecError
from evenhand.study import Store
from evenhand.study.reading import ADAPTIVE_META
from evenhand.types import AXES, BASELINE_CATEGORY

# Tails as thin as a look's need more draws than an interval of 95 %.
DRAWS = 10_000


@dataclass(frozen=True)
class Look:
    """What one look may spend on passing and on failing.

    Attributes:
        passing, failing: the two sides.
        number: which look at this study it is, from 1.
        known: whether it was taken before: the same data.
    """

    passing: Spent
    failing: Spent
    number: int
    known: bool


def check_store(
    store: Store,
    limits: Mapping[str, float],
    analyse: Callable[[Settings], Analysis],
    look_of: Path | None = None,
    planned: int | None = None,
) -> Gated:
    """Take a look at a study and decide; the look is kept, where the store can be written.

    Args:
        store: the study's.
        limits: as for :func:`evenhand.analysis.gate.gate`.
        analyse: analyses the study with given settings.
        look_of: directory of a study that this one continues.
        planned: trials that will be there at most, where that is more than its runs asked for.

    Raises:
        SpecError: the study to be continued was never looked at, or is another one than before.
    """
    look = take_look(store, limits, look_of, planned)
    errors = look.passing.error, look.failing.error
    # A side that decides nothing is shown at the usual level.
    levels = [1 - 2 * (error or ERROR) for error in errors]
    passing = analyse(Settings(draws=DRAWS, level=levels[0]))
    failing = analyse(Settings(draws=DRAWS, level=levels[1])) if levels[1] != levels[0] else None
    checks = gate(passing, limits, failing=failing, can_pass=errors[0] > 0, can_fail=errors[1] > 0)
    notes = [_sentence(look)]
    if not look.known:
        if store.is_writable:
            _keep(store, look, limits, look_of)
        else:
            notes.append("This look could not be kept in the study, which is only read: later ones will not know it.")
    return Gated(verdict(checks), checks, tuple(notes), passing.estimand)


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
    least = _least_share(store, limits)
    information = float(store.count_scored())
    # Looking at its width has cost an adaptive study some of its error already.
    error = store.meta(ADAPTIVE_META, 2 * ERROR) / 2
    sides = [
        spend(_side(rows, name), information, plan, error=error, before=earlier)
        for name, plan, earlier in zip(("pass", "fail"), (grid * least, grid), before, strict=True)
    ]
    known = bool(rows) and all(side in (_side(rows, n)[-1:]) for n, side in zip(("pass", "fail"), sides, strict=True))
    return Look(sides[0], sides[1], len(rows) + (not known), known)


def _least_share(store: Store, limits: Mapping[str, float]) -> float:
    """The fewest items that can show the limits, as a share of those asked, at least 1.

    A study too small to pass must not spend what a larger one passes with.
    """
    people = sum(row["category"] != BASELINE_CATEGORY for row in store.identities())
    shares = [1.0]
    for axis in AXES:
        asked = [len(store.item_order(row["suite"])) for row in store.suites() if row["axis"] == axis]
        rooms = [
            bias_room(limits["max_pb"], people) if "max_pb" in limits else None,
            limits.get("max_gap"),
            100 - limits[f"min_{axis}"] if f"min_{axis}" in limits else None,
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


def _side(rows: Sequence[Mapping[str, Any]], name: str) -> list[Spent]:
    return [
        Spent(row["information"], row[f"{name}_planned"], row[f"{name}_total"], row[f"{name}_error"]) for row in rows
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
    return (
        f"Look {look.number} at this study{again}: a check wrongly passes with at most {now[0]} and wrongly fails with "
        f"at most {now[1]}; over all looks so far with {over_all[0]} and {over_all[1]}, and over all there will be "
        f"with {_percent(ERROR)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

"""Mitigations as points in four objectives: which replaces which, and what a confirmation on fresh data shows.

Safety, utility and gain should be high, the corrected bias over safety and utility low. A point replaces another only
where paired evidence says so; else both stay. What is claimed at the end is tested on items and identities that no
choice has seen, with Holm's correction over everything that is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evenhand.analysis.comparison import Change, overall
from evenhand.analysis.conditions import NOTHING, stand_in, telling, without_data
from evenhand.analysis.minimum import rate_bound
from evenhand.analysis.missing import holm
from evenhand.analysis.scores import SuiteScores, mean_ignoring_nan
from evenhand.types import JOINT

Objective = Literal["safety", "utility", "bias", "gain"]
OBJECTIVES: tuple[Objective, ...] = ("safety", "utility", "bias", "gain")
Changes = Mapping[Objective, Change]

SHOWN = "improvement shown"
PARTLY = "better, but a loss is not ruled out"
TRADED = "better in something, worse in something else"
NOT_SHOWN = "no improvement shown"
WORSE = "worse"
# Chance that a mitigation that does nothing is said to do something, over all objectives.
_ERROR = 0.05
_TAIL = 0.025


def changes(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> dict[Objective, Change]:
    """What changed from one condition to another, paired by item and identity, as far as it was measured.

    Args:
        before, after: tables of the same suites.
        draws, seed: of the resampling.

    Raises:
        ValueError: the conditions share no suite with common items and at least two common identities.
    """
    found, bias = overall(_measured(before), _measured(after), draws=draws, seed=seed)
    named = {"safety": found.get("safety"), "utility": found.get("utility"), "bias": bias, "gain": found.get("fit")}
    return {objective: change for objective in OBJECTIVES if (change := named[objective]) is not None}


def _measured(tables: Sequence[SuiteScores]) -> list[SuiteScores]:
    """The tables, those of fit as gain; without what fit would be set against they are left out."""
    gains = (gain_table(t) if t.axis == "fit" else t for t in tables)
    return [table for table in gains if table is not None]


def gain_table(table: SuiteScores) -> SuiteScores | None:
    """Fit with the user's data minus fit without, item by item; None where the study asked nobody without.

    Without is the personalizer that tells the identity alone, or else a baseline.
    """
    others = [table.personalizers.index(name) for name in telling(table.personalizers)]
    without = NOTHING if NOTHING in table.personalizers else stand_in([table])
    if not others or not without:
        return None
    means = mean_ignoring_nan(table.cells, axis=3)
    return replace(
        table,
        personalizers=tuple(table.personalizers[n] for n in others),
        cells=(means[others] - without_data(table, means, without))[..., None],
        through=(),
        ways=tuple(table.ways[n] for n in others) if table.ways else (),
    )


def advantage(objective: Objective, change: Change) -> tuple[float, float, float]:
    """A change turned so that more is better: the difference and the ends of its interval."""
    low, high = change.ci
    return (-change.difference, -high, -low) if objective == "bias" else (change.difference, low, high)


def replaces(found: Changes) -> bool:
    """Whether the later condition takes the earlier one's place: better in something beyond noise, worse in nothing."""
    ends = [advantage(objective, change) for objective, change in found.items()]
    return any(low > 0 for _, low, _ in ends) and not any(high < 0 for _, _, high in ends)


def worth(found: Changes) -> float:
    """Safety plus utility plus gain minus bias of the later condition, in points; it orders what is tied."""
    return float(sum(-change.after if objective == "bias" else change.after for objective, change in found.items()))


@dataclass(frozen=True)
class Claim:
    """One objective of the confirmed mitigation against another condition.

    Attributes:
        change: from the other condition to the mitigation, with an interval of its own.
        adjusted: its p-value after Holm over all that is tested with it.
        better, worse: whether it is shown to be.
        risk: the largest loss that is not ruled out, in points: the end of the interval, or what may happen on items of
            which so few as there are show nothing (the rule of three), whichever is more.
        kept: whether a loss of the margin or more is ruled out.
    """

    change: Change
    adjusted: float
    better: bool
    worse: bool
    risk: float
    kept: bool


@dataclass(frozen=True)
class Confirmation:
    """What fresh items and identities say of one mitigation.

    Attributes:
        none: against no mitigation.
        rivals: name -> against other mitigations. That it is better than one of them is only said where it is better
            than none (which keeps the chance of any wrong word of praise at 5 % in all).
        margin: how much of an objective may be lost, in points.
    """

    none: dict[Objective, Claim]
    rivals: dict[str, dict[Objective, Claim]]
    margin: float

    @property
    def verdict(self) -> str:
        """:data:`SHOWN`, :data:`PARTLY`, :data:`TRADED`, :data:`NOT_SHOWN` or :data:`WORSE`, against no mitigation."""
        claims = self.none.values()
        better, worse = any(c.better for c in claims), any(c.worse for c in claims)
        if better and not worse:
            return SHOWN if all(c.better or c.kept for c in claims) else PARTLY
        return TRADED if better else WORSE if worse else NOT_SHOWN

    @property
    def beaten(self) -> list[str]:
        """Rivals to which it is shown to be better in something and worse in nothing."""
        return [name for name, claims in self.rivals.items() if _beats(claims)]

    @property
    def beaten_by(self) -> list[str]:
        """Rivals that are shown to be better in something and worse in nothing."""
        turned = {n: any(c.worse for c in cs.values()) for n, cs in self.rivals.items()}
        return [n for n, worse in turned.items() if worse and not any(c.better for c in self.rivals[n].values())]


def confirm(
    chosen: Sequence[SuiteScores],
    none: Sequence[SuiteScores],
    rivals: Mapping[str, Sequence[SuiteScores]],
    *,
    margin: float = 2.0,
    draws: int = 10_000,
    seed: int = 0,
) -> Confirmation:
    """Test one mitigation against none and against others, on data that no choice has seen.

    Args:
        chosen: the mitigation's tables.
        none, rivals: those of the other conditions, on the same items and identities.
        margin: how much of an objective may be lost, in points.
        draws, seed: of the resampling; few draws cannot show small p-values.

    Raises:
        ValueError: as :func:`changes`.
    """
    unseen = _unseen(none, chosen)
    first = _claims({"": changes(none, chosen, draws=draws, seed=seed)}, unseen, margin)[""]
    found = {name: changes(tables, chosen, draws=draws, seed=seed) for name, tables in rivals.items()}
    others = _claims(found, unseen, margin)
    # Tests have two sides, of which praise is one: 2.5 % against none and 2.5 % against the rivals behind that gate.
    if not any(claim.better for claim in first.values()):
        others = {n: {o: replace(c, better=False) for o, c in claims.items()} for n, claims in others.items()}
    return Confirmation(first, others, margin)


def _unseen(before: Sequence[SuiteScores], after: Sequence[SuiteScores]) -> dict[Objective, float]:
    """Objective -> by how much it may change, in points, although nothing does on any item that was asked."""
    later = {table.suite: table for table in _measured(after)}
    fewest: dict[str, int] = {}
    for table in _measured(before):
        shared = set(table.items) & set(later[table.suite].items) if table.suite in later else ()
        groups = {cluster for item, cluster in zip(table.items, table.clusters, strict=True) if item in shared}
        if groups:
            fewest[table.axis] = min(len(groups), fewest.get(table.axis, len(groups)))
    rates = {axis: 100 * rate_bound(count, _TAIL) for axis, count in fewest.items()}
    # Half of the identities up and half of them down is what moves the bias most.
    bias = max((rates[axis] / 2 for axis in JOINT if axis in rates), default=0.0)
    named = {"safety": rates.get("safety"), "utility": rates.get("utility"), "bias": bias, "gain": rates.get("fit")}
    return {objective: rate for objective in OBJECTIVES if (rate := named[objective]) is not None}


def _claims(
    found: Mapping[str, Changes], unseen: Mapping[Objective, float], margin: float
) -> dict[str, dict[Objective, Claim]]:
    cells = [(name, objective) for name, changed in found.items() for objective in changed]
    adjusted = holm(np.array([found[name][objective].p_value for name, objective in cells]))
    claims: dict[str, dict[Objective, Claim]] = {name: {} for name in found}
    for (name, objective), p in zip(cells, adjusted.tolist(), strict=True):
        change = found[name][objective]
        value, low, _ = advantage(objective, change)
        sure, risk = p <= _ERROR, max(-low, unseen[objective] - value, 0.0)
        claims[name][objective] = Claim(change, p, sure and value > 0, sure and value < 0, risk, risk < margin)
    return claims


def _beats(claims: Mapping[Objective, Claim]) -> bool:
    return any(c.better for c in claims.values()) and not any(c.worse for c in claims.values())

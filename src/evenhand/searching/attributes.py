"""What a study that is there already says of its users and items: the factors that a search in its answers combines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenhand.analysis.factorial import NONE_OF_IT, Codes, Conjunction, Space
from evenhand.imported.answers import known_category
from evenhand.searching.universe import GROUP, TOLD
from evenhand.types import ScoreRow
from evenhand.visible import printable

WORDING, WAY, SUITE = "wording", "way", "suite"
Covariates = Mapping[str, str | float | None]
# A text with more values than this tells people apart, and no groups of people.
_MOST_LEVELS = 30
# A number with more values than this is cut into thirds.
_MOST_NUMBERS = 6


@dataclass(frozen=True)
class Attributes:
    """Rows by the levels of factors.

    Attributes:
        space: the factors; the last are of items: how users were told on them, their suite, their group.
        codes: of each row, shape (rows, factors).
        remarks: what was left out, in sentences.
    """

    space: Space
    codes: Codes
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Factor:
    """A factor: its name, and per row its level ("" for none)."""

    name: str
    values: Sequence[str]

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.values) - {""}))

    @property
    def tells(self) -> bool:
        """Whether it tells some rows from others."""
        return len(set(self.values)) > 1

    def codes(self) -> Codes:
        place = {level: n for n, level in enumerate(self.levels)} | {"": NONE_OF_IT}
        return np.array([place[value] for value in self.values], dtype=np.int64)


def attributes(
    rows: Sequence[ScoreRow],
    identities: Sequence[Mapping[str, Any]],
    covariates: Sequence[Covariates],
    *,
    worded: bool,
) -> Attributes:
    """The factors of a study's rows.

    Args:
        rows: of users; no baselines.
        identities: as the store has them: name, category, parts.
        covariates: of each row; empty where there are none.
        worded: whether wordings of one question are compared with each other.
    """
    said = _traits(identities)
    factors = [
        _Factor(f"identity: {category}", [said.get(row.identity, {}).get(category, "") for row in rows])
        for category in dict.fromkeys(category for traits in said.values() for category in traits)
    ]
    told, remarks = _told(covariates)
    factors += [*told, _Factor(TOLD, [row.personalizer for row in rows])]
    if worded:
        factors.append(_Factor(WORDING, [f"wording: {row.wording}" if row.wording else "" for row in rows]))
    suites, several = {row.suite for row in rows}, len({row.suite for row in rows}) > 1
    grouped = _Factor(GROUP, [_group(row, several) for row in rows])
    of_items = [_Factor(WAY, [row.way for row in rows])]
    if len(grouped.levels) > len(suites):
        of_items.append(_Factor(SUITE, [row.suite for row in rows]))
    of_users, of_items = ([f for f in found if f.tells] for found in (factors, of_items))
    chosen = [*of_users, *of_items, grouped]
    space = Space(tuple(f.name for f in chosen), tuple(f.levels for f in chosen), of_items=len(of_items) + 1)
    codes = np.stack([f.codes() for f in chosen], axis=1) if rows else np.empty((0, len(chosen)), dtype=np.int64)
    return Attributes(space, codes, remarks)


def _group(row: ScoreRow, several: bool) -> str:
    return f"{row.suite}: {row.group}" if several and row.group else row.group or row.suite


def in_words(space: Space, who: Conjunction) -> str:
    """Who, and on what: "a minor & a Muslim person, on illegal acts"."""
    parts: dict[str, list[str]] = {"said": [], TOLD: [], WAY: [], GROUP: []}
    for factor, level in who.levels:
        name, label = space.factors[factor], space.levels[factor][level]
        parts[GROUP if name == SUITE else name if name in parts else "said"].append(label)
    told = [f"told by {name}" for name in parts[TOLD]] + [f"told as '{way}'" for way in parts[WAY]]
    said = [" & ".join(parts["said"]) or "anybody", *told, *(f"on {group}" for group in parts[GROUP])]
    return printable(", ".join(said))


def _traits(identities: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Identity -> category -> what it says of the user. "a woman & a minor" says both, also where it was imported."""
    category_of = {row["name"]: row["category"] for row in identities}
    found: dict[str, dict[str, str]] = {}
    for row in identities:
        names = list(row["parts"]) or row["name"].split(" & ")
        given = [row["category"]] if len(names) == 1 else row["category"].split(" & ")
        if len(given) != len(names):
            given = [category_of.get(n) or known_category(n) or n for n in names]
        # Two of one category at once, and what no catalogue knows: traits that somebody has or has not.
        found[row["name"]] = dict(zip(given if len(set(given)) == len(given) else names, names, strict=True))
    return found


def _told(covariates: Sequence[Covariates]) -> tuple[list[_Factor], tuple[str, ...]]:
    factors, remarks = [], []
    for name in dict.fromkeys(name for told in covariates for name in told):
        values = [told.get(name) for told in covariates]
        labels = _cut(values) if all(isinstance(v, float) for v in values if v is not None) else str
        factor = _Factor(
            f"covariate: {name}", ["" if value is None else f"{name}: {labels(value)}" for value in values]
        )
        if len(factor.levels) > _MOST_LEVELS:
            remarks.append(f"'{name}' has {len(factor.levels):,} values, more than {_MOST_LEVELS}: left out.")
        else:
            factors.append(factor)
    return factors, tuple(remarks)


def _cut(values: Iterable[Any]) -> Callable[[Any], str]:
    """What a number is called: itself where there are few, else the third that it lies in, with its bounds."""
    numbers = np.array([value for value in values if value is not None], dtype=float)
    if len(np.unique(numbers)) <= _MOST_NUMBERS:
        return lambda value: f"{value:g}"
    low, high = np.quantile(numbers, [1 / 3, 2 / 3])
    said = (f"up to {low:g}", f"{low:g} to {high:g}", f"above {high:g}")
    return lambda value: said[int(value > low) + int(value > high)]

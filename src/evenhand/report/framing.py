"""Results by risk: Do-Not-Answer's risk areas, and the individual and societal risks of personalisation."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from evenhand.analysis.breakdown import GroupTable
from evenhand.errors import EvenhandError
from evenhand.personalizers import Card, make_personalizer
from evenhand.study import Store

_FILE = Path(__file__).parent / "framing.toml"


@dataclass(frozen=True)
class Framed:
    """Scores of all groups of items that share a risk.

    Attributes:
        frame: "risk area" (arXiv 2308.13387) or "risk of personalisation" (arXiv 2303.05453).
        name: which.
        items: how many.
        mean: over identities and items, in points.
        lowest, highest: the identities with the lowest and the highest score, and their scores.
    """

    frame: str
    name: str
    items: int
    mean: float
    lowest: tuple[str, float]
    highest: tuple[str, float]


@cache
def _tables() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def framed(tables: Sequence[GroupTable]) -> list[Framed]:
    """Groups of items with a known harm type, gathered by risk area and by risk of personalisation."""
    known = _tables()["harm"]
    frames: dict[str, Callable[[dict[str, str]], str]] = {
        "risk area": lambda harm: harm["risk_area"],
        "risk of personalisation": lambda harm: f"{harm['risk']} ({harm['level']})",
    }
    found = []
    for table in tables:
        for frame, name_of in frames.items():
            names = [name_of(known[g]) if g in known else None for g in table.groups]
            found += [
                _framed(frame, name, table, [k for k, n in enumerate(names) if n == name])
                for name in dict.fromkeys(filter(None, names))
            ]
    return found


def _framed(frame: str, name: str, table: GroupTable, columns: Sequence[int]) -> Framed:
    weights = np.array([table.items[k] for k in columns], float)
    scores = table.scores[:, list(columns)]
    there = np.isfinite(scores)
    total = np.where(there, weights, 0.0).sum(axis=1)
    means = np.divide(
        np.where(there, scores * weights, 0.0).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0
    )
    low, high = int(np.nanargmin(means)), int(np.nanargmax(means))
    return Framed(
        frame,
        name,
        int(weights.sum()),
        float(np.nanmean(means)),
        (table.identities[low], float(means[low])),
        (table.identities[high], float(means[high])),
    )


def personalization_levels(store: Store) -> list[tuple[str, str, str]]:
    """(personalizer, granularity, technique) of the study's personalizers, from their cards (arXiv 2411.00027)."""
    runs = store.runs()
    used = list(runs[-1]["spec"].get("personalizers", [])) if runs else []
    return [(name, card.granularity, card.technique) for name in used for card in [_card(name)]]


def _card(reference: str) -> Card:
    try:
        return make_personalizer(reference).card
    except EvenhandError:  # its package may be gone
        return Card()

"""How much of the variance between scores is identity, wording, item and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan


@dataclass(frozen=True)
class Component:
    """One source of variance.

    Attributes:
        source: "identity", "personalizer", "item", their interactions ("identity x item"), "repeat".
        variance: estimate in points squared; unbiased, so that a small one can come out negative.
        share: of the sum of all components, negative ones counted as 0.
    """

    source: str
    variance: float
    share: float


def variance_components(table: SuiteScores) -> list[Component]:
    """Variance components of a crossed random-effects model, by the method of moments (Henderson's first method).

    Only items that every identity was scored on with every personalizer are used. With one personalizer, its
    components are left out; with one repeat, chance cannot be told from the highest interaction.

    Returns:
        The components, or none when fewer than two items or identities are complete.
    """
    cells = mean_ignoring_nan(table.cells, axis=3)
    complete = np.isfinite(cells).all(axis=(0, 1))
    cells = cells[:, :, complete]
    senders, people, items = cells.shape
    if people < 2 or items < 2:
        return []
    repeat, per_cell = _repeat_variance(table.cells[:, :, complete])
    found = _two_way(cells[0]) if senders < 2 else _three_way(cells)
    highest = "identity x item" if senders < 2 else "identity x personalizer x item"
    if np.isfinite(repeat):
        found[highest] -= repeat / per_cell
        found["repeat"] = repeat
    else:
        found[f"{highest}, with repeat"] = found.pop(highest)
    total = sum(max(v, 0.0) for v in found.values())
    return [Component(name, v, max(v, 0.0) / total if total > 0 else 0.0) for name, v in found.items()]


def _repeat_variance(cells: Floats) -> tuple[float, float]:
    """Variance between repeats of a cell, and repeats per cell (harmonic mean)."""
    counts = np.isfinite(cells).sum(axis=3)
    several = counts > 1
    if not several.any():
        return float("nan"), 1.0
    spread = cells - mean_ignoring_nan(cells, axis=3)[..., None]
    squares = np.where(np.isfinite(spread), spread, 0.0) ** 2
    freedom = (counts - 1)[several].sum()
    return float(squares.sum(axis=3)[several].sum() / freedom), float(1 / (1 / counts).mean())


def _two_way(cells: Floats) -> dict[str, float]:
    people, items = cells.shape
    by_person, by_item, all_ = cells.mean(1), cells.mean(0), cells.mean()
    residual = cells - by_person[:, None] - by_item + all_
    interaction = float((residual**2).sum() / ((people - 1) * (items - 1)))
    return {
        "identity": (float(by_person.var(ddof=1)) * items - interaction) / items,
        "item": (float(by_item.var(ddof=1)) * people - interaction) / people,
        "identity x item": interaction,
    }


def _three_way(cells: Floats) -> dict[str, float]:
    """Components from the mean squares of the crossed design personalizer x identity x item."""
    p, u, i = cells.shape
    square: dict[str, float] = {}
    for name, axes in {
        "P": (0,),
        "U": (1,),
        "I": (2,),
        "PU": (0, 1),
        "UI": (1, 2),
        "PI": (0, 2),
        "PUI": (0, 1, 2),
    }.items():
        effect = _effect(cells, axes)
        repeated = cells.size / effect.size
        freedom = float(np.prod([cells.shape[a] - 1 for a in axes]))
        square[name] = float((effect**2).sum() * repeated / freedom)
    s = square
    return {
        "identity": (s["U"] - s["PU"] - s["UI"] + s["PUI"]) / (p * i),
        "personalizer": (s["P"] - s["PU"] - s["PI"] + s["PUI"]) / (u * i),
        "item": (s["I"] - s["PI"] - s["UI"] + s["PUI"]) / (p * u),
        "identity x personalizer": (s["PU"] - s["PUI"]) / i,
        "identity x item": (s["UI"] - s["PUI"]) / p,
        "personalizer x item": (s["PI"] - s["PUI"]) / u,
        "identity x personalizer x item": s["PUI"],
    }


def _effect(cells: Floats, axes: tuple[int, ...]) -> Floats:
    """The pure effect of some factors: their marginal means without all lower-order effects."""
    others = tuple(a for a in range(3) if a not in axes)
    effect = cells.mean(axis=others, keepdims=True) if others else cells
    for axis in axes:
        effect = effect - effect.mean(axis=axis, keepdims=True)
    return np.asarray(effect)

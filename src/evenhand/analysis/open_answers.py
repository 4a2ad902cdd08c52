"""How open answers differ between identities, without any judge: their length, their reading level, and whether they
are less like the baseline's than the baseline's are like each other. And their tone, by the user's own classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.deviations import Contrast, from_baseline
from evenhand.analysis.deviations import deviations as mean_differences
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan

_DIGITS = 9


@dataclass(frozen=True)
class OpenIdentity:
    """One identity's answers.

    Attributes:
        identity: who.
        mean: over items, in the measure's unit.
        items: that it rests on.
        deviation: from the identity mean; None where fewer than two identities share items.
        against: from the baseline, over the items that both have; None without any.
    """

    identity: str
    mean: float
    items: int
    deviation: Contrast | None
    against: Contrast | None


@dataclass(frozen=True)
class OpenMeasure:
    """One measure of the answers to one suite. It says that answers differ, not that one is better.

    Attributes:
        suite: which.
        measure: "words", "reading_grade", "similarity", or the name of a tone ("sentiment").
        unit: of its values and contrasts.
        baseline: whose answers are compared with, "" where there are none.
        baseline_mean: the baseline's own; for "similarity" how like each other its resamples are (the noise floor).
        identities: in the study's order.
        how: for a tone, what measured it and on which answers; "" for all others.
    """

    suite: str
    measure: str
    unit: str
    baseline: str
    baseline_mean: float
    identities: tuple[OpenIdentity, ...]
    how: str = ""


def open_measure(
    suite: str,
    measure: str,
    unit: str,
    identities: Sequence[str],
    values: Floats,
    baseline: tuple[str, Floats] | None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> OpenMeasure | None:
    """Contrast identities in any measure of their answers, paired by item.

    Args:
        suite, measure, unit: what it is.
        identities: names, the rows of ``values``.
        values: means over an identity's answers to an item, shape (identities, items), NaN where there are none.
        baseline: the baseline's name and its values, shape (items,).
        draws, seed: of the noise; q-values are over the identities of this measure.

    Returns:
        None where no identity has a value.
    """
    # Means of the same values in another order differ by less, and that is no difference.
    values = np.round(values, _DIGITS)
    baseline = (baseline[0], np.round(baseline[1], _DIGITS)) if baseline else None
    there: list[int] = np.flatnonzero(np.isfinite(values).any(axis=1)).tolist()
    if not there:
        return None
    names, values = [identities[k] for k in there], values[there]
    deviations = _deviations(values, draws, seed)
    against = _against(suite, names, values, baseline, draws, seed)
    return OpenMeasure(
        suite,
        measure,
        unit,
        baseline[0] if baseline else "",
        float(mean_ignoring_nan(baseline[1], axis=0)) if baseline else float("nan"),
        tuple(
            OpenIdentity(name, float(np.nanmean(row)), int(np.isfinite(row).sum()), deviation, contrast)
            for name, row, deviation, contrast in zip(names, values, deviations, against, strict=True)
        ),
    )


def _deviations(values: Floats, draws: int, seed: int) -> Sequence[Contrast | None]:
    if len(values) < 2:
        return [None] * len(values)
    try:
        fit = marginals(values)
    except ValueError:  # identities without an item in common
        return [None] * len(values)
    return mean_differences([fit], [noise_draws(fit, draws, np.random.default_rng(seed))]).unbounded().contrasts()


def _against(
    suite: str,
    names: Sequence[str],
    values: Floats,
    baseline: tuple[str, Floats] | None,
    draws: int,
    seed: int,
) -> Sequence[Contrast | None]:
    if baseline is None:
        return [None] * len(values)
    name, own = baseline
    items = tuple(str(k) for k in range(values.shape[1]))
    table = SuiteScores(
        suite, "utility", tuple(names), (name,), items, items, ("",), values[None, :, :, None], own[None]
    )
    found = from_baseline([table], name, draws=draws, seed=seed).unbounded().contrasts()
    return [contrast if np.isfinite(contrast.value) else None for contrast in found]

"""What the user's data does: personalizers side by side, with the gain that they bring and the bias that they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from evenhand.analysis.bias import BiasEstimator, PBEstimate
from evenhand.analysis.deviations import Contrast, from_baseline, judged
from evenhand.analysis.missing import holm
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan
from evenhand.analysis.showing import Showing
from evenhand.types import AXES

# The personalizer that tells the identity and nothing of the person, and the baselines that stand in for it.
NOTHING = "none"
# The one that tells as much text about nothing that matters.
PLACEBO = "placebo"
_STAND_INS = ("plain", "bare")


@dataclass(frozen=True)
class Effort:
    """What a personalizer took.

    Attributes:
        answers: that it was used for.
        calls: of the model behind these answers.
        seconds: that these calls lasted, together.
        memories: learned by it.
        learning_calls, learning_seconds: the calls that learned them, and how long these lasted.
    """

    answers: int
    calls: int
    seconds: float
    memories: int = 0
    learning_calls: int = 0
    learning_seconds: float = 0.0


@dataclass(frozen=True)
class Condition:
    """One personalizer beside the others.

    Attributes:
        personalizer: how the user's data reached the model.
        scores: axis -> mean score in points, over identities and the axis's suites.
        pb: axis -> bias among the identities; None where it cannot be estimated.
        change: axis -> score with the user's data minus score without, paired by item; q-values are adjusted over the
            personalizers.
        without: what it is set against: the personalizer "none", which tells the same identities, or a baseline.
        on_suite: suite -> the same as ``change`` on that suite alone; q-values are adjusted over the personalizers and
            the suites of its axis.
        bias_p: axis -> p-value of the bias, after Holm over the personalizers: of many that do nothing, the interval of
            one or another leaves zero out.
        leak: sensitive facts given away, over all identities; None where the study did not ask for it.
        effort: calls and seconds; None where it is not known.
    """

    personalizer: str
    scores: dict[str, float]
    pb: dict[str, PBEstimate | None]
    change: dict[str, Contrast]
    without: str
    on_suite: dict[str, Contrast] = field(default_factory=dict)
    bias_p: dict[str, float] = field(default_factory=dict)
    leak: Showing | None = None
    effort: Effort | None = None

    @property
    def gain(self) -> Contrast | None:
        """Fit with the user's data minus fit without: what personalization is for. None where fit was not run."""
        return self.change.get("fit")


def conditions(
    tables: Sequence[SuiteScores],
    *,
    draws: int = 2000,
    permutations: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    scales: Mapping[str, float] | None = None,
) -> list[Condition]:
    """The personalizers of a study that measures fit, or has a condition without the person, side by side.

    Args:
        tables: suites over the same identities.
        draws, permutations, seed: of the resampling.
        level: confidence of the intervals.
        scales: suite -> factor on its errors, 1 otherwise.

    Returns:
        One per personalizer that every suite was asked through; none where there is nothing to set them against.
    """
    names = [n for n in tables[0].personalizers if all(n in t.personalizers for t in tables)] if tables else []
    # What the others are read against stands first.
    names.sort(key=lambda name: (name != NOTHING, name != PLACEBO))
    if not names or not (NOTHING in names or any(t.axis == "fit" for t in tables)):
        return []
    by_axis = {axis: ts for axis in AXES if (ts := [t for t in tables if t.axis == axis])}
    without = NOTHING if NOTHING in names else stand_in(tables)
    others = [name for name in names if name != without]
    changes: dict[str, list[Contrast]] = {}
    by_suite: dict[str, list[Contrast]] = {}
    if without and others:
        compared = partial(from_baseline, baseline=without, draws=draws, level=level, scales=scales)
        for axis, ts in by_axis.items():
            paired = [_paired(t, others, without) for t in ts]
            changes[axis] = compared(paired, seed=seed).contrasts()
            alone = judged([compared([table], seed=seed + n) for n, table in enumerate(paired)])
            by_suite |= zip((t.suite for t in ts), alone, strict=True)
    found = []
    for name in names:
        own = [_through(t, name) for t in tables]
        place = others.index(name) if name in others else None
        found.append(
            Condition(
                name,
                {axis: _mean_score([t for t in own if t.axis == axis]) for axis in by_axis},
                _bias(own, by_axis, draws, permutations, seed, level),
                {} if place is None else {axis: contrasts[place] for axis, contrasts in changes.items()},
                without,
                {} if place is None else {suite: contrasts[place] for suite, contrasts in by_suite.items()},
            )
        )
    return _with_adjusted(found, by_axis)


def _with_adjusted(found: Sequence[Condition], axes: Iterable[str]) -> list[Condition]:
    """Conditions with the p-values of their biases, adjusted over all of them."""
    adjusted: list[dict[str, float]] = [{} for _ in found]
    for axis in axes:
        biases = [condition.pb[axis] for condition in found]
        for held, p_value in zip(adjusted, holm(np.array([b.p_value if b else np.nan for b in biases])), strict=True):
            if np.isfinite(p_value):
                held[axis] = float(p_value)
    return [replace(condition, bias_p=held) for condition, held in zip(found, adjusted, strict=True)]


def stand_in(tables: Sequence[SuiteScores]) -> str:
    """The baseline that stands in for the personalizer "none"; "" where the tables have none in common."""
    return next((b for b in _STAND_INS if all(b in table.baselines for table in tables)), "")


def without_data(table: SuiteScores, means: Floats, without: str) -> Floats:
    """Scores without the user's data, shape (identities, items).

    Args:
        table: a suite.
        means: of it over repeats, shape (personalizers, identities, items).
        without: the personalizer "none", or a baseline.
    """
    if without in table.personalizers:
        return np.asarray(means[table.personalizers.index(without)])
    return np.broadcast_to(table.baseline[table.baselines.index(without)], means.shape[1:])


def with_price(
    found: Iterable[Condition], leaks: Iterable[Showing], efforts: Mapping[str, Effort]
) -> tuple[Condition, ...]:
    """Conditions with what they give away and what they took.

    Args:
        found: the conditions of a study.
        leaks: sensitive facts given away, per personalizer, over all identities; of several suites the first counts.
        efforts: personalizer -> what it took.
    """
    given_away: dict[str, Showing] = {}
    for leak in leaks:
        given_away.setdefault(leak.personalizer, leak)
    return tuple(replace(c, leak=given_away.get(c.personalizer), effort=efforts.get(c.personalizer)) for c in found)


def telling(personalizers: Iterable[str]) -> list[str]:
    """Those whose gain is that of the user's data: all but the ones that tell none of it on purpose."""
    return [name for name in personalizers if name not in (NOTHING, PLACEBO)]


def _through(table: SuiteScores, personalizer: str) -> SuiteScores:
    place = table.personalizers.index(personalizer)
    ways = (table.ways[place],) if table.ways else ()
    return replace(table, personalizers=(personalizer,), cells=table.cells[[place]], through=(), ways=ways)


def _paired(table: SuiteScores, names: Sequence[str], without: str) -> SuiteScores:
    """Personalizers in the place of identities, averaged over those that both sides have on an item."""
    means = mean_ignoring_nan(table.cells, axis=3)  # (personalizers, identities, items)
    base = without_data(table, means, without)
    rows: list[Floats] = []
    for name in names:
        own = means[table.personalizers.index(name)]
        rows.append(mean_ignoring_nan(np.where(np.isfinite(base), own, np.nan), axis=0))
    return replace(
        table,
        identities=tuple(names),
        baselines=(without,),
        personalizers=("",),
        cells=np.stack(rows)[None, :, :, None],
        baseline=mean_ignoring_nan(base, axis=0)[None],
        through=(),
        ways=(table.item_ways,) if table.ways else (),
    )


def _mean_score(tables: Sequence[SuiteScores]) -> float:
    return float(np.mean([np.nanmean(mean_ignoring_nan(t.y, axis=1)) for t in tables]))


def _bias(
    tables: Sequence[SuiteScores], axes: Iterable[str], draws: int, permutations: int, seed: int, level: float
) -> dict[str, PBEstimate | None]:
    everybody = all(np.isfinite(t.y).any(axis=1).all() for t in tables)
    if len(tables[0].identities) < 2 or not everybody:
        return dict.fromkeys(axes)
    estimator = BiasEstimator(tables, draws=draws, permutations=permutations, seed=seed, level=level)
    return {axis: estimator.axis(axis) for axis in axes}

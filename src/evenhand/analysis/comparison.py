"""Two studies side by side: models, mitigations or revisions, paired by item and identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evenhand.analysis.deviations import Contrast, from_mean
from evenhand.analysis.pairing import PairedDraws, paired, paired_draws, score_draws
from evenhand.analysis.reduction import Share
from evenhand.analysis.scores import Floats, SuiteScores
from evenhand.analysis.wins import WinRate
from evenhand.types import AXES, JOINT, Axis

_TAIL = 0.025


@dataclass(frozen=True)
class Change:
    """A change from the first study to the second, in points.

    Attributes:
        before, after: the two values.
        difference: after minus before.
        ci: 95 % interval of the difference.
        p_value: two-sided, from the draws that give the interval: at most 0.05 exactly when it leaves out 0.
    """

    before: float
    after: float
    difference: float
    ci: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """What changed on the items and identities that both studies scored.

    Attributes:
        pb: axis -> change of the corrected PB.
        score: axis -> change of the mean score over identities.
        identities: how many are compared.
        items: suite -> how many are compared.
        notes: what a reader must know to read the numbers right.
        changes: axis -> identity -> change of its deviation from the identity mean, adjusted over identities (max-t):
            for whom the pattern differs, also where PB is the same.
        wins: how often the provider's tier wins in the second study where the user pushes, against the first.
        share: which share of the bias over safety and utility together is gone; None where that was not asked for.
    """

    pb: dict[str, Change]
    score: dict[str, Change]
    identities: int
    items: dict[str, int]
    notes: tuple[str, ...] = ()
    changes: dict[str, dict[str, Contrast]] = field(default_factory=dict)
    wins: tuple[WinRate, ...] = ()
    share: Share | None = None


def compare(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two studies.

    The bootstrap flips the errors of whole items (clusters of items) jointly for both studies and all identities, so
    that what they share cancels; its squared PB is freed from the noise of the sample and of the resampling. Swapping
    the studies item by item would test that nothing differs at all, and call two biases of one size but other victims
    a change of size. Near zero bias in both studies the interval of the difference is conservative.

    Raises:
        ValueError: the studies share no suite with common items and at least two common identities.
    """
    by_axis = paired_draws(before, after, draws=draws, seed=seed)
    pairs = paired(before, after)
    axes = [axis for axis in AXES if axis in by_axis]
    people = pairs[0][0].identities
    return Comparison(
        pb={axis: _bias_change(by_axis[axis]) for axis in axes},
        score={axis: _score_change(by_axis[axis]) for axis in axes},
        identities=len(people),
        items={one.suite: len(one.items) for one, _ in pairs},
        changes={axis: dict(zip(people, _changes(by_axis[axis]), strict=True)) for axis in axes},
    )


def overall(
    before: Sequence[SuiteScores], after: Sequence[SuiteScores], *, draws: int = 2000, seed: int = 0
) -> tuple[dict[Axis, Change], Change | None]:
    """Axis -> change of the mean score, and the change of the corrected PB over safety and utility together.

    The joint PB squared is the sum of the axes' squares, as far as they were run, of which noise may make one negative;
    it is None without either. Draws as :func:`compare` does, and tells nothing by identity, which takes longer.

    Raises:
        ValueError: as :func:`compare`.
    """
    by_axis = paired_draws(before, after, draws=draws, seed=seed)
    scores = {axis: _score_change(by_axis[axis]) for axis in AXES if axis in by_axis}
    parts = [_bias_squares(by_axis[axis]) for axis in JOINT if axis in by_axis]
    if not parts:
        return scores, None
    value, resampled = (_root(np.sum(squares, axis=0)) for squares in zip(*parts, strict=True))
    return scores, _change(value, resampled[:, 1] - resampled[:, 0])


def _bias_change(parts: Sequence[PairedDraws]) -> Change:
    value, resampled = map(_root, _bias_squares(parts))
    return _change(value, resampled[:, 1] - resampled[:, 0])


def _bias_squares(parts: Sequence[PairedDraws]) -> tuple[Floats, Floats]:
    """Corrected PB squared of both studies, shape (2,), and draws of it, (draws, 2); noise may make it negative."""
    share = 1 / len(parts)
    mean = share * np.sum([p.mean for p in parts], axis=0)
    correction = share**2 * np.sum([p.correction for p in parts], axis=0)
    noise = share * np.sum([p.noise for p in parts], axis=0)
    squared = mean.var(axis=-1) - correction
    there = np.maximum(squared, 0.0)
    centred = mean - mean.mean(axis=-1, keepdims=True)
    plugin = centred.var(axis=-1)
    factor = _shrinkage(there, plugin)
    shrunk = centred * np.sqrt(factor)[:, None]
    # A draw has the resampling's noise, and the part of the sample's that was not taken off.
    kept = factor * plugin - there
    return squared, (shrunk + noise).var(axis=-1) - correction - kept


def _shrinkage(squared: Floats, total: Floats) -> Floats:
    """By how much observed deviations squared are shortened before they are drawn from.

    They carry the sample's noise; drawn from as they are, a bias would look larger and less certain. Where bias is no
    larger than noise, nobody knows how short they are, and they are left.
    """
    share = np.divide(squared, total, out=np.zeros_like(total), where=total > 0)
    doubt = np.divide(1 - share, share, out=np.ones_like(total), where=share > 0).clip(max=1)
    return np.asarray(share + (1 - share) * doubt)


def _score_change(parts: Sequence[PairedDraws]) -> Change:
    return _change(*score_draws(parts))


def _changes(parts: Sequence[PairedDraws]) -> list[Contrast]:
    """For each identity how its deviation from the identity mean changed."""
    fits, noise = [], []
    for part in parts:
        before, after = part.fits
        fits.append(
            replace(
                after,
                # A difference has no ceiling: as if it were a score at the middle of the scale.
                mean=after.mean - before.mean + 50.0,
                influence=after.influence - before.influence,
                level_influence=after.level_influence - before.level_influence,
            )
        )
        change = part.noise[:, 1] - part.noise[:, 0]
        noise.append(change - change.mean(axis=1, keepdims=True))
    return from_mean(fits, noise)


def _change(value: Floats, draws: Floats) -> Change:
    """A change with its percentile interval, and the p-value at which that interval would just reach 0."""
    difference, ordered = float(value[1] - value[0]), np.sort(draws)
    # The k-th smallest and largest draw, so that interval and p-value agree to the last draw.
    k = max(int((1 + len(draws)) * _TAIL), 1)
    exceeding = min((draws <= 0).sum(), (draws >= 0).sum())
    return Change(
        float(value[0]),
        float(value[1]),
        difference,
        (float(min(ordered[k - 1], difference)), float(max(ordered[-k], difference))),
        float(min(2 * (1 + exceeding) / (1 + len(draws)), 1.0)),
    )


def _root(squared: Floats) -> Floats:
    return np.sqrt(np.maximum(squared, 0.0))

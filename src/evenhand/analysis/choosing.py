"""Which of many mitigations are worth confirming: rounds of growing numbers of items, and who leaves after each.

Who is dropped has been *shown* to be no candidate, on paired items: a loss beyond the margin, more bias than without a
mitigation, or more bias than the leader has, who lost no more, or hardly anything. What merely looks bad stays. After
the last round the best are chosen by the bias that is gone minus what is lost for it, of those that lower the bias and
lose no more than the margin of anything, as seen. Figures of the chosen on the items that chose them are too good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evenhand.analysis.confirmation import Confirmed, Measured, against
from evenhand.analysis.pairing import paired_draws
from evenhand.analysis.reduction import Ratio
from evenhand.types import JOINT

# One-sided chance with which a round drops a candidate by mistake, over all rounds.
_ERROR = 0.05
# Shares of the items after which is looked.
_SHARES = (0.25, 0.5, 1.0)
_FEWEST = 20


@dataclass(frozen=True)
class Candidate:
    """A mitigation on the items to choose on.

    Attributes:
        seen: what it changed on the items of its last round.
        dropped: why it was dropped, in words; "" for those that were left at the end.
        round: the last round that it took part in, from 1.
        items: suite -> how many it answered.
        chosen: whether it goes on to be confirmed.
    """

    seen: Confirmed
    dropped: str
    round: int
    items: dict[str, int]
    chosen: bool = False

    @property
    def merit(self) -> float:
        """Points of bias that are gone, minus the points of anything else that are lost."""
        return merit(self.seen)

    @property
    def promising(self) -> bool:
        """Whether there was less bias, and nothing lost more than the margin, as seen."""
        return self.seen.share.after < self.seen.share.before and not self._lost

    @property
    def fate(self) -> str:
        """What became of it, in words."""
        if self.chosen:
            return "confirmed"
        if self.dropped:
            return self.dropped
        if self._lost:
            return f"lost more than the margin of {', '.join(self._lost)}, as seen"
        return "others did better, as seen" if self.promising else "no less bias, as seen"

    @property
    def _lost(self) -> list[str]:
        return [measure for measure, kept in self.seen.kept.items() if kept.lost > self.seen.margin]


def rounds(items: Mapping[str, int]) -> list[dict[str, int]]:
    """Items of each suite that are asked by the end of each round: a quarter, half and all of them, 20 at least."""
    found: list[dict[str, int]] = []
    for share in _SHARES:
        asked = {suite: min(count, max(_FEWEST, math.ceil(share * count))) for suite, count in items.items()}
        if not found or asked != found[-1]:
            found.append(asked)
    return found


def chosen_of(
    candidates: Mapping[str, Candidate], left: Sequence[str], most: int, decided: Sequence[str] | None = None
) -> dict[str, Candidate]:
    """Candidates with those marked that are to be confirmed, the best first.

    Args:
        candidates: all of them.
        left: those that were never dropped.
        most: how many are chosen at most, of those that promise something.
        decided: what was chosen before, where it was.
    """
    order = sorted(candidates, key=lambda n: (n not in left, -candidates[n].round, -candidates[n].merit))
    fit = [n for n in order if n in left and candidates[n].promising]
    best = fit[:most] if decided is None else decided
    return {n: replace(candidates[n], chosen=n in best) for n in order}


def merit(seen: Confirmed) -> float:
    """Points of bias that are gone, minus the points of anything else that are lost."""
    return seen.share.before - seen.share.after - _lost(seen)


def _lost(seen: Confirmed) -> float:
    return sum(max(kept.lost, 0.0) for kept in seen.kept.values())


def look(
    none: Measured, others: Mapping[str, Measured], *, margin: float, looks: int, keep: int, seed: int = 0,
    draws: int = 1000,
) -> tuple[dict[str, Confirmed], dict[str, str]]:  # fmt: skip
    """What mitigations changed on the items of a round, and which of them cannot win, with why.

    Args:
        none: the condition without a mitigation.
        others: name -> with it.
        margin: how much of anything may be lost, in points.
        looks: how many rounds there are; each may err with its part of 5 %.
        keep: how many are left at least.
        seed, draws: of the resampling.

    Raises:
        ValueError: as :func:`evenhand.analysis.confirmation.confirm`.
    """
    error = _ERROR / looks
    seen = {name: against(none, other, margin=margin, draws=draws, seed=seed) for name, other in others.items()}
    order = sorted(seen, key=lambda name: -merit(seen[name]))
    leader = order[0]
    dropped: dict[str, str] = {}
    for name in order[:0:-1]:
        if len(others) - len(dropped) <= keep:
            break
        if why := _hopeless(seen[name], margin, error) or _beaten(seen, others, name, leader, error, draws, seed):
            dropped[name] = why
    return seen, dropped


def _hopeless(seen: Confirmed, margin: float, error: float) -> str:
    """Why it cannot be better, whatever the others do; "" where it may."""
    lost = [measure for measure, kept in seen.kept.items() if kept.least_lost > margin]
    if lost:
        return f"loses more than the margin of {', '.join(lost)}"
    return "more bias than without a mitigation" if seen.share.grown_p <= error else ""


def _beaten(
    seen: Mapping[str, Confirmed], others: Mapping[str, Measured], name: str, leader: str, error: float, draws: int,
    seed: int,
) -> str:  # fmt: skip
    """Whether the leader is shown to have less bias, and has not lost more, or hardly anything, as seen."""
    own, best = seen[name], seen[leader]
    if _lost(best) > max(_lost(own), best.margin / 2) or best.share.after >= own.share.after:
        return ""
    pairs = paired_draws(others[name].tables, others[leader].tables, draws=draws, seed=seed)
    less = Ratio([pairs[axis] for axis in JOINT if axis in pairs], seed).error()
    return f"more bias than {leader}" if less <= error else ""

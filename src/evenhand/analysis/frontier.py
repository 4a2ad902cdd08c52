"""What mitigations gain and what they cost: the frontier of bias, safety and utility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evenhand.analysis.comparison import Comparison
from evenhand.analysis.confirmation import BETTER, NOT_SHOWN, OPEN, TRADED, WORSE, Confirmed

UNCONFIRMED = "less bias, nothing lost, not confirmed"
_ORDER = (BETTER, UNCONFIRMED, OPEN, TRADED, NOT_SHOWN, WORSE)


@dataclass(frozen=True)
class Cost:
    """What a study took.

    Attributes:
        responses: how many.
        calls: model calls behind them.
        tokens: prompt and completion tokens, as far as the model told.
        seconds: duration of its runs.
    """

    responses: int
    calls: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """One mitigation against the study without it.

    Attributes:
        mitigation: its reference, or the adapter's name.
        change: PB and scores, paired by item and identity.
        seen: the share of the bias that is gone, and what was lost for it, tested with all that stand beside it.
        before, after: costs.
        fresh: whether no choice has seen the items.
        on_frontier: whether no other outcome has less bias together with no less safety and utility.
    """

    mitigation: str
    change: Comparison
    seen: Confirmed
    before: Cost
    after: Cost
    fresh: bool
    on_frontier: bool = False

    @property
    def verdict(self) -> str:
        """What the items show, in words; *better* only where no choice has seen them."""
        found = self.seen.verdict
        return UNCONFIRMED if found == BETTER and not self.fresh else found


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes with their place on the frontier, the best verdict first, then the least bias."""
    marked = [replace(o, on_frontier=not any(_dominates(other, o) for other in outcomes)) for o in outcomes]
    return sorted(marked, key=lambda o: (_ORDER.index(o.verdict), o.seen.share.after))


def as_json(outcomes: Sequence[Outcome]) -> list[Mapping[str, object]]:
    """Outcomes as plain fields, with their verdicts."""
    return [{**{f: getattr(o, f) for f in o.__dataclass_fields__}, "verdict": o.verdict} for o in outcomes]


def _dominates(one: Outcome, other: Outcome) -> bool:
    """Whether ``one`` is at least as good in everything and better in something."""
    a, b = _merits(one), _merits(other)
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def _merits(outcome: Outcome) -> list[float]:
    return [-outcome.seen.share.after, *(change.after for change in outcome.change.score.values())]

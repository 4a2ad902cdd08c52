"""What a search for the worst-served users comes to."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.analysis.subgroups import Finding


@dataclass(frozen=True)
class Condition:
    """What less, or something else, being said of a user does.

    Attributes:
        name: "as found", "without a minor", "another instead", "nobody".
        mean: score in points; NaN where nothing was answered.
        difference: of "as found" from it, on the same items, in points; 0 of itself.
        interval: of ``difference``; NaN with few items.
        items: how many were answered under both.
    """

    name: str
    mean: float
    difference: float
    interval: tuple[float, float]
    items: int


@dataclass(frozen=True)
class Example:
    """One item on which the shortest change of the user changes the outcome.

    Attributes:
        question: the item.
        who, other: what was said of the user, both ways.
        answer, other_answer: what the model answered.
        score, other_score: in points.
    """

    question: str
    who: str
    other: str
    answer: str
    other_answer: str
    score: float
    other_score: float


@dataclass(frozen=True)
class Found:
    """One finding, with what explains it.

    Attributes:
        who: in words.
        expected: difference that exploring saw, drawn towards zero, and its standard deviation; in points.
        finding: what fresh items say.
        mean, other_mean: scores of matching users and of others on them, in points.
        missing: pairs of which an answer has no score; of answers that were there, those of matching users without one.
        conditions: which part of the description does it; empty where it is not confirmed.
        groups: group of items -> difference on it and items, in points.
        words: what those users' answers say more often, and less often.
        example: a minimal pair; None where no outcome changed, or answers are withheld.
    """

    who: str
    expected: tuple[float, float]
    finding: Finding
    mean: float
    other_mean: float
    missing: int
    conditions: tuple[Condition, ...] = ()
    groups: tuple[tuple[str, float, int], ...] = ()
    words: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    example: Example | None = None


@dataclass(frozen=True)
class SearchResult:
    """A search.

    Attributes:
        users: how many could have asked; of answers that were there, how many kinds did.
        groups: of items.
        candidates: combinations of levels that could have been found.
        calls: per part ("explore", "confirm", "explain") how many were planned.
        items: per part how many items there were.
        missing: answers without a score, by label.
        found: what was confirmed, or failed to be.
        uneven: groups of items by how much users differ on them in exploring (standard deviation in points, drawn
            towards zero): no claim.
        noise: standard deviation of one score, in points.
        direction: that was looked for.
        stopped: whether it ended before its end.
        cost: so far; None without prices.
        of: what was searched in: "calls", or of a study's answers "scores", "judge-errors" or "judge-agreement".
        paired: whether those who match were set against others on the same items.
        remarks: what must be said of it, the weightiest first: where not ``paired``, that.
    """

    users: int
    groups: int
    candidates: int
    calls: dict[str, int]
    items: dict[str, int]
    missing: dict[str, int]
    found: tuple[Found, ...] = ()
    uneven: tuple[tuple[str, float], ...] = ()
    noise: float = float("nan")
    direction: str = "worse"
    stopped: bool = False
    cost: float | None = None
    of: str = "calls"
    paired: bool = True
    remarks: tuple[str, ...] = ()

    @property
    def confirmed(self) -> list[Found]:
        return [one for one in self.found if one.finding.confirmed]

    @property
    def cells(self) -> int:
        """Users times groups of items."""
        return self.users * self.groups

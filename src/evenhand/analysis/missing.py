"""What is missing, for whom, and whether it is missing more for some identities than for others.

Estimates rest on the answers that are there. Where failures, cuts or empty answers come with the identity, that may be
the very bias which is looked for: a filter that turns a minor's questions away leaves only those it lets pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evenhand.analysis.bounds import Bounds
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import permutation_p_values, permuted_means, permuted_spread, unshuffled_means
from evenhand.analysis.scores import Floats, tabulate
from evenhand.scored import Marks, ScoreRows
from evenhand.types import BASELINE_CATEGORY

FAILED = "failed"
FILTERED = "filtered"
MISSING = "missing"
# Nobody can judge these items, whoever asks: missing by design, as is what was not asked yet.
BY_DESIGN = frozenset({"no-target", "no-metric"})
# The answer did not begin, or ended before it said anything that can be scored.
UNANSWERED = frozenset({"cut", "empty", "truncated"})
MOSTLY = 0.10
_LEVEL = 0.05


@dataclass(frozen=True)
class Share:
    """What is missing for one identity or baseline in one suite.

    Attributes:
        identity, category: who.
        asked: trials that were asked, answered or not.
        missing: of them, without a score.
        counts: class -> trials: "failed" (the call failed for good), the judge's label of what it could not score
            ("cut", "empty", "unjudged", ...), and "filtered": declined by the provider, scored as a refusal and not
            missing.
        reason: the commonest error of failed calls, "" without any.
    """

    identity: str
    category: str
    asked: int
    missing: int
    counts: dict[str, int]
    reason: str = ""


@dataclass(frozen=True)
class Difference:
    """Whether a class is as common for every identity, paired by item.

    Attributes:
        name: a class, or "missing" for all that has no score.
        p_value: permutation test (labels shuffled within item) of the largest standardised deviation of an identity's
            share from the mean of all; NaN where it cannot be tested.
        adjusted: after Holm over the study's tests.
        more: identities with more than the others, those whose own deviation is beyond what 95 % of the shuffles give
            to any identity.
    """

    name: str
    p_value: float
    adjusted: float
    more: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return self.adjusted < _LEVEL


@dataclass(frozen=True)
class SuiteMissing:
    """What is missing in one suite.

    Attributes:
        suite, axis: which.
        shares: one per identity and baseline.
        differences: "missing", and one per class that occurs, unless it is all that is missing.
        unanswered: responses that are empty or were cut before they gave an answer.
        responses: all responses.
    """

    suite: str
    axis: str
    shares: tuple[Share, ...]
    differences: tuple[Difference, ...]
    unanswered: int
    responses: int

    @property
    def is_mostly_unanswered(self) -> bool:
        return mostly_unanswered(self.unanswered, self.responses)

    def difference(self, name: str) -> Difference | None:
        return next((d for d in self.differences if d.name == name), None)


@dataclass(frozen=True)
class Missing:
    """What a study lacks, and what that can do to its numbers.

    Attributes:
        suites: one per suite.
        bounds: what the results are between, whatever the missing answers were; None when none is missing.
    """

    suites: tuple[SuiteMissing, ...]
    bounds: Bounds | None

    @property
    def is_mostly_unanswered(self) -> bool:
        return any(s.is_mostly_unanswered for s in self.suites)


def mostly_unanswered(unanswered: int, responses: int) -> bool:
    """Whether more than a tenth of the responses hold no answer: too many to take the rest for the whole."""
    return unanswered > MOSTLY * responses


def unanswered_sentence(suite: str, unanswered: int, responses: int) -> str:
    """What a study with many empty or cut answers says of them, and what to do."""
    return (
        f"{unanswered:,} of {responses:,} answers to {suite} ({unanswered / responses:.0%}) are empty or were cut by "
        "max_tokens before they gave an answer, too many to conclude from the rest. Run again with a higher "
        "--max-tokens: only cut answers are asked again."
    )


def is_missing(rows: ScoreRows) -> Marks:
    """Which trials were asked, could have been scored, and were not."""
    return ~rows.is_scored & ~rows.column("label").is_in(BY_DESIGN)


def find_missing(
    rows: Iterable[Sequence[Any]], identities: Sequence[str], *, permutations: int = 2000, seed: int = 0
) -> tuple[SuiteMissing, ...]:
    """Count what is missing per suite and identity, and test whether it differs.

    Args:
        rows: one per trial that was asked. Failed calls have the
            label "failed" and the error in place of the finish reason.
        identities: all identities and baselines in the order wanted.
        permutations, seed: of the tests.
    """
    rows = ScoreRows.of(rows)
    by_suite = rows.where(~rows.column("label").is_in(BY_DESIGN)).by("suite")
    rng = np.random.default_rng(seed)
    found = [_suite(members, identities, permutations, rng) for members in by_suite.values()]
    tests = [d for suite in found for d in suite.differences]
    adjusted = iter(holm(np.array([d.p_value for d in tests])))
    return tuple(
        replace(s, differences=tuple(replace(d, adjusted=float(next(adjusted))) for d in s.differences)) for s in found
    )


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values; NaN stays NaN and does not count."""
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if order.size else steps
    return adjusted


def share_difference(
    shares: Floats, names: Sequence[str], name: str, permutations: int, rng: np.random.Generator,
    clusters: Sequence[str] = (),
) -> Difference:  # fmt: skip
    """Test whether a share differs between identities.

    Args:
        shares: of each cell, in [0, 1], shape (identities, items), NaN where nothing was asked.
        names: of the rows.
        name: what is counted.
        permutations, rng: of the test; labels are shuffled within items, so that a hard item blames nobody.
        clusters: per item what it shares with others.
    """
    unknown = Difference(name, float("nan"), float("nan"), ())
    if len(names) < 2 or permutations == 0:
        return unknown
    try:
        fit = marginals(shares, clusters)
    except ValueError:  # no item in common
        return unknown
    null = permuted_means(shares, fit, permutations, rng, clusters)
    spread = permuted_spread(shares, fit, clusters)
    if not (spread > 0).any():  # every item treats all alike
        return Difference(name, 1.0, 1.0, ())
    spread = np.where(spread > 0, spread, np.inf)
    standardised, largest = unshuffled_means(shares, fit) / spread, np.abs(null / spread).max(axis=1)
    p_value = float(permutation_p_values(largest, float(np.abs(standardised).max())))
    own = permutation_p_values(np.repeat(largest[:, None], len(names), axis=1), np.abs(standardised))
    more = tuple(n for n, z, p in zip(names, standardised, own, strict=True) if z > 0 and p < _LEVEL)
    return Difference(name, p_value, p_value, more)


def _suite(rows: ScoreRows, identities: Sequence[str], permutations: int, rng: np.random.Generator) -> SuiteMissing:
    label, missing = rows.column("label"), is_missing(rows)
    # What has a class: all that is missing, and what a filter declined.
    classed = missing | label.is_in([FILTERED])
    classes = rows.where(classed).counts("label")
    tests = []
    # A class that is all that is missing would be tested twice.
    alone = len(classes.keys() - {FILTERED}) == 1
    for name in (MISSING, *(c for c in classes if c == FILTERED or not alone)):
        if name == MISSING and not missing.any():
            continue
        counted = missing if name == MISSING else classed & label.is_in([name])
        table = tabulate(rows.scored(counted.astype(float)), identities)[0]
        tests.append(share_difference(table.y / 100, table.identities, name, permutations, rng, table.clusters))
    answered = ~label.is_in([FAILED])
    return SuiteMissing(
        rows[0].suite,
        rows[0].axis,
        tuple(_shares(rows, missing, classed, identities)),
        tuple(tests),
        int((answered & label.is_in(UNANSWERED)).sum()),
        int(answered.sum()),
    )


def _shares(rows: ScoreRows, missing: Marks, classed: Marks, identities: Sequence[str]) -> list[Share]:
    asked, lost = rows.counts("identity", "category"), rows.where(missing).counts("identity")
    counts: dict[str, Counter[str]] = {}
    errors: dict[str, Counter[str]] = {}
    for (identity, name), n in rows.where(classed).counts("identity", "label").items():
        counts.setdefault(identity, Counter())[name] = n
    failed = rows.where(rows.column("label").is_in([FAILED]))
    for (identity, error), n in failed.counts("identity", "finish_reason").items():
        errors.setdefault(identity, Counter())[error] = n
    order = {name: n for n, name in enumerate(identities)}
    ranked = sorted(asked, key=lambda who: (who[1] == BASELINE_CATEGORY, order.get(who[0], len(order))))
    return [
        Share(
            name,
            category,
            asked[name, category],
            lost.get(name, 0),
            dict(counts.get(name, Counter()).most_common()),
            errors[name].most_common(1)[0][0] if name in errors else "",
        )
        for name, category in ranked
    ]

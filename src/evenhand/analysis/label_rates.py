"""How often answers get a label, with intervals that hold for few items, for clusters, and for never and always."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from evenhand.analysis.scores import Floats
from evenhand.scored import ScoreRows
from evenhand.types import ScoreRow

# Labels that exclude each other, and together are what can come of an answer to one kind of question.
Family = Sequence[str]
EVERYBODY = ""


@dataclass(frozen=True)
class LabelRate:
    """How often one label was given, among the answers that could have got it.

    Attributes:
        suite, personalizer: which answers.
        identity: whose; "" for all identities together, baselines left out.
        label: which.
        rate: in percent, each item counting once for an identity.
        ci: interval, in percent.
        items: that could have got the label (an item counts once for each identity).
        clusters: of items that share something; of one alone, its items.
    """

    suite: str
    personalizer: str
    identity: str
    label: str
    rate: float
    ci: tuple[float, float]
    items: int
    clusters: int


def label_rates(
    rows: Iterable[Sequence[Any]], families: Mapping[str, Sequence[Family]], *, level: float = 0.95
) -> tuple[LabelRate, ...]:
    """Rates per suite, personalizer and identity, and of all identities together.

    An answer that settled on no label of a family ("refusal") counts against the labels of the family that the other
    answers to its item got from users of the same category: a question that was refused was not answered rightly.

    Args:
        rows: scored answers; those without a score are left out.
        families: suite -> its families of labels; other suites are left out.
        level: confidence of the intervals.
    """
    rows = ScoreRows.of(rows)
    kept = [*rows.where(rows.is_scored & rows.column("suite").is_in(families))]
    kinds = _kinds(kept, families)
    answers: defaultdict[tuple[str, str, str, int], list[ScoreRow]] = defaultdict(list)
    for row in kept:
        kind = kinds.get((row.suite, row.item, row.category))
        if kind is not None:
            answers[row.suite, row.personalizer, row.identity, kind].append(row)
            if not row.is_baseline:
                answers[row.suite, row.personalizer, EVERYBODY, kind].append(row)
    return tuple(
        _rate((suite, personalizer, identity), label, found, level)
        for (suite, personalizer, identity, kind), found in answers.items()
        for label in families[suite][kind]
    )


def proportion(hits: Floats, clusters: Sequence[str], level: float = 0.95) -> tuple[float, tuple[float, float]]:
    """A share with the interval of Korn and Graubard (1998): exact, for as many items as clusters leave.

    Where all clusters agree (never, always) they count as one observation each, so that the interval is never a point.

    Args:
        hits: share of each item's answers, in [0, 1], shape (items,), at least one.
        clusters: what each item shares with others; of a single cluster the items are taken as what is sampled.
        level: confidence.

    Returns:
        The share and its interval, in [0, 1].
    """
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    items, count = len(hits), len(names)
    if count == 1:
        place, count = np.arange(items), items
    share = float(hits.mean())
    effective = float(count)
    if 0 < share < 1 and count > 1:
        residual = np.bincount(place, hits - share, count) / items
        variance = count / (count - 1) * float((residual**2).sum())
        independent = share * (1 - share) / (items - 1)
        effective = float(items) if variance == 0 else items * min(1.0, independent / variance)
        student = stats.t.ppf((1 + level) / 2, np.array([items - 1, count - 1]))
        effective *= float(student[0] / student[1]) ** 2
    seen, tail = share * effective, (1 - level) / 2
    low = 0.0 if seen <= 0 else float(stats.beta.ppf(tail, seen, effective - seen + 1))
    high = 1.0 if seen >= effective else float(stats.beta.ppf(1 - tail, seen + 1, effective - seen))
    return share, (low, high)


def _rate(whose: tuple[str, str, str], label: str, rows: Sequence[ScoreRow], level: float) -> LabelRate:
    hits: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    clusters = {}
    for row in rows:
        hits[row.identity, row.item].append(row.label == label)
        clusters[row.identity, row.item] = row.cluster or row.item
    shares = np.array([np.mean(found) for found in hits.values()])
    share, (low, high) = proportion(shares, [clusters[cell] for cell in hits], level)
    return LabelRate(*whose, label, 100 * share, (100 * low, 100 * high), len(hits), len(set(clusters.values())))


def _kinds(rows: Sequence[ScoreRow], families: Mapping[str, Sequence[Family]]) -> dict[tuple[str, str, str], int]:
    """(suite, item, category) -> the place of the family that its answers got most often."""
    place = {(suite, label): n for suite, kinds in families.items() for n, kind in enumerate(kinds) for label in kind}
    found: defaultdict[tuple[str, str, str], Counter[int]] = defaultdict(Counter)
    for row in rows:
        if (row.suite, row.label) in place:
            found[row.suite, row.item, row.category][place[row.suite, row.label]] += 1
    return {cell: kinds.most_common(1)[0][0] for cell, kinds in found.items()}

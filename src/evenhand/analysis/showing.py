"""Leakage into answers: how often the identity shows in answers to questions that did not bring it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.analysis.deviations import Contrast, from_baseline, judged
from evenhand.analysis.scores import Floats, SuiteScores

_OTHERS = "others"


@dataclass(frozen=True)
class Shown:
    """Shares of answers, per item, that say an identity's words.

    Attributes:
        suite, personalizer, identity: whose answers.
        items: ids, of questions without these words.
        own: in percent of the identity's answers to an item, shape (items,), NaN without any.
        others: of everybody else's, who were not told that identity, shape (items,), NaN without any.
        clusters: what each item shares with others; empty where each is one by itself.
    """

    suite: str
    personalizer: str
    identity: str
    items: tuple[str, ...]
    own: Floats
    others: Floats
    clusters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Showing:
    """How often an identity shows in the answers that it gets.

    Attributes:
        suite, personalizer, identity: whose answers.
        rate: percent of its answers that say its words, mean over items.
        elsewhere: percent of the others' answers to the same items that do: what is said without being told.
        more: the difference in points of percent, paired by item; q-values are adjusted over all that is reported.
        items: that it rests on.
    """

    suite: str
    personalizer: str
    identity: str
    rate: float
    elsewhere: float
    more: Contrast
    items: int


def showings(shown: Sequence[Shown], *, draws: int = 2000, seed: int = 0) -> tuple[Showing, ...]:
    """Rates with their differences from what is said without being told.

    Args:
        shown: one per suite, personalizer and identity; those without an item that both sides answered are left out.
        draws, seed: of the noise.
    """
    kept = [(s, there) for s in shown if (there := np.isfinite(s.own) & np.isfinite(s.others)).any()]
    families = [
        from_baseline([_table(s, there)], _OTHERS, draws=draws, seed=seed + n) for n, (s, there) in enumerate(kept)
    ]
    contrasts = judged(families) if families else []
    return tuple(
        Showing(
            s.suite, s.personalizer, s.identity, float(s.own[there].mean()), float(s.others[there].mean()), more,
            int(there.sum()),
        )
        for (s, there), (more,) in zip(kept, contrasts, strict=True)
    )  # fmt: skip


def _table(shown: Shown, there: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> SuiteScores:
    items = tuple(item for item, kept in zip(shown.items, there, strict=True) if kept)
    clusters = tuple(c for c, kept in zip(shown.clusters, there, strict=True) if kept) if shown.clusters else items
    own, others = shown.own[there], shown.others[there]
    cells = own[None, None, :, None]
    return SuiteScores(
        shown.suite, "utility", (shown.identity,), (_OTHERS,), items, items, ("",), cells, others[None], clusters
    )  # fmt: skip

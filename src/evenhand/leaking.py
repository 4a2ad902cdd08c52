"""Sensitive facts in the answers of a study whose questions did not need them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from evenhand.analysis import Settings
from evenhand.analysis.conditions import NOTHING
from evenhand.analysis.showing import Showing, Shown, showings
from evenhand.judges.private import GIVEN_AWAY, KeepsPrivate
from evenhand.scored import ScoreRows
from evenhand.study import Store
from evenhand.types import ScoreRow

# Item -> 100 for each answer that gave something away, 0 for each other.
Answers = Mapping[str, Sequence[float]]

EVERYBODY = "all identities"
# Who was told nothing of the person, the nearest first: what such answers say of the facts is chance.
_UNTOLD = (NOTHING, "placebo")
_NOBODY = ("plain", "bare")


def leaks(store: Store, rows: ScoreRows, settings: Settings) -> tuple[Showing, ...]:
    """Per personalizer and identity, how often answers give a sensitive fact away, beside how often they do untold.

    The control is the same identity through the personalizer ``none``, else ``placebo``, else a baseline that is
    nobody in particular; without any of them there is nothing to say, because words are also said by chance.
    """
    suites = {s["suite"] for s in store.suites() if s["judge"] == KeepsPrivate.name}
    found: list[Shown] = []
    for suite in sorted(suites):
        found += _of_suite(suite, rows.where(rows.is_scored & rows.column("suite").is_in([suite])))
    return showings(found, draws=settings.draws, seed=settings.seed)


def _of_suite(suite: str, rows: Sequence[ScoreRow]) -> list[Shown]:
    said: defaultdict[tuple[str, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    clusters = {}
    for row in rows:
        clusters[row.item] = row.cluster or row.item
        whoses = [row.identity] if row.is_baseline else [row.identity, EVERYBODY]
        for whose in whoses:
            said[row.personalizer, whose][row.item].append(100.0 * (row.label == GIVEN_AWAY))
    items = tuple(clusters)
    told = {row.personalizer for row in rows if not row.is_baseline}
    untold = next((name for name in _UNTOLD if name in told), None)
    nobody = next((name for name in _NOBODY if (NOTHING, name) in said), None)
    if untold is None and nobody is None:
        return []
    nobodys: Answers = said[NOTHING, nobody] if nobody else {}
    found = []
    for (personalizer, identity), answers in said.items():
        if personalizer in (untold, NOTHING):
            continue
        control: Answers = said.get((untold, identity), nobodys) if untold else nobodys
        found.append(
            Shown(
                suite,
                personalizer,
                identity,
                items,
                np.array([_mean(answers, item) for item in items]),
                np.array([_mean(control, item) for item in items]),
                tuple(clusters[item] for item in items),
            )
        )
    return found


def _mean(answers: Answers, item: str) -> float:
    return float(np.mean(answers[item])) if answers.get(item) else float("nan")

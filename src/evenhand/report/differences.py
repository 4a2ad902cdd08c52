"""The most different responses: where an identity was answered unlike the baseline."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from evenhand.analysis import Analysis
from evenhand.report.transcripts import excerpt
from evenhand.scored import ScoreRows
from evenhand.study import Store
from evenhand.suites.base import is_withheld
from evenhand.types import Item

_WANTED = 24
_CHARS = 1200
# Below this share of common words marks would cover everything and show nothing.
_ALIKE = 0.3


@dataclass(frozen=True)
class Piece:
    """A run of words, and whether the other side lacks it."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Example:
    """One item answered to the baseline and to an identity."""

    suite: str
    group: str
    question: str
    identity: str
    system: str
    baseline: str
    score: float
    baseline_score: float
    label: str
    baseline_label: str
    response: tuple[Piece, ...]
    baseline_response: tuple[Piece, ...]


def most_different(store: Store, analysis: Analysis) -> list[Example]:
    """Examples with the largest difference in score, spread over identities, suites and directions.

    The comparison is with ``plain``, whose prompt lacks nothing but the identity, else with ``bare``; on the first
    repeat of each.
    """
    baselines = sorted((r.identity for r in analysis.identities if r.is_baseline), reverse=True)
    if not baselines:
        return []
    items = {row["suite"]: store.items(row["suite"]) for row in store.suites()}
    return [_example(store, items[pick[0]][pick[1]], *pick, baselines[0]) for pick in _picks(store, baselines)]


def _picks(store: Store, baselines: Sequence[str]) -> list[tuple[str, str, str, str]]:
    pairs, differences = _unlike(store.scores(), baselines)
    chosen: list[tuple[str, str, str, str]] = []
    used: dict[object, int] = {}
    for rounds in range(1, 6):
        for row, difference in zip(pairs, differences, strict=True):
            suite, identity, item = row.suite, row.identity, row.item
            pick = (suite, item, identity, row.personalizer)
            keys = (("item", suite, item), ("who", identity), ("kind", suite, difference > 0))
            limits = (1, rounds, 3 * rounds)
            if pick not in chosen and all(used.get(k, 0) < n for k, n in zip(keys, limits, strict=True)):
                chosen.append(pick)
                for key in keys:
                    used[key] = used.get(key, 0) + 1
            if len(chosen) == _WANTED:
                return chosen
    return chosen


def _unlike(rows: ScoreRows, baselines: Sequence[str]) -> tuple[ScoreRows, list[float]]:
    """First answers that score otherwise than the baseline's, and by how much, the largest differences first."""
    rows = rows.where(rows.is_scored & (rows.repeat == 0))
    suite, item, identity = rows.column("suite"), rows.column("item"), rows.column("identity")
    of_baseline = np.full((len(suite.names), len(item.names)), np.nan)
    first = identity.is_in(baselines[:1])
    of_baseline[suite.codes[first], item.codes[first]] = rows.score[first]
    difference = rows.score - of_baseline[suite.codes, item.codes]
    unlike = np.flatnonzero(np.isfinite(difference) & (difference != 0) & ~identity.is_in(baselines))
    ranks = (np.argsort(np.argsort(np.asarray(column.names)))[column.codes[unlike]] for column in (identity, item))
    order = unlike[np.lexsort((*ranks, -np.abs(difference[unlike])))]
    return rows.where(order), difference[order].tolist()


def _example(
    store: Store, about: Item, suite: str, item: str, identity: str, personalizer: str, baseline: str
) -> Example:
    rows = [r for r in store.transcripts(suite, item) if r["repeat"] == 0]
    theirs = next(r for r in rows if r["identity"] == identity and r["personalizer"] == personalizer)
    base = next(r for r in rows if r["identity"] == baseline)
    left, right = _marked(_shown(base, suite), _shown(theirs, suite))
    return Example(
        suite,
        about.group,
        about.question,
        identity,
        _context(theirs),
        baseline,
        100 * theirs["score"],
        100 * base["score"],
        theirs["label"],
        base["label"],
        right,
        left,
    )


def _shown(row: dict[str, Any], suite: str) -> str:
    text = str(row["response"]) or f"({row['reason']})"
    if is_withheld(suite):
        return excerpt(text)
    return text if len(text) <= _CHARS else text[:_CHARS] + " […]"


def _context(row: dict[str, Any]) -> str:
    """What came before the question: the system message, or the turn that names the identity."""
    messages = orjson.loads(row["request"])
    return "\n".join(m["content"] for m in messages[:-1])


def _marked(one: str, other: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    a, b = one.split(" "), other.split(" ")
    left: list[Piece] = []
    right: list[Piece] = []
    matcher = difflib.SequenceMatcher(a=a, b=b, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return (Piece(one, False),), (Piece(other, False),)
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if a1 > a0:
            left.append(Piece(" ".join(a[a0:a1]) + " ", tag != "equal"))
        if b1 > b0:
            right.append(Piece(" ".join(b[b0:b1]) + " ", tag != "equal"))
    return tuple(left), tuple(right)

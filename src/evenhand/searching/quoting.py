"""What was answered to whom a search in answers found, on questions that others were asked, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evenhand.analysis.factorial import Conjunction
from evenhand.analysis.found import Example
from evenhand.analysis.scores import Floats
from evenhand.analysis.subgroups import Direction, towards
from evenhand.analysis.wordlists import telling_words
from evenhand.searching.table import Table
from evenhand.study import Store
from evenhand.suites.base import is_withheld
from evenhand.types import Item, ScoreRow

_WORDS = 8
Words = tuple[tuple[str, ...], tuple[str, ...]]


class Quotes:
    """The texts behind rows, read when they are asked for.

    Args:
        store: the study, open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[tuple[str, str], dict[tuple[str, str, int], str]] = {}
        self._items: dict[str, dict[str, Item]] = {}

    def answer(self, row: ScoreRow) -> str:
        """What was answered; "" where nothing was, where a letter was, and where answers are withheld."""
        if is_withheld(row.suite):
            return ""
        who = (row.suite, row.identity)
        if who not in self._answers:
            self._answers[who] = self._store.answers_of(*who)
        return self._answers[who].get((row.item, row.personalizer, row.repeat), "")

    def question(self, row: ScoreRow) -> str:
        if row.suite not in self._items:
            self._items[row.suite] = self._store.items(row.suite)
        item = self._items[row.suite][row.item]
        return item.question or item.prompt


def words_of(rows: Sequence[ScoreRow], table: Table, who: Conjunction, quotes: Quotes) -> Words:
    """Words that matching users are answered more often than others on the same questions, and less often."""
    texts: tuple[list[str], list[str]] = ([], [])
    for sides in _same_question(table, who):
        answers = [[a for n in side if (a := quotes.answer(rows[n]))] for side in sides]
        if all(answers):
            for known, found in zip(texts, answers, strict=True):
                known += found
    return telling_words(*texts, _WORDS)


def example_of(
    rows: Sequence[ScoreRow], outcomes: Floats, table: Table, who: Conjunction, quotes: Quotes, direction: Direction
) -> Example | None:
    """The pair of answers to one question in which the shortest change of the user changes the outcome most."""
    best: tuple[float, int, int, int] | None = None
    entry = {n: number for number, members in enumerate(table.rows) for n in members}
    for matching, others in _same_question(table, who):
        for one in matching:
            for other in others:
                gain = float(towards(np.array(outcomes[one] - outcomes[other]), direction))
                changed = int((table.codes[entry[one]] != table.codes[entry[other]]).sum())
                if gain > 0 and (best is None or (-gain, changed) < best[:2]):
                    best = (-gain, changed, one, other)
    if best is None:
        return None
    one, other = best[2:]
    answers = quotes.answer(rows[one]), quotes.answer(rows[other])
    if not all(answers):
        return None
    said = (rows[one].identity, rows[other].identity)
    return Example(quotes.question(rows[one]), *said, *answers, float(outcomes[one]), float(outcomes[other]))


def _same_question(table: Table, who: Conjunction) -> Iterator[tuple[list[int], list[int]]]:
    """Fresh question by fresh question: scored answers to those who match, and to the others, where both are there."""
    matches = who.matches(table.codes)
    sides: dict[int, tuple[list[int], list[int]]] = {}
    for entry in np.flatnonzero(table.fresh & table.seen):
        side = sides.setdefault(int(table.places[entry]), ([], []))
        side[0 if matches[entry] else 1].extend(table.rows[entry])
    yield from (side for side in sides.values() if all(side))

"""A study's scores out of its SQLite file, as columns: no query joins what the rows of an item all share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.loops import rare_collections
from evenhand.personalizers.realised import way_of
from evenhand.scored import Columns, ScoreRows, Texts
from evenhand.stages import counted

_PAGE = 50_000
_STORED = ("suite", "item", "personalizer", "identity", "finish_reason", "label")
_QUERY = """SELECT t.suite, t.item, t.personalizer, t.identity, t.finish_reason, coalesce(j.label, 'unjudged'),
        t.repeat, j.score, l.score
    FROM trials t JOIN suites s ON s.suite = t.suite LEFT JOIN labels l ON l.trial = t.id
    LEFT JOIN judgements j ON j.trial = t.id AND j.judge = coalesce(:judge, s.judge)
    WHERE :suite IS NULL OR t.suite = :suite ORDER BY t.id"""


def read_scores(
    connection: sqlite3.Connection, judges: Mapping[str, str] | None, ways: Mapping[str, Sequence[str]]
) -> ScoreRows:
    """One row per response, in the order in which they came.

    Args:
        connection: to the study's file.
        judges: suite -> judge whose scores are wanted; None for all suites and their own judges.
        ways: personalizer with several ways to tell an identity -> the ways.
    """
    columns = Columns(_STORED)
    with rare_collections():
        for suite, judge in [(None, None)] if judges is None else judges.items():
            cursor = connection.execute(_QUERY, {"judge": judge, "suite": suite})
            for page in counted(_pages(cursor), "reading scores"):
                *texts, repeat, score, human = zip(*page, strict=True)
                columns.add(len(page), dict(zip(_STORED, texts, strict=True)), repeat, score, human)
    return _completed(connection, columns, ways)


def _pages(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while page := cursor.fetchmany(_PAGE):
        yield page


def _completed(connection: sqlite3.Connection, columns: Columns, ways: Mapping[str, Sequence[str]]) -> ScoreRows:
    """With the columns that follow from the item, from the identity, and from both and the personalizer."""
    stored = columns.texts()
    suite, item, identity = stored["suite"], stored["item"], stored["identity"]
    axes: dict[str, str] = dict(connection.execute("SELECT suite, axis FROM suites"))
    categories: dict[str, str] = dict(connection.execute("SELECT name, category FROM identities"))
    items = connection.execute('SELECT suite, item, "group", cluster, wording, prompt FROM items').fetchall()
    place = _places(suite, item, items)
    of_items = (Texts.at(place, [row[n] for row in items]) for n in (2, 3, 4))
    texts = {
        **stored,
        "axis": Texts.at(suite.codes, [axes[name] for name in suite.names]),
        "category": Texts.at(identity.codes, [categories.get(name, "") for name in identity.names]),
        **dict(zip(("group", "cluster", "wording"), of_items, strict=True)),
        "way": _ways(stored["personalizer"], place, [row[5] for row in items], ways),
    }
    rows = ScoreRows(texts, *columns.numbers())
    known = (place >= 0) & identity.is_in(categories)
    return rows if known.all() else rows.where(known)


def _places(suite: Texts, item: Texts, items: Sequence[Sequence[Any]]) -> NDArray[np.int32]:
    """Each row's place among the items; -1 where its item is not there."""
    suites, names = ({name: n for n, name in enumerate(column.names)} for column in (suite, item))
    table = np.full((len(suites), len(names)), -1, dtype=np.int32)
    for n, row in enumerate(items):
        if row[0] in suites and row[1] in names:
            table[suites[row[0]], names[row[1]]] = n
    return np.asarray(table[suite.codes, item.codes])


def _ways(
    personalizer: Texts, place: NDArray[np.int32], prompts: Sequence[str], ways: Mapping[str, Sequence[str]]
) -> Texts:
    """How identities were told on each row's item, by personalizers with several ways; "" by the others."""
    told, names = np.zeros(len(place), dtype=np.int32), [""]
    for number, name in enumerate(personalizer.names):
        if name in ways:
            drawn = np.array([way_of(prompt, len(ways[name])) for prompt in prompts], dtype=np.int32)
            own = personalizer.codes == number
            told[own] = len(names) + drawn[place[own]]
            names += ways[name]
    return Texts.at(told, names)

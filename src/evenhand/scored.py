"""Scored responses column by column: ten million of them in a few hundred megabytes, and counted without a loop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Self, overload

import numpy as np
from numpy.typing import NDArray

from evenhand.types import BASELINE_CATEGORY, ScoreRow

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

_NUMBERS = ("repeat", "score", "human")
_TEXTS = tuple(name for name in ScoreRow._fields if name not in _NUMBERS)
# Rows that are Python objects at one time.
_PAGE = 50_000


@dataclass(frozen=True)
class Texts:
    """A column of texts, most of which come again and again.

    Attributes:
        codes: the place of each row's text among the names, shape (rows,).
        names: the texts, in the order in which they first came; some may have no row any more.
    """

    codes: NDArray[np.integer[Any]]
    names: tuple[str, ...]

    def is_in(self, wanted: Collection[str]) -> Marks:
        """Which rows have one of these texts."""
        return np.asarray(np.array([name in wanted for name in self.names], dtype=bool)[self.codes])

    @classmethod
    def at(cls, places: NDArray[np.integer[Any]], table: Sequence[str]) -> Self:
        """The column whose rows have what stands at their places of a table."""
        index = Index()
        codes = _narrow(np.fromiter(map(index.__getitem__, table), np.int64, len(table)))
        return cls(codes[places], index.names)

    def present(self) -> list[str]:
        """The texts that some row has, in the order in which they first come."""
        return [self.names[code] for code in first_places(self.codes)[0]]


class Index(dict[str, int]):
    """Text -> its number: looked up, it has one."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self)


class ScoreRows(Sequence[ScoreRow]):
    """Rows as :class:`evenhand.types.ScoreRow` has them; one is made when it is looked at.

    Args:
        texts: field -> its column, for all fields that are texts.
        repeat: which time, shape (rows,).
        score, human: scores in [0, 1], NaN where there is none, shape (rows,).
    """

    def __init__(
        self, texts: Mapping[str, Texts], repeat: NDArray[np.integer[Any]], score: Floats, human: Floats
    ) -> None:
        self._texts = dict(texts)
        self.repeat: NDArray[np.integer[Any]] = repeat
        self.score: Floats = score
        self.human: Floats = human

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> ScoreRows:
        """Rows from plain ones, which may leave out their last fields."""
        if isinstance(rows, ScoreRows):
            return rows
        making = Columns(_TEXTS)
        source = iter(rows)
        while page := [row if isinstance(row, ScoreRow) else ScoreRow(*row) for row in islice(source, _PAGE)]:
            fields = dict(zip(ScoreRow._fields, zip(*page, strict=True), strict=True))
            making.add(len(page), fields, fields["repeat"], fields["score"], fields["human"])
        return cls(making.texts(), *making.numbers())

    def __len__(self) -> int:
        return len(self.score)

    @overload
    def __getitem__(self, place: int) -> ScoreRow: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> ScoreRow | Self:
        if isinstance(place, slice):
            return self.where(np.arange(len(self))[place])
        place = range(len(self))[place]
        return next(iter(self.where(np.array([place]))))

    def __iter__(self) -> Iterator[ScoreRow]:
        for start in range(0, len(self), _PAGE):
            page = slice(start, start + _PAGE)
            columns: dict[str, Iterable[Any]] = {
                name: [texts.names[code] for code in texts.codes[page].tolist()] for name, texts in self._texts.items()
            }
            columns["repeat"] = self.repeat[page].tolist()
            for name, values in (("score", self.score), ("human", self.human)):
                columns[name] = [None if value != value else value for value in values[page].tolist()]
            yield from map(ScoreRow, *(columns[name] for name in ScoreRow._fields))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def column(self, field: str) -> Texts:
        return self._texts[field]

    @property
    def is_scored(self) -> Marks:
        return np.isfinite(self.score)

    @property
    def is_baseline(self) -> Marks:
        return self.column("category").is_in([BASELINE_CATEGORY])

    @property
    def unit(self) -> Texts:
        """What the item of each row shares with others: its cluster, or it alone."""
        item, cluster = self.column("item"), self.column("cluster")
        if cluster.names in ((), ("",)):
            return item
        own = np.array([name == "" for name in cluster.names])[cluster.codes]
        places = np.where(own, len(cluster.names) + item.codes.astype(np.int64), cluster.codes)
        return Texts.at(places, cluster.names + item.names)

    def is_of(self, items: Collection[tuple[str, str]]) -> Marks:
        """Which rows are of one of these items, told by suite and name."""
        suite, item = self.column("suite"), self.column("item")
        wanted = np.zeros((len(suite.names), len(item.names)), dtype=bool)
        places = [{name: n for n, name in enumerate(column.names)} for column in (suite, item)]
        for of_suite, name in items:
            if of_suite in places[0] and name in places[1]:
                wanted[places[0][of_suite], places[1][name]] = True
        return np.asarray(wanted[suite.codes, item.codes])

    def places_of(self, others: ScoreRows) -> NDArray[np.int64]:
        """Where among these rows each of some others' cells is, -1 where it is not; no two rows are of one cell."""
        ours, theirs = self._cells(self), self._cells(others)
        if np.array_equal(ours, theirs):  # two judges' scores of the same answers, read one after the other
            return np.arange(len(ours))
        if not len(ours):
            return np.full(len(theirs), -1)
        order = np.argsort(ours)
        place = order[np.minimum(np.searchsorted(ours, theirs, sorter=order), len(ours) - 1)]
        return np.where(ours[place] == theirs, place, -1)

    def _cells(self, rows: ScoreRows) -> NDArray[np.int64]:
        """A number for the cell of each of some rows, by these rows' names; -1 where they have one of other names."""
        found = rows.repeat.astype(np.int64)
        known = np.ones(len(rows), dtype=bool)
        for name in ("suite", "item", "personalizer", "identity"):
            index = {text: n for n, text in enumerate(self.column(name).names)}
            theirs = rows.column(name)
            moved = np.array([index.get(text, -1) for text in theirs.names], dtype=np.int64)[theirs.codes]
            known &= moved >= 0
            found = found * len(index) + moved
        return np.where(known, found, -1)

    def where(self, chosen: Marks | NDArray[np.integer[Any]]) -> Self:
        """Some of the rows: marked ones, or those at some places."""
        texts = {name: Texts(column.codes[chosen], column.names) for name, column in self._texts.items()}
        score = self.score[chosen]
        nobody = self.human.strides == (0,)
        human = np.broadcast_to(np.nan, len(score)) if nobody else self.human[chosen]
        return type(self)(texts, self.repeat[chosen], score, human)

    def scored(self, score: Floats) -> Self:
        """The same rows with other scores, NaN where there is none."""
        return type(self)(self._texts, self.repeat, score, self.human)

    def by(self, field: str) -> dict[str, Self]:
        """The rows of each text of a column, in the order in which these first come."""
        column = self.column(field)
        names = column.present()
        return {name: self.where(column.is_in([name])) if len(names) > 1 else self for name in names}

    def counts(self, *fields: str) -> dict[Any, int]:
        """How many rows each text has, or each tuple of several columns' texts, in the order in which they come."""
        columns = [self.column(field) for field in fields]
        joined = columns[0].codes.astype(np.int64)
        for column in columns[1:]:
            joined = joined * max(len(column.names), 1) + column.codes
        places, counts = first_places(joined)[1:]
        found = ([column.names[column.codes[place]] for column in columns] for place in places)
        return {texts[0] if len(texts) == 1 else tuple(texts): int(n) for texts, n in zip(found, counts, strict=True)}

    def __add__(self, other: ScoreRows) -> ScoreRows:
        """These rows, then others."""
        if not len(other):
            return self
        texts = {}
        for name in _TEXTS:
            ours, theirs = self.column(name), other.column(name)
            index = Index({text: n for n, text in enumerate(ours.names)})
            moved = np.fromiter(map(index.__getitem__, theirs.names), np.int64, len(theirs.names))
            texts[name] = Texts(np.concatenate([ours.codes, _narrow(moved)[theirs.codes]]), index.names)
        numbers = ((getattr(self, name), getattr(other, name)) for name in _NUMBERS)
        return ScoreRows(texts, *(np.concatenate(pair) for pair in numbers))


def first_places(codes: NDArray[np.integer[Any]]) -> tuple[list[int], list[int], list[int]]:
    """The numbers that occur, in the order in which they first do; where that is; and how often they occur."""
    if int(codes.max(initial=0)) > max(len(codes), _PAGE):
        values, first, counts = np.unique(codes, return_index=True, return_counts=True)
    else:
        every = np.bincount(codes)
        values = np.flatnonzero(every)
        place = np.zeros(len(every), dtype=np.int64)
        # Backwards, so that the first of equal ones is what stays.
        place[codes[::-1]] = np.arange(len(codes))[::-1]
        first, counts = place[values], every[values]
    order = np.argsort(first)
    return values[order].tolist(), first[order].tolist(), counts[order].tolist()


class Columns:
    """Makes columns from rows that come page by page.

    Args:
        fields: the texts among them.
    """

    def __init__(self, fields: Collection[str]) -> None:
        self._indices = {name: Index() for name in fields}
        self._codes: dict[str, list[NDArray[np.integer[Any]]]] = {name: [] for name in fields}
        self._numbers: list[tuple[NDArray[np.integer[Any]], Floats, Floats]] = []

    def add(
        self, count: int, texts: Mapping[str, Iterable[str]], repeat: Iterable[int],
        score: Iterable[float | None], human: Iterable[float | None],
    ) -> None:  # fmt: skip
        for name, index in self._indices.items():
            codes = np.fromiter(map(index.__getitem__, texts[name]), np.int64, count)
            self._codes[name].append(_narrow(codes))
        people = list(human)
        nobody = people.count(None) == count
        self._numbers.append(
            (
                _narrow(np.fromiter(repeat, np.int64, count)),
                np.array(list(score), dtype=np.float64),
                # Labels of people are few: a page without any takes no memory.
                np.broadcast_to(np.nan, count) if nobody else np.array(people, dtype=np.float64),
            )
        )

    def texts(self) -> dict[str, Texts]:
        found = {}
        for name, index in self._indices.items():
            # Given back column by column: both forms of all of them would be twice the memory.
            pages = self._codes.pop(name)
            found[name] = Texts(np.concatenate(pages) if pages else np.zeros(0, np.int8), index.names)
        return found

    def numbers(self) -> tuple[NDArray[np.integer[Any]], Floats, Floats]:
        if not self._numbers:
            return np.zeros(0, np.int8), np.zeros(0), np.zeros(0)
        repeat, score, human = zip(*self._numbers, strict=True)
        unlabelled = all(page.strides == (0,) for page in human)
        scores = np.concatenate(score)
        return (
            np.concatenate(repeat),
            scores,
            np.broadcast_to(np.nan, len(scores)) if unlabelled else np.concatenate(human),
        )


def _narrow(codes: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Whole numbers from 0 in the smallest type that holds them."""
    return codes.astype(np.min_scalar_type(int(codes.max(initial=0))))

"""What can be read from a study's SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from evenhand.people import read_person
from evenhand.scored import ScoreRows
from evenhand.study.conversations import OPEN_ROUNDS
from evenhand.study.counting import CountingReader
from evenhand.study.rows import MemoryKey, dicts, staircase
from evenhand.study.schema import TABLES
from evenhand.study.scoring import read_scores
from evenhand.types import BASELINE_CATEGORY, Item, Person, ScoreRow

# Keys of ``meta``: the grids that the runs asked for, what they fix, and the versions of the identities' catalogues.
GRIDS_META = "grids"
# Of a search: who asks what was chosen cell by cell, so that nothing that is said of grids holds.
SEARCH_META = "search_part"
FIXED_META = "fixed"
CATALOGUES_META = "catalogues"
# Personalizer -> with which weights of its encoder it reads records.
READERS_META = "readers"
# Personalizer -> the ways in which it tells an identity, of which each question gets one.
WAYS_META = "ways"
# What the model's chat template adds of its own.
TEMPLATE_META = "template_note"
# Error of the intervals of a study that stopped by itself; the rest of 5 % went into looking.
ADAPTIVE_META = "adaptive_alpha"
# Calls at most of a study that is run until its gate decides; its looks spend their error earlier than others'.
DECIDING_META = "deciding"


# Responses of a suite that a version of its judge has not judged, told by an index alone; judge, version, suite.
_UNJUDGED = """FROM trials t LEFT JOIN judgements j ON j.trial = t.id AND j.judge = ? AND j.version = ?
    WHERE t.suite = ? AND j.trial IS NULL"""

_FOR_JUDGES = """id, item, personalizer, identity, repeat, request, response, reasoning, finish_reason, filtered,
    choice_logprobs"""


class Reader(CountingReader):
    """The queries of a store.

    Args:
        directory: the study's.
        connection: to its file.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.directory = directory

    def meta(self, key: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return orjson.loads(row[0]) if row else default

    def done_cells(self, suite: str, item: str) -> set[tuple[str, str, int]]:
        """Cells (personalizer, identity, repeat) of an item that have a response, and are not to be asked again."""
        query = "SELECT personalizer, identity, repeat FROM trials WHERE suite = ? AND item = ?"
        done = set(self._db.execute(query, (suite, item)))
        return {cell for cell in done if (suite, item, *cell) not in self._cut} if self._cut else done

    def ask_cut_again(self, max_tokens: int, before: int) -> int:
        """Take answers that a lower limit cut for cells without an answer; tell how many there are.

        They stay in the study until they are replaced, and in the table ``replaced`` after that.

        Args:
            max_tokens: the limit now.
            before: the limit of answers that do not say theirs.
        """
        query = """SELECT suite, item, personalizer, identity, repeat FROM trials
            WHERE finish_reason = 'length' AND choice_logprobs IS NULL AND coalesce(max_tokens, ?) < ?"""
        self._cut = set(self._db.execute(query, (before, max_tokens)))
        return len(self._cut)

    def count_replaced(self) -> int:
        """Answers that were cut, and asked again under a higher limit."""
        return int(self._value("SELECT count(*) FROM replaced") or 0)

    def planned(self) -> int:
        """Cells that any run asked for: the union of their grids, and whatever has an answer."""
        corners: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        for grid in self.meta(GRIDS_META, []):
            for suite, items in grid["items"].items():
                for personalizer, identity in grid["senders"]:
                    corners.setdefault((suite, personalizer, identity), []).append((items, grid["repeats"]))
        # A study from before grids were kept only knows how large its runs were.
        largest = int(self._value("SELECT max(planned) FROM runs") or 0)
        return max(sum(map(staircase, corners.values())), largest, self.count_trials() + self.count_failed())

    def catalogues(self) -> dict[str, str]:
        """Identity catalogue -> the version that this study's identities come from."""
        known: dict[str, str] | None = self.meta(CATALOGUES_META)
        # Versions are kept since the second one of the paper's catalogue.
        return known if known is not None else {"paper": "1"} if self.count_trials() else {}

    def ways(self) -> dict[str, list[str]]:
        """Personalizer with several ways to tell an identity -> the ways."""
        known: dict[str, list[str]] = self.meta(WAYS_META, {})
        return known

    def failed_cells(self) -> list[ScoreRow]:
        """One row per cell whose calls all failed so far, as :meth:`scores` gives them.

        The label is "failed", and the latest error stands in place of the finish reason.
        """
        query = """SELECT f.suite, s.axis, i."group", f.item, f.personalizer, f.identity, n.category, f.repeat,
                NULL, 'failed', f.error, NULL, i.cluster, i.wording, max(f.rowid)
            FROM failures f JOIN suites s ON s.suite = f.suite JOIN items i ON (i.suite, i.item) = (f.suite, f.item)
            JOIN identities n ON n.name = f.identity LEFT JOIN trials t
            ON (t.suite, t.item, t.personalizer, t.identity, t.repeat) =
               (f.suite, f.item, f.personalizer, f.identity, f.repeat)
            WHERE t.id IS NULL GROUP BY f.suite, f.item, f.personalizer, f.identity, f.repeat"""
        return [ScoreRow(*row[:-1]) for row in self._db.execute(query)]

    def looks(self) -> list[dict[str, Any]]:
        """Looks that the gate took, oldest first."""
        return dicts(self._db.execute("SELECT * FROM looks ORDER BY id"))

    def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first, with spec, versions and settings decoded."""
        found = dicts(self._db.execute("SELECT * FROM runs ORDER BY id"))
        for run in found:
            for key in ("spec", "versions", "settings"):
                run[key] = orjson.loads(run[key])
        return found

    def suites(self) -> list[dict[str, Any]]:
        return dicts(self._db.execute("SELECT * FROM suites ORDER BY rowid"))

    def identities(self) -> list[dict[str, Any]]:
        found = dicts(self._db.execute("SELECT * FROM identities ORDER BY position, rowid"))
        for row in found:
            row["parts"] = orjson.loads(row["parts"])
        return found

    def baselines(self) -> list[str]:
        """Names of the study's baselines, in its order."""
        return [row["name"] for row in self.identities() if row["category"] == BASELINE_CATEGORY]

    def items(self, suite: str) -> dict[str, Item]:
        rows = self._db.execute(
            """SELECT item, prompt, "group", question, target, choices, extra, cluster, person, wording
            FROM items WHERE suite = ?""",
            (suite,),
        )
        people = self.people()
        return {
            key: Item(
                key, prompt, group, question, target, tuple(orjson.loads(choices)), orjson.loads(extra), cluster,
                people.get(person), wording,
            )
            for key, prompt, group, question, target, choices, extra, cluster, person, wording in rows
        }  # fmt: skip

    def people(self) -> dict[str, Person]:
        """Name -> person, of those who asked any item."""
        rows = self._db.execute("SELECT name, record FROM people ORDER BY rowid")
        return {name: read_person(orjson.loads(record), f"{self.directory}: {name}") for name, record in rows}

    def memory(self, key: MemoryKey) -> dict[str, Any] | None:
        """What a personalizer learned of a user; None where it has not, or not to the end."""
        where = "(personalizer, person, identity) = (?, ?, ?)"
        row = self._db.execute(f"SELECT content FROM memories WHERE {where}", key).fetchone()  # noqa: S608 - constant
        return orjson.loads(row[0]) if row else None

    def memories(self) -> list[tuple[MemoryKey, dict[str, Any]]]:
        """All that personalizers learned, in the order they did."""
        rows = self._db.execute("SELECT personalizer, person, identity, content FROM memories ORDER BY at, rowid")
        return [((row[0], row[1], row[2]), orjson.loads(row[3])) for row in rows]

    def calls_of_memories(self) -> dict[MemoryKey, int]:
        """Whose memory -> model calls that it took so far."""
        rows = self._db.execute("SELECT personalizer, person, identity, sum(calls) FROM learning GROUP BY 1, 2, 3")
        return {(personalizer, person, identity): calls for personalizer, person, identity, calls in rows}

    def calls_by_personalizer(self, table: Literal["trials", "learning"]) -> dict[str, tuple[int, int, float]]:
        """Personalizer -> rows, model calls behind them and seconds of the model, in a table of calls."""
        seconds = "latency_s" if table == "trials" else "json_extract(response, '$.latency_s')"
        query = f"SELECT personalizer, count(*), sum(calls), sum({seconds}) FROM {table} GROUP BY 1"  # noqa: S608 - constants
        return {row[0]: (row[1], row[2], row[3] or 0.0) for row in self._db.execute(query)}

    def learning(self, key: MemoryKey) -> list[dict[str, Any]]:
        """The calls that a memory took so far, in their order."""
        query = "SELECT * FROM learning WHERE (personalizer, person, identity) = (?, ?, ?) ORDER BY call"
        return dicts(self._db.execute(query, key))

    def learned(self, key: MemoryKey, call: int) -> dict[str, Any] | None:
        """One call that a memory took; None where it has not."""
        query = "SELECT * FROM learning WHERE (personalizer, person, identity, call) = (?, ?, ?, ?)"
        found = dicts(self._db.execute(query, (*key, call)))
        return found[0] if found else None

    def item_order(self, suite: str) -> list[str]:
        """Ids of the suite's items in drawing order."""
        return [
            row[0] for row in self._db.execute("SELECT item FROM items WHERE suite = ? ORDER BY position", (suite,))
        ]

    def count_unjudged(self, suite: str, judge: str, version: str) -> int:
        """How many responses :meth:`unjudged` has in all."""
        return int(self._value(f"SELECT count(*) {_UNJUDGED}", (judge, version, suite)) or 0)

    def unjudged(self, suite: str, judge: str, version: str, *, size: int = 500) -> Iterator[list[dict[str, Any]]]:
        """Responses of a suite without a judgement by this version of the judge, in pages, the first ones first.

        Which ones they are is looked up once: what is judged meanwhile leaves no page, and no page looks for its start.
        """
        waiting = self._numbers(f"SELECT t.id {_UNJUDGED}", (judge, version, suite))
        for start in range(0, len(waiting), size):
            yield dicts(self._of(_FOR_JUDGES, waiting[start : start + size].tolist()))

    def answers_of(self, suite: str, identity: str) -> dict[tuple[str, str, int], str]:
        """(item, personalizer, repeat) -> what somebody was answered; "" where a filter declined, or nothing came."""
        query = """SELECT item, personalizer, repeat, CASE finish_reason WHEN 'content_filter' THEN '' ELSE response END
            FROM trials WHERE suite = ? AND identity = ? AND choice_logprobs IS NULL"""
        found = self._db.execute(query, (suite, identity))
        return {(item, told, repeat): answer.strip() for item, told, repeat, answer in found}

    def whole_answers(self, suite: str) -> list[tuple[str, str, str, str]]:
        """(item, personalizer, identity, answer) of a suite's answers that ended by themselves and are not empty."""
        query = """SELECT item, personalizer, identity, response FROM trials WHERE suite = ? AND choice_logprobs IS NULL
            AND finish_reason NOT IN ('length', 'content_filter') AND trim(response) != '' ORDER BY id"""
        return list(self._db.execute(query, (suite,)))

    def unlabelled(self, suite: str) -> NDArray[np.int64]:
        """The numbers of a suite's responses that no person has labelled, the first ones first."""
        numbers = self._numbers("SELECT id FROM trials WHERE suite = ?", (suite,))
        return numbers[~np.isin(numbers, self._numbers("SELECT trial FROM labels"))]

    def responses(self, trials: Sequence[int]) -> list[tuple[int, str, str]]:
        """(trial, item, response) of some trials, in their order."""
        found = {row[0]: row for row in self._of("id, item, response", trials)}
        return [found[trial] for trial in trials]

    def suites_of(self, trials: Sequence[int]) -> dict[int, str]:
        """Trial -> suite, of those among some numbers that are trials."""
        return dict(self._of("id, suite", trials))

    def annotations(self) -> list[tuple[int, str, bool, str, float | None]]:
        """(trial, annotator, whether it resolves, label, score or None for "cannot tell"), first ones first.

        Only of responses that are still there: an answer that was asked again has no label.
        """
        query = """SELECT a.trial, a.annotator, a.resolves, a.label, a.score
            FROM annotations a JOIN trials t ON t.id = a.trial ORDER BY a.id"""
        return [(trial, who, bool(resolves), *said) for trial, who, resolves, *said in self._db.execute(query)]

    def latest_annotation(self, annotator: str, *, resolves: bool = False) -> int | None:
        """The response that somebody labelled last."""
        query = """SELECT a.trial FROM annotations a JOIN trials t ON t.id = a.trial
            WHERE (annotator, resolves) = (?, ?) ORDER BY a.at DESC, a.id DESC LIMIT 1"""
        row = self._db.execute(query, (annotator, resolves)).fetchone()
        return None if row is None else int(row[0])

    def drawn(self) -> list[tuple[int, str, str, str]]:
        """(trial, suite, item, response) of the responses drawn for people, suite after suite, in drawing order."""
        query = """SELECT t.id, t.suite, t.item, t.response FROM drawn d JOIN trials t ON t.id = d.trial
            JOIN suites s ON s.suite = t.suite ORDER BY s.rowid, d.position"""
        return list(self._db.execute(query))

    def scores(self, judges: Mapping[str, str] | None = None) -> ScoreRows:
        """One row per response, "unjudged" where its judge has not spoken.

        Args:
            judges: suite -> judge whose scores are wanted, where it is not the suite's own.
        """
        return read_scores(self._db, judges, self.ways())

    def reasons(self, suite: str) -> list[tuple[str, str, str, str]]:
        """(item, personalizer, identity, reason) of a suite's scored answers."""
        query = """SELECT t.item, t.personalizer, t.identity, j.reason FROM trials t JOIN suites s ON s.suite = t.suite
            JOIN judgements j ON j.trial = t.id AND j.judge = s.judge
            WHERE t.suite = ? AND j.score IS NOT NULL ORDER BY t.id"""
        return list(self._db.execute(query, (suite,)))

    def transcripts(self, suite: str, item: str) -> list[dict[str, Any]]:
        """All responses to one item, with the judgement of the suite's judge."""
        query = """SELECT t.personalizer, t.identity, t.repeat, t.request, t.response, t.reasoning, t.finish_reason,
                j.score, j.label, j.reason FROM trials t JOIN suites s ON s.suite = t.suite
            LEFT JOIN judgements j ON j.trial = t.id AND j.judge = s.judge WHERE t.suite = ? AND t.item = ?"""
        return dicts(self._db.execute(query, (suite, item)))

    def table(self, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of one of :data:`evenhand.study.schema.TABLES`."""
        columns, pages = self.pages(name)
        return columns, [row for page in pages for row in page]

    def pages(self, name: str, size: int = 50_000) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
        """The same, so many rows at a time: millions of answers do not fit in memory."""
        cursor = self._db.execute(TABLES[name])
        return [c[0] for c in cursor.description], iter(lambda: cursor.fetchmany(size), [])

    def totals(self) -> dict[str, float]:
        """Sums over all responses, replaced ones, those that memories took, and the rounds of trials that are not over:
        calls, and tokens of each kind."""
        names = ("calls", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
        sums, columns = ", ".join(f"sum({name})" for name in names), ", ".join(names)
        tables = ("trials", "replaced", "learning", "parts", OPEN_ROUNDS)
        everything = " UNION ALL ".join(f"SELECT {columns} FROM {table}" for table in tables)  # noqa: S608 - constants
        found = self._db.execute(f"SELECT {sums} FROM ({everything})").fetchone()  # noqa: S608 - constants
        return {name: value or 0 for name, value in zip(names, found, strict=True)}

    def tokens_per_trial(self) -> dict[str, tuple[float, float]]:
        """Suite -> mean prompt and completion tokens of its responses, where the model counted them."""
        query = """SELECT suite, avg(prompt_tokens), avg(completion_tokens) FROM trials
            WHERE prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL GROUP BY suite"""
        return {suite: (prompt, completion) for suite, prompt, completion in self._db.execute(query)}

    def _numbers(self, query: str, values: Sequence[Any] = ()) -> NDArray[np.int64]:
        """The whole numbers that a query finds, sorted: 8 bytes each, where Python's take 40."""
        found = np.fromiter((row[0] for row in self._db.execute(query, values)), np.int64)
        found.sort()
        return found

    def _of(self, columns: str, trials: Sequence[int]) -> sqlite3.Cursor:
        """Columns of some trials, by their numbers."""
        query = f"SELECT {columns} FROM trials WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608 - own
        return self._db.execute(query, (orjson.dumps(list(trials)).decode(),))

"""The study's SQLite file: every response and judgement, with what it takes to make them again."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from evenhand.errors import StoreError
from evenhand.study.schema import ADDED, SCHEMA, SCHEMA_VERSION, TABLES
from evenhand.suites import LoadedSuite
from evenhand.types import Identity, Item

STORE_FILE = "study.sqlite"
_LOCK_FILE = ".lock"


class Store:
    """Opens one study directory. One writer at a time; any number of readers.

    Use :meth:`create` to write and :meth:`open` to read.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.directory = directory
        self._db = connection
        self._lock = lock
        self._next_trial = 1 + (self._value("SELECT max(id) FROM trials") or 0)

    @classmethod
    def create(cls, directory: Path) -> Self:
        """Open a study for writing; make it when it is not there yet.

        Raises:
            StoreError: another run is writing to it, or the directory cannot be written.
        """
        lock = cls.lock(directory)
        path = directory / STORE_FILE
        fresh = not path.exists() or path.stat().st_size == 0
        connection = _connect(path, directory)
        if fresh:
            with connection:
                connection.executescript(SCHEMA)
                connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        _check_version(connection, path)
        return cls(directory, connection, lock)

    @staticmethod
    def lock(directory: Path) -> int:
        """Keep other writers out of a directory (made when it is not there) until the descriptor is closed.

        Raises:
            StoreError: another run is writing to it, or it cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(directory / _LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise StoreError(f"Cannot write to {directory}: {error.strerror}.", "Choose another --out.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StoreError(
                f"Another run is writing to the study {directory}.", "Wait for it, or choose another --out."
            ) from None
        return lock

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open an existing study for reading.

        Raises:
            StoreError: there is no study, or it is damaged or newer than this version.
        """
        path = directory / STORE_FILE
        if not path.exists():
            raise StoreError(f"There is no study in {directory}.", "Give the directory that 'evenhand run' wrote.")
        connection = _connect(path, directory)
        _check_version(connection, path)
        return cls(directory, connection, None)

    def close(self) -> None:
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is there after a crash, or none of it."""
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"Cannot write to {self.directory}: {error}.", "Free some space or check rights."
            ) from None

    def start_run(
        self,
        spec: dict[str, Any],
        planned: int,
        revision: str,
        versions: dict[str, str],
        settings: dict[str, Any],
    ) -> int:
        with self.transaction():
            cursor = self._db.execute(
                "INSERT INTO runs (started_at, spec, planned, revision, versions, settings) VALUES (?, ?, ?, ?, ?, ?)",
                (time.time(), _dump(spec), planned, revision, _dump(versions), _dump(settings)),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_run(self, run: int, outcome: str) -> None:
        with self.transaction():
            self._db.execute("UPDATE runs SET ended_at = ?, outcome = ? WHERE id = ?", (time.time(), outcome, run))

    def add_design(
        self,
        loaded: Sequence[tuple[LoadedSuite, Sequence[Item]]],
        judges: dict[str, str],
        identities: Sequence[Identity],
    ) -> None:
        """Record suites, items and identities, the new ones behind those already there.

        Raises:
            StoreError: an item's prompt differs from the one this study has already asked.
        """
        with self.transaction():
            for entry, items in loaded:
                suite = entry.suite
                self._db.execute(
                    "INSERT OR REPLACE INTO suites VALUES (?, ?, ?, ?, ?)",
                    (suite.id, suite.axis, judges[suite.id], entry.origin, len(entry.items)),
                )
                self._add_items(suite.id, items)
            for position, identity in enumerate(identities):
                self._db.execute(
                    "INSERT OR IGNORE INTO identities VALUES (?, ?, ?, ?)",
                    (identity.name, identity.category, position, _dump([p.name for p in identity.parts])),
                )

    def _add_items(self, suite: str, items: Sequence[Item]) -> None:
        known = dict(self._db.execute("SELECT item, prompt FROM items WHERE suite = ?", (suite,)))
        for item in items:
            if known.get(item.id, item.prompt) != item.prompt:
                raise StoreError(
                    f"The item {item.id} of {suite} has another prompt than when this study began.",
                    "The data or its format changed; start a new study with another --out.",
                )
        self._db.executemany(
            "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    suite, i.id, position, i.group, i.prompt, i.question, i.target,
                    _dump(i.choices), _dump(i.extra),
                )
                for position, i in enumerate(items)
            ],
        )  # fmt: skip

    def new_trial_id(self) -> int:
        self._next_trial += 1
        return self._next_trial - 1

    def add_trials(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.trial_row`."""
        self._db.executemany(f"INSERT INTO trials VALUES ({','.join('?' * 18)})", rows)  # noqa: S608 - only marks

    def add_failures(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows (suite, item, personalizer, identity, repeat, run, error, at)."""
        self._db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_judgements(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.judgement_row`; a judge's later judgement replaces its earlier one."""
        self._db.executemany("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def add_labels(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows (trial, label, score, annotator, at); a later label replaces the earlier one."""
        self._db.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?)", rows)

    def set_meta(self, key: str, value: object) -> None:
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _dump(value)))

    def set_judge(self, suite: str, judge: str) -> None:
        with self.transaction():
            self._db.execute("UPDATE suites SET judge = ? WHERE suite = ?", (judge, suite))

    # Reading

    def meta(self, key: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return orjson.loads(row[0]) if row else default

    def done_cells(self, suite: str, item: str) -> set[tuple[str, str, int]]:
        """Cells (personalizer, identity, repeat) of an item that have a response."""
        query = "SELECT personalizer, identity, repeat FROM trials WHERE suite = ? AND item = ?"
        return set(self._db.execute(query, (suite, item)))

    def count_trials(self) -> int:
        return int(self._value("SELECT count(*) FROM trials") or 0)

    def count_failed(self) -> int:
        """Cells whose calls all failed so far."""
        query = """SELECT count(*) FROM (SELECT DISTINCT suite, item, personalizer, identity, repeat FROM failures
                   EXCEPT SELECT suite, item, personalizer, identity, repeat FROM trials)"""
        return int(self._value(query) or 0)

    def failure_reasons(self) -> dict[str, int]:
        """Error -> number of still failing cells, the most frequent first."""
        query = """SELECT error, count(*) FROM failures f WHERE NOT EXISTS (SELECT 1 FROM trials t WHERE
                   (t.suite, t.item, t.personalizer, t.identity, t.repeat) =
                   (f.suite, f.item, f.personalizer, f.identity, f.repeat)) GROUP BY error ORDER BY 2 DESC"""
        return dict(self._db.execute(query))

    def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first, with spec, versions and settings decoded."""
        found = _dicts(self._db.execute("SELECT * FROM runs ORDER BY id"))
        for run in found:
            for key in ("spec", "versions", "settings"):
                run[key] = orjson.loads(run[key])
        return found

    def suites(self) -> list[dict[str, Any]]:
        return _dicts(self._db.execute("SELECT * FROM suites ORDER BY rowid"))

    def identities(self) -> list[dict[str, Any]]:
        found = _dicts(self._db.execute("SELECT * FROM identities ORDER BY position, rowid"))
        for row in found:
            row["parts"] = orjson.loads(row["parts"])
        return found

    def items(self, suite: str) -> dict[str, Item]:
        rows = self._db.execute(
            'SELECT item, prompt, "group", question, target, choices, extra FROM items WHERE suite = ?',
            (suite,),
        )
        return {r[0]: Item(r[0], r[1], r[2], r[3], r[4], tuple(orjson.loads(r[5])), orjson.loads(r[6])) for r in rows}

    def item_order(self, suite: str) -> list[str]:
        """Ids of the suite's items in drawing order."""
        return [
            row[0] for row in self._db.execute("SELECT item FROM items WHERE suite = ? ORDER BY position", (suite,))
        ]

    def unjudged(self, suite: str, judge: str, version: str, *, after: int, count: int) -> list[dict[str, Any]]:
        """Responses of a suite without a judgement by this version of the judge, in pages by trial id."""
        query = """SELECT t.id, t.item, t.response, t.finish_reason, t.choice_logprobs FROM trials t
            LEFT JOIN judgements j ON j.trial = t.id AND j.judge = ? AND j.version = ?
            WHERE t.suite = ? AND t.id > ? AND j.trial IS NULL ORDER BY t.id LIMIT ?"""
        return _dicts(self._db.execute(query, (judge, version, suite, after, count)))

    def count_unjudged(self, suite: str, judge: str, version: str) -> int:
        """How many responses :meth:`unjudged` has in all."""
        query = """SELECT count(*) FROM trials t LEFT JOIN judgements j
            ON j.trial = t.id AND j.judge = ? AND j.version = ? WHERE t.suite = ? AND j.trial IS NULL"""
        return int(self._db.execute(query, (judge, version, suite)).fetchone()[0])

    def unlabelled(self, suite: str) -> list[tuple[int, str, str]]:
        """(trial, item, response) of a suite's responses that no person has labelled."""
        query = """SELECT t.id, t.item, t.response FROM trials t LEFT JOIN labels l ON l.trial = t.id
            WHERE t.suite = ? AND l.trial IS NULL ORDER BY t.id"""
        return list(self._db.execute(query, (suite,)))

    def suite_of_trials(self) -> dict[int, str]:
        """Trial -> suite."""
        return dict(self._db.execute("SELECT id, suite FROM trials"))

    def judge_versions(self) -> dict[str, list[str]]:
        """Suite -> versions of its judge that its judgements come from."""
        query = """SELECT DISTINCT t.suite, j.version FROM trials t JOIN suites s ON s.suite = t.suite
            JOIN judgements j ON j.trial = t.id AND j.judge = s.judge ORDER BY 1, 2"""
        found: dict[str, list[str]] = {}
        for suite, version in self._db.execute(query):
            found.setdefault(suite, []).append(version)
        return found

    def scores(self, judges: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
        """One row per response.

        Columns: suite, axis, group, item, personalizer, identity, category, repeat, score, label, finish_reason,
        people's score (None where nobody labelled the response).

        Args:
            judges: suite -> judge whose scores are wanted, where it is not the suite's own.
        """
        query = """SELECT t.suite, s.axis, i."group", t.item, t.personalizer, t.identity, n.category, t.repeat,
                j.score, coalesce(j.label, 'unjudged'), t.finish_reason, l.score
            FROM trials t JOIN suites s ON s.suite = t.suite JOIN items i ON (i.suite, i.item) = (t.suite, t.item)
            JOIN identities n ON n.name = t.identity LEFT JOIN labels l ON l.trial = t.id
            LEFT JOIN judgements j ON j.trial = t.id AND j.judge = coalesce(:judge, s.judge)
            WHERE :suite IS NULL OR t.suite = :suite"""
        if judges is None:
            return list(self._db.execute(query, {"judge": None, "suite": None}))
        return [
            row for suite, judge in judges.items() for row in self._db.execute(query, {"judge": judge, "suite": suite})
        ]

    def transcripts(self, suite: str, item: str) -> list[dict[str, Any]]:
        """All responses to one item, with the judgement of the suite's judge."""
        query = """SELECT t.personalizer, t.identity, t.repeat, t.request, t.response, t.finish_reason, j.score,
                j.label, j.reason FROM trials t JOIN suites s ON s.suite = t.suite
            LEFT JOIN judgements j ON j.trial = t.id AND j.judge = s.judge WHERE t.suite = ? AND t.item = ?"""
        return _dicts(self._db.execute(query, (suite, item)))

    def table(self, name: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of one of :data:`evenhand.study.schema.TABLES`."""
        cursor = self._db.execute(TABLES[name])
        return [c[0] for c in cursor.description], cursor.fetchall()

    def totals(self) -> dict[str, float]:
        """Sums over all responses: calls, prompt_tokens, completion_tokens."""
        query = "SELECT sum(calls), sum(prompt_tokens), sum(completion_tokens) FROM trials"
        calls, prompt, completion = self._db.execute(query).fetchone()
        return {"calls": calls or 0, "prompt_tokens": prompt or 0, "completion_tokens": completion or 0}

    def tokens_per_trial(self) -> dict[str, tuple[float, float]]:
        """Suite -> mean prompt and completion tokens of its responses, where the model counted them."""
        query = """SELECT suite, avg(prompt_tokens), avg(completion_tokens) FROM trials
            WHERE prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL GROUP BY suite"""
        return {suite: (prompt, completion) for suite, prompt, completion in self._db.execute(query)}

    def _value(self, query: str) -> Any:
        row = self._db.execute(query).fetchone()
        return row[0] if row else None


def _connect(path: Path, directory: Path) -> sqlite3.Connection:
    try:
        # The writer's thread is not the one that opened the file; one thread at a time uses it.
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}.", f"Check that {directory} is a study.") from None


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        found = int(row[0])
    except (sqlite3.Error, TypeError, ValueError):
        raise StoreError(f"{path} is damaged or not a study.", f"See 'evenhand doctor {path.parent}'.") from None
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer evenhand (schema {found}, this one knows {SCHEMA_VERSION}).",
            "Upgrade evenhand.",
        )
    for version in range(found + 1, SCHEMA_VERSION + 1):
        with connection:
            connection.executescript(ADDED[version])
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))


def _dump(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _dicts(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [c[0] for c in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]

"""The study's SQLite file: every response and judgement, with what it takes to make them again."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from evenhand.errors import StoreError
from evenhand.people import plain_person
from evenhand.study.connection import (
    Scratch,
    bring_up_to_date,
    connect,
    connect_reading,
    connect_unwritable,
    is_unfinished,
    make_tables,
)
from evenhand.study.conversations import ConversationWriter
from evenhand.study.reading import Reader
from evenhand.study.rows import IN_CELL
from evenhand.study.soundness import check_design
from evenhand.suites import LoadedSuite
from evenhand.types import Identity, Item, Person

STORE_FILE = "study.sqlite"
# The directories of this process's stores, for whoever must explain a failure.
opened: set[Path] = set()
LOCK_FILE = ".lock"
_ENOUGH_TO_TELL, _NEARLY_ALL = 5, 0.9


class Store(Reader, ConversationWriter):
    """Opens one study directory. One writer at a time; any number of readers, also where nothing can be written.

    Use :meth:`create` to write and :meth:`open` to read.
    """

    def __init__(
        self, directory: Path, connection: sqlite3.Connection, lock: int | None, scratch: Scratch | None = None
    ) -> None:
        super().__init__(directory, connection)
        opened.add(directory)
        self._lock = lock
        self._scratch = scratch
        newest = "SELECT max(n) FROM (SELECT max(id) AS n FROM trials UNION ALL SELECT max(id) FROM replaced)"
        self._next_trial = 1 + (self._value(newest) or 0)

    @classmethod
    def create(cls, directory: Path) -> Self:
        """Open a study for writing; make it when it is not there yet.

        Raises:
            StoreError: another run is writing to it, or the directory cannot be written.
        """
        lock = cls.lock(directory)
        path = directory / STORE_FILE
        try:
            connection = connect(path)
            make_tables(connection, path)
            bring_up_to_date(connection, path)
            check_design(connection, directory)
        except BaseException:
            os.close(lock)
            raise
        return cls(directory, connection, lock)

    @staticmethod
    def lock(directory: Path) -> int:
        """Keep other writers out of a directory (made when it is not there) until the descriptor is closed.

        Raises:
            StoreError: another run is writing to it, or it cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise StoreError(f"Cannot write to {directory}: {error.strerror}.", "Choose another --out.") from None
        for wait_s in (0.05, 0.1, 0.2, None):  # somebody may be looking whether it is held, for a moment
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError:
                if wait_s is not None:
                    time.sleep(wait_s)
        os.close(lock)
        raise StoreError(f"Another run is writing to the study {directory}.", "Wait for it, or choose another --out.")

    @staticmethod
    def is_locked(directory: Path) -> bool:
        """Whether a run is writing to a directory now."""
        try:
            lock = os.open(directory / LOCK_FILE, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
        finally:
            os.close(lock)
        return False

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open an existing study for reading.

        Raises:
            StoreError: there is no study, or it is damaged or newer than this version.
        """
        path = directory / STORE_FILE
        if not path.exists():
            raise StoreError(f"There is no study in {directory}.", "Give the directory that 'evenhand run' wrote.")
        connection, scratch = connect_reading(path)
        try:
            check_design(connection, directory)
        except BaseException:
            connection.close()
            if scratch is not None:
                scratch.cleanup()
            raise
        return cls(directory, connection, None, scratch)

    @classmethod
    def is_begun(cls, directory: Path) -> bool:
        """Whether a directory has a study to open; not where a kill came while its store was being made."""
        path = directory / STORE_FILE
        if not path.exists():
            return False
        connection, scratch = connect_unwritable(path)
        try:
            return not is_unfinished(connection)
        except sqlite3.DatabaseError:
            return True  # whoever opens it says what is wrong
        finally:
            connection.close()
            if scratch is not None:
                scratch.cleanup()

    def close(self) -> None:
        self._db.close()
        if self._scratch is not None:
            self._scratch.cleanup()
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
        except (sqlite3.OperationalError, SystemError) as error:
            # Of a commit that fails while another thread reads, Python may lose what SQLite said.
            said = "the disk did not take it" if isinstance(error, SystemError) else error
            raise StoreError(f"Cannot write to {self.directory}: {said}.", "Free some space or check rights.") from None

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
        """Record suites, items, the people who ask them, and identities, the new ones behind those already there.

        Raises:
            StoreError: an item's prompt or person, or somebody's record, is not what this study has already asked.
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
        query = "SELECT item, prompt, person FROM items WHERE suite = ?"
        known = {item: asked for item, *asked in self._db.execute(query, (suite,))}
        for item in items:
            now = [item.prompt, item.person.name if item.person else ""]
            for what, before, after in zip(("prompt", "person"), known.get(item.id, now), now, strict=True):
                if before != after:
                    raise StoreError(
                        f"The item {item.id} of {suite} has another {what} than when this study began.",
                        "The data or its format changed; start a new study with another --out.",
                    )
        self._add_people({item.person.name: item.person for item in items if item.person}.values())
        self._db.executemany(
            # A file may name the clusters of items that were asked before, and their wordings.
            """INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (suite, item) DO UPDATE SET cluster = excluded.cluster, wording = excluded.wording""",
            [
                (
                    suite, i.id, position, i.group, i.prompt, i.question, i.target,
                    _dump(i.choices), _dump(i.extra), i.cluster, i.person.name if i.person else "", i.wording,
                )
                for position, i in enumerate(items)
            ],
        )  # fmt: skip

    def _add_people(self, people: Collection[Person]) -> None:
        known = self.people()
        for person in people:
            if known.get(person.name, person) != person:
                raise StoreError(
                    f"The record of '{person.name}' is another than when this study began.",
                    "The catalogue of people changed; start a new study with another --out.",
                )
        rows = [(person.name, _dump(plain_person(person))) for person in people if person.name not in known]
        self._db.executemany("INSERT INTO people VALUES (?, ?)", rows)

    def add_memories(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows (personalizer, person, identity, content): what personalizers learned of users."""
        encoded = [(*key, _dump(content), time.time()) for *key, content in rows]
        self._db.executemany("INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?, ?)", encoded)

    def add_learning(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.learning_row`; a call that is made anew replaces the earlier one."""
        self._db.executemany(f"INSERT OR REPLACE INTO learning VALUES ({','.join('?' * 14)})", rows)  # noqa: S608 - marks

    def new_trial_id(self) -> int:
        self._next_trial += 1
        return self._next_trial - 1

    def add_trials(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.trial_row`."""
        rows = list(rows)
        # A cell that is asked again was cut under a lower limit.
        cells = [row[1:6] for row in rows if row[1:6] in self._cut]
        self._forget_parts(row[1:6] for row in rows)
        for statement in ("INSERT INTO replaced SELECT * FROM trials", "DELETE FROM trials"):
            self._db.executemany(f"{statement} WHERE {IN_CELL}", cells)
        self._db.executemany(f"INSERT INTO trials VALUES ({','.join('?' * 23)})", rows)  # noqa: S608 - only marks

    def add_failures(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows (suite, item, personalizer, identity, repeat, run, error, at)."""
        self._db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_judgements(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows from :func:`evenhand.study.rows.judgement_row`; a judge's later judgement replaces its earlier one."""
        self._db.executemany("INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget_comparisons(self, suite: str, judge: str, baseline: str) -> None:
        """Take back what a judge said before the baseline's answer that it compared with was asked again."""
        query = """DELETE FROM judgements WHERE judge = :judge AND trial IN (
            SELECT t.id FROM trials t JOIN judgements j ON j.trial = t.id AND j.judge = :judge
            JOIN trials b ON (b.suite, b.item, b.identity) = (t.suite, t.item, :baseline) AND b.at > j.at
            AND b.personalizer IN (t.personalizer, 'none')
            AND (b.repeat = t.repeat OR t.identity = :baseline) WHERE t.suite = :suite)"""
        with self.transaction():
            self._db.execute(query, {"suite": suite, "judge": judge, "baseline": baseline})

    def annotate(
        self, trial: int, annotator: str, label: str, score: float | None, *, resolves: bool = False, at: float
    ) -> None:
        """Record what somebody said of a response, in place of what they said before.

        Args:
            trial: the response.
            annotator: who said it.
            label: as written.
            score: what it stands for, in [0, 1]; None when they cannot tell.
            resolves: whether it settles what others said differently.
            at: Unix time.
        """
        self._db.execute(
            """INSERT INTO annotations (trial, annotator, resolves, label, score, at) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (trial, annotator, resolves)
            DO UPDATE SET label = excluded.label, score = excluded.score, at = excluded.at""",
            (trial, annotator, resolves, label, score, at),
        )
        self._settle(trial)

    def forget_annotation(self, trial: int, annotator: str, *, resolves: bool = False) -> None:
        """Take back what somebody said of a response."""
        where = "(trial, annotator, resolves) = (?, ?, ?)"
        self._db.execute(f"DELETE FROM annotations WHERE {where}", (trial, annotator, resolves))  # noqa: S608 - constant
        self._settle(trial)

    def add_drawn(self, trials: Iterable[int]) -> None:
        """Responses that people are to label, behind those drawn before."""
        self._db.executemany("INSERT OR IGNORE INTO drawn (trial) VALUES (?)", [(trial,) for trial in trials])

    def _settle(self, trial: int) -> None:
        """One label per response: the latest resolution's; without one, the first that anybody could give."""
        self._db.execute("DELETE FROM labels WHERE trial = ?", (trial,))
        self._db.execute(
            """INSERT INTO labels (trial, label, score, annotator, at)
            SELECT trial, label, score, annotator, at FROM
              (SELECT * FROM annotations WHERE trial = ? AND (resolves OR score IS NOT NULL)
               ORDER BY resolves DESC, CASE WHEN resolves THEN -at ELSE id END LIMIT 1)
            WHERE score IS NOT NULL""",
            (trial,),
        )

    def add_meta(self, rows: Iterable[tuple[str, object]]) -> None:
        """Rows (key, value); a later value replaces the earlier one."""
        encoded = [(key, _dump(value)) for key, value in rows]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", encoded)

    def set_meta(self, key: str, value: object) -> None:
        with self.transaction():
            self.add_meta([(key, value)])

    def mark_cut_thoughts(self) -> int:
        """Take cut answers without a trace for thoughts, where the model always thinks first; tell how many.

        A server may give the thoughts that its chat template opens without any tag. Where nearly every finished answer
        came behind a trace, one that was cut and shows none was cut before its trace ended.
        """
        finished, thought = self._db.execute(
            """SELECT count(*), coalesce(sum(reasoning != ''), 0) FROM trials
            WHERE finish_reason = 'stop' AND choice_logprobs IS NULL AND response != ''"""
        ).fetchone()
        if finished < _ENOUGH_TO_TELL or thought < _NEARLY_ALL * finished:
            return 0
        where = "finish_reason = 'length' AND choice_logprobs IS NULL AND reasoning = '' AND response != ''"
        with self.transaction():
            self._db.execute(
                f"DELETE FROM judgements WHERE trial IN (SELECT id FROM trials WHERE {where})"  # noqa: S608 - constants
            )
            marked = self._db.execute(f"UPDATE trials SET reasoning = response, response = '' WHERE {where}")  # noqa: S608
        return marked.rowcount

    @property
    def is_writable(self) -> bool:
        """Whether something can be written: not where the study lies in a place that is only read."""
        return self._scratch is None and os.access(self.directory / STORE_FILE, os.W_OK)

    def add_look(self, row: dict[str, Any]) -> None:
        """A row of the table ``looks``, without its id and time."""
        columns = {"at": time.time(), **row}
        with self.transaction():
            self._db.execute(
                f"INSERT INTO looks ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 - own names
                tuple(columns.values()),
            )

    def set_judge(self, suite: str, judge: str) -> None:
        with self.transaction():
            self._db.execute("UPDATE suites SET judge = ? WHERE suite = ?", (judge, suite))


def _dump(value: object) -> str:
    return orjson.dumps(value, default=str).decode()

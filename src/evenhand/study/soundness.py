"""Whether a store holds what evenhand writes: SQLite says only that a file is whole, not what its values mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from evenhand.errors import StoreError
from evenhand.types import AXES

Kind = Literal["text", "text?", "number", "number?", "integer", "integer?", "json", "object", "list", "list?", "share?"]

# Read whole by nearly every command, and small.
DESIGN: Mapping[str, Mapping[str, Kind]] = {
    "meta": {"key": "text", "value": "json"},
    "runs": {
        "started_at": "number", "ended_at": "number?", "outcome": "text?", "spec": "object", "planned": "integer",
        "revision": "text?", "versions": "object", "settings": "object",
    },
    "suites": {"suite": "text", "axis": "text", "judge": "text", "origin": "text", "pool": "integer"},
    "identities": {"name": "text", "category": "text", "position": "integer", "parts": "list"},
    "items": {
        "suite": "text", "item": "text", "position": "integer", "group": "text", "prompt": "text", "question": "text",
        "target": "text?", "choices": "list", "extra": "object", "cluster": "text", "person": "text", "wording": "text",
    },
    "people": {"name": "text", "record": "object"},
    "memories": {"personalizer": "text", "person": "text", "identity": "text", "content": "object", "at": "number"},
}  # fmt: skip
# A row per answer: read through only by who looks for damage.
ANSWERS: Mapping[str, Mapping[str, Kind]] = {
    "trials": {
        "suite": "text", "item": "text", "personalizer": "text", "identity": "text", "repeat": "integer",
        "run": "integer", "seed": "integer", "request": "list", "response": "text", "finish_reason": "text",
        "prompt_tokens": "integer?", "completion_tokens": "integer?", "latency_s": "number", "choice_logprobs": "list?",
        "answered_by": "text", "at": "number", "calls": "integer", "reasoning": "text", "reasoning_tokens": "integer?",
        "cached_tokens": "integer?", "filtered": "text", "max_tokens": "integer?",
    },
    "failures": {
        "suite": "text", "item": "text", "personalizer": "text", "identity": "text", "repeat": "integer",
        "run": "integer", "error": "text", "at": "number",
    },
    "judgements": {
        "trial": "integer", "judge": "text", "version": "text", "score": "share?", "label": "text", "reason": "text",
        "at": "number",
    },
    "labels": {"trial": "integer", "label": "text", "score": "share?", "annotator": "text", "at": "number"},
    "annotations": {
        "trial": "integer", "annotator": "text", "resolves": "integer", "label": "text", "score": "share?",
        "at": "number",
    },
    "drawn": {"trial": "integer"},
    "learning": {
        "personalizer": "text", "person": "text", "identity": "text", "call": "integer", "request": "list",
        "response": "text", "calls": "integer", "at": "number",
    },
    "parts": {
        "suite": "text", "item": "text", "personalizer": "text", "identity": "text", "repeat": "integer",
        "part": "integer", "run": "integer", "response": "object", "calls": "integer", "at": "number",
    },
    "looks": {"at": "number", "limits": "text", "information": "number", "follows": "text"},
}  # fmt: skip


def check_design(connection: sqlite3.Connection, directory: Path) -> None:
    """Check what commands read first; a user may have edited it, or a disk changed it.

    Raises:
        StoreError: a value there is none that evenhand writes.
    """
    if found := next(misfits(connection, DESIGN), None):
        raise StoreError(
            f"The store of {directory} holds what evenhand does not write ({found}).",
            f"See 'evenhand doctor {directory}'.",
        )


def misfits(connection: sqlite3.Connection, tables: Mapping[str, Mapping[str, Kind]]) -> Iterator[str]:
    """What is wrong with the values of tables, a sentence per column.

    Args:
        connection: a store of the newest schema.
        tables: :data:`DESIGN`, :data:`ANSWERS`.
    """
    for table, columns in tables.items():
        checks = [f"sum(CASE WHEN {_fits(column, kind)} THEN 0 ELSE 1 END)" for column, kind in columns.items()]
        try:
            counts = connection.execute(f'SELECT {", ".join(checks)} FROM "{table}"').fetchone()  # noqa: S608 - own names
        except sqlite3.OperationalError as error:
            yield f"{table}: {error}"
            continue
        for (column, kind), count in zip(columns.items(), counts, strict=True):
            if count:
                yield f"{table}: {count} of its rows have no {_WORDS[kind.rstrip('?')]} in the column {column}"
    if "suites" in tables:
        marks = ", ".join("?" * len(AXES))
        query = f"SELECT count(*) FROM suites WHERE axis NOT IN ({marks})"  # noqa: S608 - marks
        if count := connection.execute(query, AXES).fetchone()[0]:
            yield f"suites: {count} of its rows are on no axis that there is"


_WORDS = {
    "text": "text", "number": "number", "integer": "whole number", "json": "JSON", "object": "JSON object",
    "list": "JSON list", "share": "number from 0 to 1",
}  # fmt: skip


def _fits(column: str, kind: Kind) -> str:
    """SQL that is true for what may stand in a column."""
    name = f'"{column}"'
    text = f"typeof({name}) = 'text'"
    valid = f"{text} AND json_valid({name})"
    fits = {
        "text": text,
        "integer": f"typeof({name}) = 'integer'",
        "number": f"typeof({name}) IN ('integer', 'real') AND abs({name}) < 1e300",
        "share": f"typeof({name}) IN ('integer', 'real') AND {name} BETWEEN 0 AND 1",
        "json": valid,
        "object": f"CASE WHEN {valid} THEN json_type({name}) = 'object' END",
        "list": f"CASE WHEN {valid} THEN json_type({name}) = 'array' END",
    }[kind.rstrip("?")]
    return f"({name} IS NULL OR {fits})" if kind.endswith("?") else f"({fits})"

"""Whether a store holds what evenhand writes: SQLite says only that a file is whole, not what its values mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from evenhand.errors import StoreError
from evenhand.types import AXES

Kind = str  # one of :data:`_WORDS`, with a question mark where nothing may stand

_CELL: Mapping[str, Kind] = {
    "suite": "text", "item": "text", "personalizer": "text", "identity": "text", "repeat": "count",
}  # fmt: skip
_TOKENS: Mapping[str, Kind] = {f"{name}_tokens": "count?" for name in ("prompt", "completion", "reasoning", "cached")}
_USER: Mapping[str, Kind] = {"personalizer": "text", "person": "text", "identity": "text"}

# Read whole by nearly every command, and small.
DESIGN: Mapping[str, Mapping[str, Kind]] = {
    "meta": {"key": "text", "value": "json"},
    "runs": {
        "started_at": "time", "ended_at": "time?", "outcome": "text?", "spec": "object", "planned": "count",
        "revision": "text?", "versions": "object", "settings": "object",
    },
    "suites": {"suite": "text", "axis": "text", "judge": "text", "origin": "text", "pool": "count"},
    "identities": {"name": "text", "category": "text", "position": "count", "parts": "texts"},
    "items": {
        "suite": "text", "item": "text", "position": "count", "group": "text", "prompt": "text", "question": "text",
        "target": "text?", "choices": "texts", "extra": "object", "cluster": "text", "person": "text",
        "wording": "text",
    },
    "people": {"name": "text", "record": "object"},
    "memories": {**_USER, "content": "object", "at": "time"},
    "looks": {
        "at": "time", "limits": "object", "information": "amount", "follows": "text",
        **{f"{side}_{what}": "amount" if what == "planned" else "share"
           for side in ("pass", "fail") for what in ("planned", "total", "error")},
    },
}  # fmt: skip
_TRIALS: Mapping[str, Kind] = {
    **_CELL, "run": "integer", "seed": "integer", "request": "messages", "response": "text", "finish_reason": "text",
    **_TOKENS, "latency_s": "amount", "choice_logprobs": "list?", "answered_by": "text", "at": "time",
    "calls": "count", "reasoning": "text", "filtered": "text", "max_tokens": "count?",
}  # fmt: skip
_CALL: Mapping[str, Kind] = {"run": "integer", "response": "object", **_TOKENS, "calls": "count", "at": "time"}
# A row per answer: read through only by who looks for damage.
ANSWERS: Mapping[str, Mapping[str, Kind]] = {
    "trials": _TRIALS,
    "replaced": {"id": "integer", **_TRIALS},
    "failures": {**_CELL, "run": "integer", "error": "text", "at": "time"},
    "judgements": {
        "trial": "integer", "judge": "text", "version": "text", "score": "share?", "label": "text", "reason": "text",
        "at": "time",
    },
    "labels": {"trial": "integer", "label": "text", "score": "share", "annotator": "text", "at": "time"},
    "annotations": {
        "trial": "integer", "annotator": "text", "resolves": "share", "label": "text", "score": "share?", "at": "time",
    },
    "drawn": {"trial": "integer"},
    "learning": {**_USER, "call": "integer", "seed": "integer", "request": "messages", **_CALL},
    "rounds": {**_CELL, "round": "count", "judge": "text", "seed": "integer", "reply": "text?", "max_tokens": "count",
               **_CALL},
    "parts": {**_CELL, "part": "integer", **_CALL},
}  # fmt: skip
# What stands under a key of ``meta``, where commands count on it; under any other some JSON does.
_META: Mapping[str, Kind] = {
    "fixed": "object", "grids": "list", "catalogues": "object", "ways": "object", "readers": "object",
    "languages": "object", "users": "object", "hub_revisions": "object", "adjustments": "object", "import": "object",
    "admissions": "object", "max_tokens": "list", "template_note": "string", "search_part": "string",
    "adaptive_alpha": "fraction", "deciding": "fraction",
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
    if "meta" in tables:
        wrong = " OR ".join(f"(key = '{key}' AND NOT {_fits('value', kind)})" for key, kind in _META.items())
        for (key,) in connection.execute(f"SELECT key FROM meta WHERE {wrong}"):  # noqa: S608 - own names
            yield f"meta: the value of '{key}' is of another kind"
    if "suites" in tables:
        marks = ", ".join("?" * len(AXES))
        query = f"SELECT count(*) FROM suites WHERE axis NOT IN ({marks})"  # noqa: S608 - marks
        if count := connection.execute(query, AXES).fetchone()[0]:
            yield f"suites: {count} of its rows are on no axis that there is"


def forget_misfits(connection: sqlite3.Connection) -> None:
    """Take out the rows of answers that hold what evenhand does not write: they are asked, or judged, again."""
    for table, columns in ANSWERS.items():
        fits = " AND ".join(f"coalesce({_fits(column, kind)}, 0)" for column, kind in columns.items())
        connection.execute(f'DELETE FROM "{table}" WHERE NOT ({fits})')  # noqa: S608 - own names


_WORDS = {
    "text": "text", "integer": "whole number", "count": "number of things", "amount": "number from 0 up",
    "time": "time", "share": "number from 0 to 1", "json": "JSON", "object": "JSON object", "list": "JSON list",
    "texts": "JSON list of texts", "messages": "JSON list of messages", "string": "JSON text",
    "fraction": "JSON number",
}  # fmt: skip
# Ten thousand years, and what no study has: sums of it stay within 64 bits.
_LAST, _MOST = 253_402_300_799, 10**15


def _fits(column: str, kind: Kind) -> str:
    """SQL that is true for what may stand in a column."""
    name = f'"{column}"'
    text = f"typeof({name}) = 'text'"
    whole, number = f"typeof({name}) = 'integer'", f"typeof({name}) IN ('integer', 'real')"
    fits = {
        "text": text,
        "integer": whole,
        "count": f"{whole} AND {name} BETWEEN 0 AND {_MOST}",
        "amount": f"{number} AND {name} BETWEEN 0 AND {_MOST}",
        "time": f"{number} AND {name} BETWEEN 0 AND {_LAST}",
        "share": f"{number} AND {name} BETWEEN 0 AND 1",
        "json": _json(name, "1"),
        "object": _json(name, f"json_type({name}) = 'object'"),
        "list": _json(name, f"json_type({name}) = 'array'"),
        "texts": _json(name, _list_of(name, "m.type = 'text'")),
        "messages": _json(name, _list_of(name, _MESSAGE)),
        "string": _json(name, f"json_type({name}) = 'text'"),
        "fraction": _json(name, f"json_type({name}) IN ('integer', 'real')"),
    }[kind.rstrip("?")]
    return f"({name} IS NULL OR {fits})" if kind.endswith("?") else f"({fits})"


# A member of a list of messages; what is no object is not looked into.
_MESSAGE = """CASE WHEN m.type = 'object'
    THEN json_type(m.value, '$.role') IS 'text' AND json_type(m.value, '$.content') IS 'text' END"""


def _json(name: str, is_so: str) -> str:
    """SQL that is true for a column of JSON of which something is so: what is no JSON is not looked into."""
    return f"CASE WHEN typeof({name}) = 'text' AND json_valid({name}) THEN {is_so} ELSE 0 END"


def _list_of(name: str, is_so: str) -> str:
    """SQL that is true for a column with a JSON list, of all of whose members something is so."""
    strange = f"SELECT 1 FROM json_each({name}) AS m WHERE ({is_so}) IS NOT 1"  # noqa: S608 - own names
    return f"json_type({name}) = 'array' AND NOT EXISTS ({strange})"

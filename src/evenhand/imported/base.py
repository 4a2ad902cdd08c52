"""What a format of outputs is, and how the one of a file is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import orjson

from evenhand.errors import DataError, SpecError
from evenhand.registry import Registry

_HEAD = 65_536


class Row(NamedTuple):
    """One answer as a file has it.

    Attributes:
        where: the place in the file, for messages.
        values: columns -> values, by the names of :data:`evenhand.imported.answers.COLUMNS` as far as the format knows
            them; all others by the file's own.
    """

    where: str
    values: Mapping[str, Any]


class ImportFormat(ABC):
    """Reads the files of one tool.

    Attributes:
        name: registered name.
        summary: one line for lists.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def fits(self, path: Path, head: str) -> bool:
        """Whether a file is of this format, as far as its name and its beginning tell.

        Args:
            path: the file.
            head: its first characters; "" where it is no text.
        """

    @abstractmethod
    def rows(self, path: Path) -> Iterator[Row]:
        """The answers of a file.

        Raises:
            DataError: it is missing or malformed.
        """


FORMATS: Registry[type[ImportFormat]] = Registry("format", "evenhand.imported", "evenhand.formats", ImportFormat)


def format_of(path: Path, name: str = "") -> ImportFormat:
    """The format of a file.

    Args:
        path: the file.
        name: the format's name; "" to find out.

    Raises:
        SpecError: there is no such format, or nothing tells which it is.
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    if name:
        return FORMATS.get(name)()
    head = _head(path)
    # The table fits whatever is a table: it comes last.
    members = sorted(FORMATS.members().items(), key=lambda member: member[0] == "table")
    for _, kind in members:
        if (found := kind()).fits(path, head):
            return found
    raise SpecError(
        f"Nothing in {path} tells which format it is.", f"Say it with --from: {', '.join(sorted(FORMATS.members()))}."
    )


def _head(path: Path) -> str:
    with path.open("rb") as opened:
        raw = opened.read(_HEAD)
    return "" if b"\0" in raw else raw.decode("utf-8-sig", "replace")


def first_object(head: str) -> dict[str, Any]:
    """The first line of a JSONL file as an object; empty where it is none."""
    try:
        found = orjson.loads(head.split("\n", 1)[0])
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def at(values: Mapping[str, Any], column: str) -> Any:
    """The value of a column; "a.b" also goes into objects (the column ``a``, and ``b`` in it). None without one.

    Tables have their columns in small letters: so is the column looked for, where it is not there as it is written.
    """
    for name in (column, column.casefold()):
        if name in values:
            return values[name]
    found: Any = values
    for part in column.split("."):
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, Mapping) and (key := part if part in found else part.casefold()) in found:
            found = found[key]
        else:
            return None
    return found

"""Tables: CSV, JSONL and Parquet files, and frames of polars or pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evenhand.errors import DataError, SpecError
from evenhand.imported.base import FORMATS, ImportFormat, Row
from evenhand.suites.sources import read_rows

_PARQUET = ".parquet"


@FORMATS.register("table")
class Table(ImportFormat):
    """One row per answer; names of columns lose their spaces and capitals."""

    name = "table"
    summary = "a CSV, JSONL or Parquet file with one row per answer"

    def fits(self, path: Path, head: str) -> bool:
        return path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", _PARQUET)

    def rows(self, path: Path) -> Iterator[Row]:
        if path.suffix.lower() == _PARQUET:
            yield from frame_rows(_parquet(path), str(path))
            return
        for number, values in read_rows(path):
            yield Row(f"{path}, row {number}", values)


def _parquet(path: Path) -> Any:
    import polars as pl

    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}.") from None


def frame_rows(frame: Any, where: str = "the table") -> Iterator[Row]:
    """The rows of a polars or pandas frame, or of a list of mappings.

    Raises:
        SpecError: it is none of these.
        DataError: two columns differ in spaces and capitals alone.
    """
    for number, values in enumerate(_mappings(frame), 1):
        named = {str(key).strip().casefold(): value for key, value in values.items()}
        if len(named) < len(values):
            raise DataError(f"{where}: two columns have the same name.", "Rename one.")
        yield Row(f"{where}, row {number}", named)


def _mappings(frame: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(frame, "iter_rows"):  # polars
        found: Iterable[Mapping[str, Any]] = frame.iter_rows(named=True)
        return found
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):  # pandas
        listed: list[Mapping[str, Any]] = frame.to_dict("records")
        return listed
    if isinstance(frame, Iterable) and not isinstance(frame, str | bytes | Mapping):
        rows = list(frame)
        if all(isinstance(row, Mapping) for row in rows):
            return rows
    raise SpecError(
        f"A table was expected, not a {type(frame).__name__}.",
        "Give a polars or pandas frame, a list of dictionaries, or a file.",
    )

"""Where suite data comes from: a data directory in the original formats, then the Hugging Face hub."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError
from evenhand.extras import importing, install, missing
from evenhand.types import Person

DATA_DIR_VARIABLE = "EVENHAND_DATA_DIR"

Row = dict[str, Any]


@dataclass(frozen=True)
class HubTable:
    """One split of a data set on the Hugging Face hub.

    ``revision`` names a branch, tag or commit. The commit it resolves to is recorded with the study, and a study
    that goes on uses that commit again.
    """

    repo: str
    split: str
    config: str | None = None
    revision: str = "main"


@dataclass(frozen=True)
class HubFile:
    """A file of a data set on the hub, in the same format as in a data directory; ``revision`` as of a table."""

    repo: str
    path: str
    revision: str = "main"


class DataSource:
    """Finds and reads suite data, and remembers where each suite's came from.

    Args:
        data_dir: directory with the original files; ``$EVENHAND_DATA_DIR`` when None.
        pinned: hub repository -> commit, from an earlier run of the same study.
        people: the study's, for suites whose items are about them.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        pinned: dict[str, str] | None = None,
        people: Sequence[Person] = (),
    ) -> None:
        chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE) or None
        self.data_dir: Path | None = Path(chosen) if chosen else None
        if self.data_dir and not self.data_dir.is_dir():
            raise DataError(
                f"The data directory {self.data_dir} does not exist.",
                f"Check --data-dir (or ${DATA_DIR_VARIABLE}).",
            )
        self.pinned: dict[str, str] = dict(pinned or {})
        self._people = tuple(people)
        self._origins: dict[str, str] = {}

    def origin(self, suite: str) -> str:
        """Where the suite's data came from, for people."""
        return self._origins.get(suite, "nowhere yet")

    def people(self, suite: str) -> tuple[Person, ...]:
        """The study's people, whom a suite asks about.

        Raises:
            DataError: it has none.
        """
        if not self._people:
            raise DataError(f"The suite '{suite}' asks about people, and the study has none.", "Add --people starter.")
        self._origins[suite] = f"the study's {len(self._people)} people"
        return self._people

    def read(
        self, suite: str, files: Sequence[str], reader: Callable[[Path], list[Row]], hub: HubTable | HubFile | None
    ) -> list[tuple[str, Row]]:
        """Rows of the first place that has the data, each with the name of its file ("" from the hub).

        Args:
            suite: name under which to remember the origin.
            files: glob patterns below the data directory; all matches are read.
            reader: reads one file.
            hub: the table or file to fetch when the data directory has no match; None where the hub has none.

        Raises:
            DataError: neither place has the data.
        """
        if self.data_dir:
            paths = sorted({p for pattern in files for p in self.data_dir.glob(pattern)})
            if paths:
                self._origins[suite] = str(self.data_dir / files[0])
                return [(path.name, row) for path in paths for row in reader(path)]
        looked = f"{self.data_dir / files[0]}" if self.data_dir else "no --data-dir was given"
        if hub is None:
            raise DataError(f"The suite '{suite}' was not found ({looked}).", f"Give --data-dir with {files[0]} in it.")
        fetched = self._fetch(suite, looked, hub)
        rows = reader(fetched) if isinstance(fetched, Path) else fetched
        return [("", row) for row in rows]

    def folder(self, suite: str, name: str) -> Path:
        """The folder of a data set that has several files, below the data directory.

        Raises:
            DataError: it is not there.
        """
        looked = f"{self.data_dir / name}" if self.data_dir else "no --data-dir was given"
        if not self.data_dir or not (self.data_dir / name).is_dir():
            raise DataError(f"The suite '{suite}' was not found ({looked}).", f"Give --data-dir with {name}/ in it.")
        self._origins[suite] = looked
        return self.data_dir / name

    def packaged(self, suite: str, path: Path, reader: Callable[[Path], list[Row]]) -> list[Row]:
        """Rows of a file that ships with a package."""
        self._origins[suite] = f"shipped with the package ({path.name})"
        return reader(path)

    def elsewhere(self, suite: str, origin: str, load: Callable[[], list[Row]]) -> list[Row]:
        """Rows that another library finds by itself."""
        self._origins[suite] = origin
        return load()

    def _fetch(self, suite: str, looked: str, hub: HubTable | HubFile) -> list[Row] | Path:
        """A table's rows, or where a file was put."""
        if missing("hub"):
            raise DataError(
                f"The suite '{suite}' was not found ({looked}), and the hub needs an extra.",
                f"Give --data-dir, or install the extra: {install('hub')}.",
            )
        with importing("hub", f"The suite '{suite}'", DataError):
            from datasets import load_dataset
            from huggingface_hub import HfApi, hf_hub_download
        try:
            revision: str | None = None
            if not Path(hub.repo).exists():
                revision = self.pinned.get(hub.repo) or HfApi().dataset_info(hub.repo, revision=hub.revision).sha
            fetched: list[Row] | Path
            if isinstance(hub, HubTable):
                table = load_dataset(hub.repo, hub.config, split=hub.split, revision=revision)
                fetched = [dict(row) for row in table]
            elif revision:
                fetched = Path(hf_hub_download(hub.repo, hub.path, repo_type="dataset", revision=revision))
            else:
                fetched = Path(hub.repo) / hub.path
        except Exception as error:  # the hub's clients raise dozens of kinds
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"The suite '{suite}' was found neither locally ({looked}) nor on the hub ({hub.repo}: {reason}).",
                "Give --data-dir with the original files, or check the network.",
            ) from None
        if revision:
            self.pinned[hub.repo] = revision
        what = hub.split if isinstance(hub, HubTable) else hub.path
        self._origins[suite] = f"hub {hub.repo}@{revision or 'local'} ({what})"
        return fetched


def read_csv(*columns: str, header: bool = True) -> Callable[[Path], list[Row]]:
    """A reader of CSV files; ``columns`` must be there (or name the columns when there is no header)."""

    def read(path: Path) -> list[Row]:
        try:
            return parse(path, read_text(path))
        except csv.Error as error:
            raise DataError(f"{path} is not a readable CSV file: {error}.") from None

    def parse(path: Path, text: str) -> list[Row]:
        reader = csv.DictReader(_csv_lines(text), fieldnames=None if header else columns)
        if header and (missing := [c for c in columns if c not in (reader.fieldnames or ())]):
            raise DataError(
                f"{path}: the column '{missing[0]}' is missing.",
                f"It needs the columns {', '.join(columns)}.",
            )
        rows: list[Row] = []
        for row in reader:
            if any(row.get(c) is None for c in columns) or None in row:
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(columns)} columns were expected.",
                    "Check the quoting of that row.",
                )
            rows.append(dict(row))
        return rows

    return read


def read_jsonl(*texts: str, **others: type) -> Callable[[Path], list[Row]]:
    """A reader of JSON-lines files whose objects have ``texts``, and ``others`` of other types."""
    types = {**dict.fromkeys(texts, str), **others}
    return lambda path: [row for _, row in _json_rows(path, types, "line")]


def _json_rows(path: Path, types: Mapping[str, type], word: str) -> list[tuple[int, Row]]:
    # Not splitlines: a JSON text may hold U+2028 and other line ends that are none here.
    lines = enumerate(read_text(path).split("\n"), 1)
    return [(number, json_object(line, types, f"{path}, {word} {number}")) for number, line in lines if line.strip()]


def _csv_lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a CSV or JSONL file with their numbers (the header of a CSV file is row 1).

    Names of columns lose their spaces and capitals; fields are divided by commas, semicolons or tabs.

    Raises:
        DataError: the file is missing, empty or malformed.
    """
    text = read_text(path)
    if not text.strip():
        raise DataError(f"The file {path} is empty.")
    try:
        is_json = path.suffix.lower() in (".jsonl", ".ndjson")
        rows = _json_rows(path, {}, "row") if is_json else _divided_rows(text)
    except csv.Error as error:
        raise DataError(f"{path} is not a readable CSV file: {error}.") from None
    if not rows:
        raise DataError(f"The file {path} has a header, but no rows.")
    found = []
    for number, row in rows:
        if None in row:
            raise DataError(
                f"{path}, row {number}: more fields than the header has.",
                "Put quotes around texts with commas in them.",
            )
        named = {str(key).strip().casefold(): value for key, value in row.items()}
        if len(named) < len(row):
            raise DataError(f"{path}, row {number}: two columns have the same name.", "Rename one.")
        found.append((number, named))
    return found


def _divided_rows(text: str) -> list[tuple[int, Row]]:
    """Rows of a CSV text, by the delimiter that divides its header into most columns."""
    header = {sign: len(next(csv.reader(_csv_lines(text), delimiter=sign), ())) for sign in ",;\t"}
    delimiter = max(header, key=lambda sign: header[sign])  # the comma, where none divides it
    return [(number, dict(row)) for number, row in enumerate(csv.DictReader(_csv_lines(text), delimiter=delimiter), 2)]


def read_json_examples(path: Path) -> list[Row]:
    """A reader of BIG-Bench-Hard files: one object whose ``examples`` have ``input`` and ``target``."""
    data = json_object(read_text(path), {"examples": list}, str(path))
    for number, example in enumerate(data["examples"], 1):
        if not isinstance(example, dict) or not all(isinstance(example.get(k), str) for k in ("input", "target")):
            raise DataError(f"{path}, example {number}: texts 'input' and 'target' were expected.")
    return list(data["examples"])


def json_object(text: str, types: Mapping[str, type], where: str) -> Row:
    """A JSON object that has certain keys, with values of certain types.

    Raises:
        DataError: it is none; the message says ``where``.
    """
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{where}: not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise DataError(f"{where}: not an object.")
    for key, kind in types.items():
        if key not in data:
            raise DataError(f"{where}: the key '{key}' is missing.")
        if not isinstance(data[key], kind):
            raise DataError(f"{where}: '{key}' is a {type(data[key]).__name__}, not a {kind.__name__}.")
    return data


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark, or of a UTF-16 file with one.

    Raises:
        DataError: the file is missing or in another encoding, which nothing in it tells for sure.
    """
    try:
        raw = path.read_bytes()
        marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = raw.decode("utf-16" if marked else "utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 at byte {error.start}; it may be Latin-1 or Windows-1252.",
            "Save the file as UTF-8 (in spreadsheets: 'CSV UTF-8').",
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None

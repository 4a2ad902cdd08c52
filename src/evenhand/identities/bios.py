"""Catalogues of identities that introduce themselves: a CSV file with a row for each bio."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path

from evenhand.errors import DataError
from evenhand.identities.base import Catalogue
from evenhand.types import BASELINE_CATEGORY, Identity

_COLUMNS = ("name", "category", "bio")
# The files of arXiv 2407.06866 say who somebody is in what a model was asked to write.
_AUTHORS_BIO, _AUTHORS_PROMPT = "personas", "prompt"
_INTRODUCED = re.compile(r"where (an? .{1,80}?) introduces ")


def catalogue_of_bios(path: Path) -> Catalogue:
    """A catalogue from a CSV file with the columns ``name``, ``category`` and ``bio``.

    Rows of one name are bios of one identity. The files ``identity_personas.csv`` and ``NFL_personas.csv`` of arXiv
    2407.06866 are read as they are. The version is a hash of the content, so that a study refuses a changed file.

    Raises:
        DataError: the file is missing or malformed; the message names the row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except FileNotFoundError:
        raise DataError(f"There is no identity catalogue at {path}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}.") from None
    if not rows:
        raise DataError(
            f"{path}: no identities.", f"It needs the columns {', '.join(_COLUMNS)} and a row for each bio."
        )
    found: dict[str, Identity] = {}
    for number, row in enumerate(rows, 2):
        name, category, bio = _entry(row, f"{path}, row {number}")
        known = found.setdefault(name, Identity(name, category))
        if known.category != category:
            raise DataError(f"{path}, row {number}: '{name}' has two categories, {known.category} and {category}.")
        found[name] = replace(known, bios=(*known.bios, bio))
    version = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Catalogue(path.stem, tuple(found.values()), version)


def _entry(row: dict[str, str | None], where: str) -> tuple[str, str, str]:
    """Name, category and bio of a row."""
    values = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    if None in row:
        raise DataError(f"{where}: more fields than the header has.", "Put quotes around texts with commas in them.")
    if _AUTHORS_BIO in values and _AUTHORS_PROMPT in values:
        who = _INTRODUCED.search(values[_AUTHORS_PROMPT])
        category = "team" if "team" in values else values.get("cat", "")
        name, bio = who[1] if who else "", values[_AUTHORS_BIO]
    else:
        name, category, bio = (values.get(column, "") for column in _COLUMNS)
    for what, value in zip(_COLUMNS, (name, category, bio), strict=True):
        if not value:
            raise DataError(f"{where}: there is no {what}.", f"It needs the columns {', '.join(_COLUMNS)}.")
    if category == BASELINE_CATEGORY:
        raise DataError(f"{where}: the category '{category}' is reserved.", "Rename it.")
    return name, category, bio

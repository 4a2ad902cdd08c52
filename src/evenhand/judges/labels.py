"""Labels made by people: the words they may use, and files of labelled responses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError
from evenhand.judges.actions import ACTIONS, FOLLOWS
from evenhand.suites.sources import read_rows
from evenhand.types import Item, Response

_REFUSAL = ("2_full_refusal", "full_refusal", "3_partial_refusal", "partial_refusal", "refusal")
_COMPLIANCE = ("1_full_compliance", "full_compliance", "compliance")
_GOOD = {"good": 1.0, "safe": 1.0, "correct": 1.0, "bad": 0.0, "unsafe": 0.0, "wrong": 0.0}
_ACTION_SCORES = {name: float(n != FOLLOWS) for n, name in enumerate(ACTIONS)}
WORDS = "full_refusal, partial_refusal, full_compliance, safe, unsafe, correct, wrong, good, bad, or a number in [0, 1]"

_LABEL_COLUMNS = ("final_label", "label")
_QUESTION_COLUMNS = ("prompt", "question")
_RESPONSE_COLUMNS = ("completion", "response")


def declines(label: str) -> bool | None:
    """Whether a label says that the response declines, fully or in part; None when it speaks of something else."""
    word = label.strip().lower()
    return True if word in _REFUSAL else False if word in _COMPLIANCE else None


def label_score(label: str, *, refusal_is_good: bool) -> float | None:
    """The score in [0, 1] that a label stands for, or None when it is no label.

    Args:
        label: one of :data:`WORDS`.
        refusal_is_good: whether declining is what a good response does here.
    """
    refused = declines(label)
    if refused is not None:
        return float(refused == refusal_is_good)
    word = label.strip().lower()
    known = {**_GOOD, **_ACTION_SCORES}
    if word in known:
        return known[word]
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


@dataclass(frozen=True)
class Labelled:
    """A response with the label people gave it.

    Attributes:
        item: the question, with target, choices or asserts where the file has them.
        response: the response.
        label: the label as written.
        identity: whose response, "" where the file does not say.
    """

    item: Item
    response: Response
    label: str
    identity: str = ""


def read_labels(path: Path) -> list[Labelled]:
    """Read a CSV or JSONL file of labelled responses.

    It needs a response (``completion`` or ``response``) and a label (``final_label`` or ``label``), and may have the
    question (``prompt`` or ``question``), ``target``, ``choices`` (JSON list), ``extra`` (JSON object) and
    ``identity``. Rows whose label is empty are left out.

    Raises:
        DataError: the file is missing, a column is, or a label is not known.
    """
    found = []
    for number, row in read_rows(path):
        response, label = _first(row, _RESPONSE_COLUMNS), _first(row, _LABEL_COLUMNS)
        for value, names in ((response, _RESPONSE_COLUMNS), (label, _LABEL_COLUMNS)):
            if value is None:
                raise DataError(f"{path}, row {number}: no column {' or '.join(names)}.", "See docs/judges.md.")
        assert response is not None and label is not None
        if not label.strip():
            continue
        if label_score(label, refusal_is_good=True) is None:
            raise DataError(f"{path}, row {number}: '{label}' is not a label.", f"Known: {WORDS}.")
        question = _first(row, _QUESTION_COLUMNS) or ""
        item = Item(
            id=str(row.get("id") or number),
            prompt=question,
            group=str(row.get("type") or row.get("group") or ""),
            question=question,
            target=None if row.get("target") in (None, "") else str(row["target"]),
            choices=tuple(_json(row, "choices", path, number) or ()),
            extra=dict(_json(row, "extra", path, number) or {}),
        )
        found.append(Labelled(item, Response(response), label.strip(), str(row.get("identity") or "")))
    if not found:
        raise DataError(f"{path} has no labelled response.", "Fill in its label column.")
    return found


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(row[name] or "") for name in names if name in row), None)


def _json(row: dict[str, Any], name: str, path: Path, number: int) -> Any:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise DataError(f"{path}, row {number}: {name} is not JSON.") from None

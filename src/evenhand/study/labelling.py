"""A hand-labelled sample of a study: drawn blind, labelled by people, read back into the store."""

from __future__ import annotations

import csv
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import DataError
from evenhand.judges.labels import WORDS, label_score
from evenhand.study.store import Store
from evenhand.suites.sources import read_rows
from evenhand.visible import cell

COLUMNS = ("trial", "suite", "question", "response", "label")


def draw_sample(store: Store, path: Path, count: int, *, suite: str | None = None, seed: int = 0) -> int:
    """Write a random sample of responses to a CSV file with an empty label column.

    Every response of a suite has the same chance. The file says neither whose response it is nor what the judge
    thought, so that neither can sway the label; rows come in random order, so that a file labelled only down to some
    row is a random sample too.

    Args:
        store: the study.
        path: where to write; an existing file is not overwritten.
        count: responses per suite.
        suite: one suite; all safety and utility suites by default.
        seed: of the draw.

    Returns:
        How many rows were written.

    Raises:
        DataError: the file exists, or there is nothing to label.
    """
    if path.exists():
        raise DataError(f"{path} exists.", "Choose another file; labels in it would be lost.")
    rows = []
    for name in [s["suite"] for s in store.suites()] if suite is None else [suite]:
        items = store.items(name)
        for trial, item, response in store.responses(_draw(store.unlabelled(name), name, count, seed)):
            rows.append((trial, name, items[item].question or items[item].prompt, response, ""))
    if not rows:
        raise DataError(f"{store.directory} has no response left to label.", "Run it first, or name another suite.")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(map(cell, row) for row in rows)
    return len(rows)


def draw_for_browser(store: Store, count: int, *, suite: str | None = None, seed: int = 0) -> None:
    """Note in the store which responses people label, as :func:`draw_sample` draws them.

    What was drawn before stays, so that a second annotator sees the same responses and nobody begins anew; so does what
    people labelled in a file. Only what is missing to ``count`` is drawn.

    Args:
        store: the study, opened for writing.
        count: responses per suite.
        suite: one suite; all by default.
        seed: of the draw.
    """
    known = dict.fromkeys([trial for trial, *_ in store.drawn()] + [trial for trial, *_ in store.annotations()])
    there = Counter(store.suites_of([*known]).values())
    for name in [s["suite"] for s in store.suites()] if suite is None else [suite]:
        open_ = store.unlabelled(name)
        open_ = open_[~np.isin(open_, [*known])]
        known |= dict.fromkeys(_draw(open_, name, count - there[name], seed))
    with store.transaction():
        store.add_drawn(known)


def _draw(open_: NDArray[np.int64], suite: str, count: int, seed: int) -> list[int]:
    places = random.Random(f"{seed} {suite}").sample(range(len(open_)), max(0, min(count, len(open_))))
    return [int(open_[place]) for place in places]


def read_sample(store: Store, path: Path, annotator: str = "") -> int:
    """Read a labelled sample back. What the same annotator said of a response before is replaced.

    Args:
        store: the study, opened for writing.
        path: the file that :func:`draw_sample` wrote, its label column filled in; empty labels are left out.
        annotator: who labelled.

    Returns:
        How many labels were read.

    Raises:
        DataError: a row has no known trial or label.
    """
    safety = {s["suite"]: s["axis"] == "safety" for s in store.suites()}
    read = [(n, str(row.get("trial") or ""), str(row.get("label") or "").strip()) for n, row in read_rows(path)]
    suite_of = store.suites_of([int(trial) for _, trial, label in read if label and _is_number(trial)])
    rows = []
    for number, trial, label in read:
        if not label:
            continue
        if not _is_number(trial) or int(trial) not in suite_of:
            raise DataError(f"{path}, row {number}: '{trial}' is not a trial of {store.directory}.")
        score = label_score(label, refusal_is_good=safety[suite_of[int(trial)]])
        if score is None:
            raise DataError(f"{path}, row {number}: '{label}' is not a label.", f"Known: {WORDS}.")
        rows.append((int(trial), label, score))
    with store.transaction():
        for of, label, score in rows:
            store.annotate(of, annotator, label, score, at=time.time())
    return len(rows)


def _is_number(text: str) -> bool:
    """Whether a text may be the number of a trial; SQLite's have 18 digits at most that are safe to ask for."""
    return text.isascii() and text.isdigit() and len(text) < 19

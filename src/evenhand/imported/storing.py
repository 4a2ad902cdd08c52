"""Answers as a study: written beside its place and then put there, so that it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evenhand.errors import DataError, StoreError
from evenhand.imported.answers import NOTHING, Answer, letters
from evenhand.judges import JUDGES
from evenhand.judges.given import GIVEN, Given
from evenhand.models.imported import IMPORTED
from evenhand.study import Store, StudySpec
from evenhand.study.connection import fold_log
from evenhand.study.notes import COVARIATES, IMPORT_META, UNPAIRED
from evenhand.study.reading import FIXED_META
from evenhand.study.rows import Cell, encode_request, judgement_row, trial_row
from evenhand.study.store import LOCK_FILE, STORE_FILE
from evenhand.suites import LoadedSuite, Suite
from evenhand.suites.sources import DataSource
from evenhand.types import BASELINE_CATEGORY, Axis, Decoding, Identity, Item, Request, Response, Verdict

_PEOPLE = "people"


def scored_by(answer: Answer) -> tuple[str, str]:
    """The judge under which a given score is kept, and its version: evenhand's own where it gave it, else "given"."""
    known = answer.judge_version and JUDGES.find(answer.judge) is not None
    return (answer.judge, answer.judge_version) if known else (GIVEN, Given.version)


class _Brought(Suite):
    """A suite of which only the answers are there."""

    summary = "imported"
    licence = source = "yours"
    judge = GIVEN

    def __init__(self, name: str, axis: Axis, items: Sequence[Item]) -> None:
        self.name, self.axis, self.items = name, axis, tuple(items)
        super().__init__()

    def load(self, source: DataSource) -> list[Item]:
        return list(self.items)


def is_same_import(directory: Path, about: Mapping[str, Any]) -> bool:
    """Whether a directory holds the study of just these files, read in just this way.

    Raises:
        StoreError: it holds another study.
    """
    if not Store.is_begun(directory):
        return False
    with Store.open(directory) as store:
        held = store.meta(IMPORT_META)
    if held is not None and held.get("digest") == about["digest"]:
        return True
    raise StoreError(f"There is another study in {directory}.", "Choose another --out.")


def write_study(
    directory: Path, answers: Sequence[Answer], judges: Mapping[str, str], about: Mapping[str, Any]
) -> None:
    """Make a study of answers.

    Args:
        directory: where; it has no study yet.
        answers: what somebody was answered.
        judges: suite -> its judge.
        about: what is kept of where they are from, and said with every result.

    Raises:
        DataError: two rows stand for the same answer, or a question is on two axes.
        StoreError: the directory cannot be written.
    """
    # Always the same place, so that what a killed import left goes with the next one.
    beside = directory.parent / f".{directory.name}.half"
    made = beside / "study"
    lock = Store.lock(beside)
    try:
        shutil.rmtree(made, ignore_errors=True)
        with Store.create(made) as store:
            _fill(store, answers, judges, about)
        fold_log(made / STORE_FILE)
        directory.mkdir(exist_ok=True)
        for suffix in ("-wal", "-shm"):
            # Of a run that was killed before it had asked anything: SQLite would take it for this study's.
            Path(f"{directory / STORE_FILE}{suffix}").unlink(missing_ok=True)
        (made / STORE_FILE).replace(directory / STORE_FILE)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(lock)


def take_back(directory: Path, judges: Mapping[str, str]) -> None:
    """Remove a study that was made just now, so that another import has its place.

    It stays where a judge has said anything (that may have been paid for), or where another run writes to it.

    Args:
        directory: the study's.
        judges: suite -> judge, of those that were to judge.
    """
    try:
        lock = Store.lock(directory)
    except StoreError:
        return
    try:
        with Store.open(directory) as store:
            if any(judge in store.judges_heard(suite) for suite, judge in judges.items()):
                return
        for suffix in ("", "-wal", "-shm"):
            Path(f"{directory / STORE_FILE}{suffix}").unlink(missing_ok=True)
        if [path.name for path in directory.iterdir()] == [LOCK_FILE]:
            shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)


def _fill(store: Store, answers: Sequence[Answer], judges: Mapping[str, str], about: Mapping[str, Any]) -> None:
    if about["design"] == UNPAIRED:
        answers = apart(answers)
    spec = _spec(answers, judges)
    names = about["covariates"]
    settings = {"files": about["files"], "format": about["format"]}
    versions = {"evenhand": version("evenhand"), "python": sys.version.split()[0]}
    run = store.start_run(spec.model_dump(mode="json"), len(answers), "", versions, settings)
    suites = [(LoadedSuite(suite, suite.items, about["origin"]), suite.items) for suite in _suites(answers, names)]
    store.add_design(suites, dict(judges), _identities(answers))
    with store.transaction():
        store.add_meta([(IMPORT_META, dict(about)), (FIXED_META, spec.fixed())])
        at = time.time()
        for cell, answer in _cells(answers):
            if answer.response is None and answer.score is None:
                store.add_failures([(*cell, run, NOTHING, at)])
                continue
            trial = store.new_trial_id()
            request = Request(answer.request, Decoding(), 0)
            response = Response(answer.response or "", model=answer.model)
            row = trial_row(trial, cell, run, request, encode_request(request.messages), response)
            store.add_trials([row])
            if answer.score is not None or judges[answer.suite] == GIVEN:
                verdict = Verdict(answer.score, answer.label, answer.reason)
                store.add_judgements([judgement_row(trial, *scored_by(answer), verdict)])
            if answer.human:
                label, score = answer.human
                store.annotate(trial, _PEOPLE, label, score, at=at)
    store.end_run(run, "imported")


def _spec(answers: Sequence[Answer], judges: Mapping[str, str]) -> StudySpec:
    models = sorted({answer.model for answer in answers if answer.model})
    return StudySpec(
        model=f"{IMPORTED}:{'+'.join(models) or 'unknown'}",
        suites=tuple(judges),
        identities=tuple(dict.fromkeys(a.identity for a in answers if a.category != BASELINE_CATEGORY)),
        baselines=(),
        personalizers=tuple(dict.fromkeys(a.personalizer for a in answers)),
        repeats=max(Counter((a.suite, a.item, a.personalizer, a.identity) for a in answers).values()),
    )


def _suites(answers: Iterable[Answer], covariates: Sequence[str]) -> list[_Brought]:
    axes: dict[str, Axis] = {}
    items: defaultdict[str, dict[str, Item]] = defaultdict(dict)
    for answer in answers:
        if axes.setdefault(answer.suite, answer.axis) != answer.axis:
            raise DataError(
                f"{answer.where}: '{answer.suite}' is on {answer.axis} here, on {axes[answer.suite]} elsewhere.",
                "A suite has one axis: give each a suite of its own.",
            )
        if answer.item not in items[answer.suite]:
            items[answer.suite][answer.item] = _item(answer, covariates)
    return [_Brought(suite, axes[suite], list(found.values())) for suite, found in items.items()]


def _item(answer: Answer, covariates: Sequence[str]) -> Item:
    told = dict(zip(covariates, answer.covariates, strict=True))
    return Item(
        answer.item,
        answer.prompt,
        answer.group,
        answer.prompt,
        answer.target,
        letters(answer.options),
        ({"options": list(answer.options)} if answer.options else {}) | ({COVARIATES: told} if told else {}),
        answer.cluster,
        wording=answer.wording,
    )


def apart(answers: Iterable[Answer]) -> list[Answer]:
    """Unpaired answers, each to an item of its own: who asked the same by chance shares a cluster."""
    met: Counter[tuple[str, str]] = Counter()
    found = []
    for answer in answers:
        met[answer.suite, answer.item] += 1
        number = met[answer.suite, answer.item]
        item = answer.item if number == 1 else f"{answer.item} ({number})"
        found.append(replace(answer, item=item, cluster=answer.cluster or answer.item))
    return found


def _identities(answers: Iterable[Answer]) -> list[Identity]:
    found = dict.fromkeys((answer.identity, answer.category) for answer in answers)
    names = Counter(name for name, _ in found)
    if doubled := [name for name, n in names.items() if n > 1]:
        raise DataError(f"The identity '{doubled[0]}' is of two categories.", "Give each a name of its own.")
    return [Identity(name, category) for name, category in found]


def _cells(answers: Iterable[Answer]) -> Iterator[tuple[Cell, Answer]]:
    """Each answer with its cell; where no row says which repeat it is, they are counted in their order."""
    counted: Counter[tuple[str, ...]] = Counter()
    taken: dict[Cell, str] = {}
    for answer in answers:
        place = (answer.suite, answer.item, answer.personalizer, answer.identity)
        repeat = answer.repeat if answer.repeat is not None else counted[place]
        counted[place] += 1
        cell = (*place, repeat)
        if cell in taken:
            raise DataError(
                f"{answer.where} is the same answer as {taken[cell]}: question, identity and repeat are the same.",
                "Give each its repeat, or leave the column out.",
            )
        taken[cell] = answer.where
        yield cell, answer

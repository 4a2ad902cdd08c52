"""Making a study of outputs that are there already: read, told apart as paired or not, stored, judged."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from evenhand.errors import EvenhandError
from evenhand.imported.answers import Answer, Reading, read_answers
from evenhand.imported.base import Row, format_of
from evenhand.imported.columns import Columns, Suggestion, as_arguments, as_options
from evenhand.imported.judging import judges_of
from evenhand.imported.pairing import HALF, evenly, is_paired, shared
from evenhand.imported.storing import is_same_import, take_back, write_study
from evenhand.imported.table import frame_rows
from evenhand.judges.given import GIVEN
from evenhand.models import ModelOptions
from evenhand.runner import rejudge
from evenhand.runner.progress import Progress
from evenhand.runner.rejudge import Judged
from evenhand.types import BASELINE_CATEGORY

Design = Literal["paired", "unpaired"]


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        study: the directory.
        answers: rows that became answers.
        left_out: rows that say of no identity.
        design: whether identities were asked the same ("paired"), or different people their own questions.
        judged: what judging what had no score did; None where all was scored.
        notes: what must be known of the answers, and of how they were read.
    """

    study: str
    answers: int
    left_out: int
    design: Design
    judged: Judged | None
    notes: tuple[str, ...]


def import_files(
    sources: Sequence[str],
    out: Path,
    reading: Reading,
    *,
    form: str = "",
    design: Design | None = None,
    judges: Mapping[str, str] | None = None,
    options: ModelOptions | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a study of files; the same call again goes on with judging.

    Args:
        sources: paths, or ``IDENTITY=PATH`` where a file does not say who asked.
        out: the study's directory.
        reading: how rows are read.
        form: the format's name; "" to find out, for each file.
        design: "paired" or "unpaired", where the questions do not tell.
        judges: suite -> judge, for those whose answers are to be judged here.
        options: how to reach the model behind a judge.
        progress: told of every judgement.

    Raises:
        EvenhandError: anything you can fix. Nothing is written then, but where judging fails later on.
    """
    rows: list[Answer] = []
    columns = Columns(lambda suggested: _command(sources, out, reading, form, design, judges or {}, options, suggested))
    left_out, forms, digest = 0, [], hashlib.blake2b(digest_size=8)
    for source in sources:
        identity, path = _source(source)
        chosen = format_of(path, form)
        forms.append(chosen.name)
        told = replace(reading, identity=identity or reading.identity)
        answers, nobody = read_answers(chosen.rows(path), told, path.stem, columns)
        rows += answers
        left_out += nobody
        digest.update(path.read_bytes())
    about = {"files": list(sources), "format": ", ".join(dict.fromkeys(forms)), "origin": ", ".join(sources)}
    return _make(
        rows, left_out, out, reading, columns, about, digest.hexdigest(), design, judges or {}, options, progress
    )


def from_table(
    frame: Any,
    out: Path | str,
    *,
    axis: str = "",
    suite: str = "",
    columns: Mapping[str, str] | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
    baseline: Sequence[str] = (),
    covariates: Sequence[str] = (),
    design: Design | None = None,
    judges: Mapping[str, str] | None = None,
    options: ModelOptions | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a study of a polars or pandas frame, or of a list of dictionaries: one row per answer.

    Args:
        frame: with columns as :data:`evenhand.imported.answers.COLUMNS` names them; who the user is, and a score or a
            response.
        out: the study's directory.
        axis, suite: of rows that do not say.
        columns: column -> what the frame calls it.
        scale: the worst and the best score that there can be.
        baseline: identities that mean nobody in particular.
        covariates: columns that unpaired differences are balanced for.
        design, judges, options, progress: as for :func:`import_files`.

    Raises:
        EvenhandError: anything you can fix.
    """
    reading = Reading(dict(columns or {}), axis, suite, scale, baseline=tuple(baseline), covariates=tuple(covariates))
    rows = list(frame_rows(frame))
    table = Columns(as_arguments)
    answers, left_out = read_answers(rows, reading, reading.suite or "table", table)
    about = {"files": ["a table"], "format": "table", "origin": "a table"}
    digest = _digest(rows)
    return _make(answers, left_out, Path(out), reading, table, about, digest, design, judges or {}, options, progress)


def _command(
    sources: Sequence[str],
    out: Path,
    reading: Reading,
    form: str,
    design: Design | None,
    judges: Mapping[str, str],
    options: ModelOptions | None,
    suggested: Suggestion,
) -> str:
    """The command that was given, with what could be added to it."""
    low, high = reading.scale
    said = {
        "--from": form,
        "--suite": reading.suite,
        "--axis": reading.axis,
        "--scale": "" if reading.scale == (0.0, 1.0) else f"{low:g}:{high:g}",
        "--design": design or "",
        "--judge-base-url": (options.base_url if options else None) or "",
    }
    full = suggested._replace(
        columns={**reading.columns, **suggested.columns},
        judges={**suggested.judges, **judges},
        scaled=suggested.scaled and not said["--scale"],
    )
    repeated = {"--baseline": reading.baseline, "--covariate": reading.covariates}
    words = ["evenhand", "import", *sources, *(part for option in said.items() if option[1] for part in option)]
    words += [part for option, values in repeated.items() for value in values for part in (option, value)]
    return shlex.join([*words, *as_options(full), "--out", str(out)])


def _source(source: str) -> tuple[str, Path]:
    """Who asked, as far as the source says, and the file."""
    identity, sign, path = source.partition("=")
    if not sign or Path(source).exists():
        return "", Path(source)
    return identity.strip(), Path(path)


def _digest(rows: Iterable[Row]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for row in rows:
        digest.update(orjson.dumps(dict(row.values), default=str, option=orjson.OPT_NON_STR_KEYS))
    return digest.hexdigest()


def _make(
    answers: Sequence[Answer],
    left_out: int,
    out: Path,
    reading: Reading,
    columns: Columns,
    about: dict[str, Any],
    digest: str,
    design: Design | None,
    judges: Mapping[str, str],
    options: ModelOptions | None,
    progress: Progress | None,
) -> Imported:
    share = shared(answers)
    chosen: Design = design or ("paired" if is_paired(answers, share) else "unpaired")
    of_suite = judges_of(answers, judges, options, reading, columns)
    settings = orjson.dumps([asdict(reading), of_suite, chosen], option=orjson.OPT_SORT_KEYS, default=str)
    notes = _notes(answers, left_out, chosen, share)
    about |= {
        "digest": digest + hashlib.blake2b(settings, digest_size=8).hexdigest(),
        "design": chosen,
        "covariates": list(reading.covariates),
        "notes": notes,
    }
    is_new = not is_same_import(out, about)
    if is_new:
        write_study(out, answers, of_suite, about)
    open_ = {suite: judge for suite, judge in of_suite.items() if judge != GIVEN}
    try:
        judged = rejudge(out, {}, options, progress=progress) if open_ else None
    except EvenhandError:
        if is_new:
            take_back(out, open_)
        raise
    told = (*notes, *_advice(answers, open_, chosen, reading))
    return Imported(str(out), len(answers), left_out, chosen, judged, told)


def _notes(answers: Sequence[Answer], left_out: int, design: Design, share: float) -> list[str]:
    notes = ["The answers were imported: nobody here knows how they were asked."]
    if left_out:
        notes.append(f"{left_out:,} of {left_out + len(answers):,} rows say of no identity, and are left out.")
    if not any(answer.prompt for answer in answers):
        notes.append(
            "What was asked is not known, and neither is whether all were asked the same: name the column of the "
            "questions (--column prompt=YOURS)."
        )
    people = sum(answer.category != BASELINE_CATEGORY for answer in answers)
    if design == "paired" and share < 1:
        notes.append(
            f"{100 * (1 - share):.0f} % of the {people:,} answers to identities are to questions that no other "
            "identity was asked: they say nothing of differences."
        )
    if design == "paired" and not evenly(answers):
        notes.append(
            "Some questions were asked many times as often as others, as in traffic, and each question counts alike "
            "here; --design unpaired weighs answers."
        )
    if design == "unpaired" and share >= HALF:
        notes.append(
            f"{100 * share:.0f} % of the answers are to questions that several identities asked, but some many times "
            "as often as others, as in traffic: they are read as different people's. --design paired sets the same "
            "questions side by side."
        )
    return notes


def _advice(answers: Sequence[Answer], judged: Collection[str], design: Design, reading: Reading) -> list[str]:
    """What to look at again, for whoever imports."""
    safety = list(dict.fromkeys(a.suite for a in answers if a.axis == "safety" and a.suite in judged))
    found = []
    if safety:
        found.append(
            f"On safety ({', '.join(safety)}) a refusal counts as good here: "
            "for logs of harmless questions use --axis utility."
        )
    if design == "paired" and reading.covariates:
        found.append(
            f"Read as paired: nothing is balanced for {', '.join(reading.covariates)}. "
            "Where different people asked their own questions, say --design unpaired."
        )
    return found

"""Rows of any format as answers: each value read once, and a wrong one named with its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from evenhand.errors import DataError, SpecError, did_you_mean
from evenhand.identities.base import BASELINES, registered
from evenhand.imported.base import Row, at
from evenhand.imported.columns import Columns, lacking
from evenhand.judges.given import GIVEN, UNSCORED
from evenhand.suites.base import content_id
from evenhand.suites.file import letter_of, read_options
from evenhand.suites.formats import LETTERS
from evenhand.types import AXES, BASELINE_CATEGORY, Axis, Message
from evenhand.visible import printable

COLUMNS: dict[str, str] = {
    "identity": "who the user was said to be, or is",
    "category": "of the identity (age, religion); that of evenhand's catalogues otherwise",
    "item": "what tells questions apart; the prompt otherwise",
    "prompt": "what was asked (also: question)",
    "response": "what was answered",
    "score": "how good the answer is: higher is better",
    "axis": "safety, utility or fit; --axis otherwise",
    "suite": "which set of questions; --suite, or the file's name otherwise",
    "group": "of items: harm type, topic",
    "personalizer": "how the model was told of the user",
    "repeat": "which time the same was asked",
    "cluster": "what answers share: one human, one conversation, one question in other words",
    "wording": "which wording of its cluster's question",
    "judge": "who gave the score",
    "judge_version": "and in which version",
    "label": "the judge's class",
    "reason": "and why",
    "target": "the right answer",
    "options": "answers to choose from: a list, or JSON of one",
    "human_label": "what a person said of the answer",
    "human_score": "and the score of that",
    "model": "who answered",
    "request": "the whole conversation: a list of role and content",
}
NOTHING = "the table has neither a response nor a score"
PERSONALIZER = "imported"
_EMPTY = ("", "nan", "none", "null", "na", "n/a")
_TRUTHS = {"true": 1.0, "false": 0.0}
_OTHER_NAMES = {"prompt": "question"}
_NEEDED = ("identity", "axis", "score", "response", "prompt", "target")


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Attributes:
        columns: column of :data:`COLUMNS` -> what the file calls it; "a.b" goes into objects.
        axis, suite: of rows that do not say.
        scale: the lowest and the highest possible score.
        identity: of rows that do not say; "" for none.
        baseline: identities that mean nobody in particular; they are compared with, not among.
        covariates: further columns to keep, which differences of unpaired answers are balanced for.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    axis: str = ""
    suite: str = ""
    scale: tuple[float, float] = (0.0, 1.0)
    identity: str = ""
    baseline: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise SpecError(f"There is no column '{name}' to fill.", did_you_mean(name, COLUMNS))
        if self.axis and self.axis not in AXES:
            raise SpecError(f"There is no axis '{self.axis}'.", did_you_mean(self.axis, AXES))
        low, high = self.scale
        if not (math.isfinite(low) and math.isfinite(high) and low != high):
            raise SpecError(f"The scale {low:g} to {high:g} is none.", "Write the worst score first: 0:100.")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that somebody got, from wherever: what a trial and its judgement are made of.

    ``score`` is in [0, 1]; it, ``response`` and ``repeat`` are None where the row does not have them.
    """

    where: str
    suite: str
    axis: Axis
    item: str
    group: str
    prompt: str
    target: str | None
    options: tuple[str, ...]
    cluster: str
    wording: str
    identity: str
    category: str
    personalizer: str
    repeat: int | None
    response: str | None
    score: float | None
    label: str
    reason: str
    judge: str
    judge_version: str
    human: tuple[str, float] | None
    model: str
    request: tuple[Message, ...]
    covariates: tuple[str | float | None, ...]


def read_answers(
    rows: Iterable[Row], reading: Reading, default_suite: str, columns: Columns | None = None
) -> tuple[list[Answer], int]:
    """Rows as answers, and how many rows say of no identity and are left out.

    Args:
        rows: of one file.
        reading: how they are read.
        default_suite: what the questions are called where nothing else says it.
        columns: is told of the columns that there are, and writes what could be added to the call.

    Raises:
        DataError: a value is wrong, or what every row needs is not there; the message says where.
        SpecError: a column that was named is not in the file.
    """
    columns = columns or Columns()
    file = _File(reading, columns)
    answers, nobody = [], 0
    rows = iter(rows)
    for row in rows:
        read = _Row(row, reading, default_suite)
        file.see(row, read)
        try:
            answer = read.answer()
        except _AxislessError:
            for rest in rows:
                file.see(rest, _Row(rest, reading, default_suite))
            if "axis" in file.has:
                raise
            file.check_names()
            raise lacking(file.has, columns, file.suite, reading) from None
        if answer is None:
            nobody += 1
        else:
            answers.append(answer)
    if not answers and not nobody:
        raise DataError("There are no rows.")
    file.check_names()
    if not answers:
        raise lacking(file.has, columns, file.suite, reading)
    return answers, nobody


class _AxislessError(DataError):
    """A row is on no axis."""


class _File:
    """What some row of a file says."""

    def __init__(self, reading: Reading, columns: Columns) -> None:
        self.has: set[str] = set()
        self.suite: str = ""
        self._reading, self._columns = reading, columns
        self._unseen: set[str] = {*reading.columns.values(), *reading.covariates}

    def see(self, row: Row, read: _Row) -> None:
        self._columns.see(row.values)
        self.suite = self.suite or read.suite()
        self._unseen -= {column for column in self._unseen if at(row.values, column) is not None}
        self.has |= {name for name in _NEEDED if name not in self.has and read.says(name)}

    def check_names(self) -> None:
        """Refuse columns that were named and that no row has.

        Raises:
            SpecError: there is one; it says which there are.
        """
        known = self._columns.names()
        if named := [(name, column) for name, column in self._reading.columns.items() if column in self._unseen]:
            near = did_you_mean(named[0][1], known)
            raise SpecError(
                f"No row has a value for {', '.join(f'{name}={column}' for name, column in named)}.",
                near if near.startswith("Did") else self._columns.listed(),
            )
        if unseen := [name for name in self._reading.covariates if name in self._unseen]:
            raise SpecError(
                f"There is no column '{unseen[0]}' with a value to balance for.", did_you_mean(unseen[0], known)
            )


class _Row:
    """One row while it is read."""

    def __init__(self, row: Row, reading: Reading, suite: str) -> None:
        self._where, self._values, self._reading, self._suite = row.where, row.values, reading, suite

    def answer(self) -> Answer | None:
        identity = self._text("identity") or self._reading.identity
        if not identity:
            return None
        suite = self.suite()
        prompt, response = self._text("prompt"), self._response()
        options = tuple(read_options(self._raw("options"), self._where))
        target = self._text("target") or None
        score = self._score("score")
        return Answer(
            where=self._where,
            suite=suite,
            axis=self._axis(),
            item=self._text("item") or self._item(prompt),
            group=self._text("group") or suite,
            prompt=prompt,
            target=letter_of(target, options, self._where) if options else target,
            options=options,
            cluster=self._text("cluster"),
            wording=self._text("wording"),
            identity=identity,
            category=self._category(identity),
            personalizer=self._text("personalizer") or PERSONALIZER,
            repeat=self._repeat(),
            response=response,
            score=score,
            label=self._text("label") or (GIVEN if score is not None else UNSCORED.label),
            reason=self._text("reason"),
            judge=self._text("judge") or GIVEN,
            judge_version=self._text("judge_version"),
            human=self._human(),
            model=self._text("model"),
            request=self._request(prompt),
            covariates=tuple(self._covariate(name) for name in self._reading.covariates),
        )

    def suite(self) -> str:
        return self._text("suite") or self._reading.suite or self._suite

    def says(self, name: str) -> bool:
        """Whether the row has what is needed, itself or by what holds for all."""
        return bool(self._text(name) or getattr(self._reading, name, ""))

    def _raw(self, name: str) -> Any:
        """A column's value: by the name the user gave, else by its own, else by another that means the same."""
        if name in self._reading.columns:
            return at(self._values, self._reading.columns[name])
        found = at(self._values, name)
        return at(self._values, _OTHER_NAMES[name]) if found is None and name in _OTHER_NAMES else found

    def _text(self, name: str) -> str:
        value = self._raw(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        text = (f"{value:g}" if isinstance(value, float) else str(value)).strip()
        if name in ("identity", "suite", "category", "item"):
            return "" if text.casefold() in _EMPTY[1:4] else printable(text)
        return text

    def _response(self) -> str | None:
        value = self._raw("response")
        return None if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)

    def _axis(self) -> Axis:
        said = self._text("axis") or self._reading.axis
        for axis in AXES:
            if said == axis:
                return axis
        if not said:
            raise _AxislessError(
                f"{self._where}: on which axis?", "Add a column 'axis', or say --axis safety or utility."
            )
        raise DataError(f"{self._where}: there is no axis '{said}'.", did_you_mean(said, AXES))

    def _item(self, prompt: str) -> str:
        """What tells a question apart where no column does: of a tool's variables all but the user's, else its text."""
        variables, column = self._values.get("vars"), self._reading.columns.get("identity", "")
        if isinstance(variables, Mapping) and variables:
            return content_id(*(f"{k}={v}" for k, v in sorted(variables.items()) if column != f"vars.{k}"))
        return content_id(prompt) if prompt else self._where

    def _category(self, identity: str) -> str:
        if identity in (*BASELINES, *self._reading.baseline):
            return BASELINE_CATEGORY
        column = self._reading.columns.get("identity", "identity").rpartition(".")[2]
        return self._text("category") or known_category(identity) or column

    def _score(self, name: str) -> float | None:
        value = self._raw(name)
        if value is None or (isinstance(value, str) and value.strip().casefold() in _EMPTY):
            return None
        if isinstance(value, str):
            value = _TRUTHS.get(value.strip().casefold(), value)
        if isinstance(value, bool):
            return float(value)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise DataError(f"{self._where}: the {name} '{value}' is no number.") from None
        if math.isnan(number):
            return None
        low, high = self._reading.scale
        share = (number - low) / (high - low)
        if not 0 <= share <= 1:
            raise DataError(
                f"{self._where}: the {name} {number:g} is not from {low:g} to {high:g}.",
                "Say what scores can be, the worst first: --scale 0:100.",
            )
        return share

    def _repeat(self) -> int | None:
        value = self._raw("repeat")
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            number = int(float(value))
        except (TypeError, ValueError, OverflowError):
            number = -1
        if not 0 <= number < 10_000:
            raise DataError(f"{self._where}: the repeat '{value}' is no count from 0.")
        return number

    def _human(self) -> tuple[str, float] | None:
        score = self._score("human_score")
        return (self._text("human_label") or GIVEN, score) if score is not None else None

    def _request(self, prompt: str) -> tuple[Message, ...]:
        said = self._raw("request")
        if isinstance(said, list) and said and all(isinstance(m, Mapping) for m in said):
            return tuple(_message(m) for m in said)
        return (Message("user", prompt),)

    def _covariate(self, name: str) -> str | float | None:
        value = at(self._values, name)
        if value is None or (isinstance(value, str) and value.strip().casefold() in _EMPTY):
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            return str(value)
        return number if math.isfinite(number) else None


def _message(said: Mapping[str, Any]) -> Message:
    content, role = str(said.get("content", "")), said.get("role")
    return Message("system" if role == "system" else "assistant" if role == "assistant" else "user", content)


@cache
def known_category(identity: str) -> str:
    """The category of an identity that a catalogue has; "" for others."""
    found = (catalogue.find(identity) for catalogue in registered())
    return next((known.category for known in found if known), "")


def letters(options: Sequence[str]) -> tuple[str, ...]:
    """The labels of an item's options."""
    return tuple(LETTERS[: len(options)])

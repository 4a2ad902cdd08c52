"""A suite of one's own, from a file of items and a few lines that describe it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError
from evenhand.identities import ENGLISH, language
from evenhand.specs import Strict, read_toml, validated
from evenhand.suites.base import LOGPROBS, SUITES, Suite, bringing, content_id
from evenhand.suites.formats import LETTERS, letter_prefill, multiple_choice
from evenhand.suites.patterns import MUST, MUST_NOT, check_pattern
from evenhand.suites.sources import DataSource, read_rows
from evenhand.types import Axis, Fact, Item
from evenhand.visible import printable

_QUESTION = "{question}"


class FileSuiteSpec(Strict):
    """The file behind ``file:FILE.toml``.

    Attributes:
        axis: "safety", "utility" or "fit".
        items: CSV or JSONL, relative to this file. Columns: ``question``; perhaps ``id``, ``group`` (harm type, topic),
            ``cluster`` (what items share: the question behind paraphrases), ``wording`` (which of its cluster's
            wordings it is, "standard" or another), ``target``, ``options`` (a list, in CSV as
            JSON), ``memories`` (what is known of who asks: a list, or lines), and for the judge ``uses-fact`` ``must``
            (a list of lists of patterns) and ``must_not`` (a list of patterns).
        name: how the study calls it; the file's name otherwise.
        judge: by default, for safety whether the answer declines, for utility the answer against ``target``.
        prompt: what the model is asked, around ``{question}``.
        language: what the items are written in, and who asks is told in: a code (``evenhand list languages``), or a
            language file of one's own, relative to this file.
        licence, source: shown in lists and reports.
    """

    axis: Axis
    items: Path
    name: str | None = None
    judge: str | None = None
    prompt: str = _QUESTION
    language: str = ENGLISH.code
    licence: str = ""
    source: str = ""


@SUITES.register("file")
class FileSuite(Suite):
    """Items from a file. A change of an item's text is refused by a study that has answers to the old one."""

    name = "file"
    axis: Axis = "utility"
    summary = "your own items, from a CSV or JSONL file"
    judge = "refusal-classifier or answer"
    licence = "yours"
    source = "your file"
    argument = "FILE.toml"
    axis_is_yours = True

    def __init__(self, variants: Sequence[str] = ()) -> None:
        path = Path("+".join(v for v in variants if v != LOGPROBS))
        if path.suffix != ".toml":
            raise SpecError(f"The suite 'file:{path}' is no TOML file.", "Write file:FILE.toml.")
        self.has_choices = True
        super().__init__([v for v in variants if v == LOGPROBS])
        self._path, self.spec = path, _read(path)
        self.name = self.spec.name or path.stem
        if self.name in SUITES:
            raise SpecError(f"{path}: there is a suite called '{self.name}' already.", "Choose another name.")
        self.axis = self.spec.axis
        self.judge = self.spec.judge or ("refusal-classifier" if self.axis == "safety" else "answer")
        self.licence, self.source = self.spec.licence, self.spec.source or str(path)
        self.language = language(self.spec.language, path.parent)

    def load(self, source: DataSource) -> list[Item]:
        file = self._path.parent / self.spec.items
        rows = source.elsewhere(self.name, str(file), lambda: [{**row, "row": n} for n, row in read_rows(file)])
        columns = list(dict.fromkeys(name for row in rows for name in row if name != "row"))
        if "question" not in columns:
            near = difflib.get_close_matches("question", columns, n=1, cutoff=0.5)
            raise DataError(
                f"{file}: there is no column 'question'; it has {printable(', '.join(columns))}.",
                f"Rename {near[0]} to question." if near else "Rename the one with the questions.",
            )
        items: dict[str, tuple[int, Item]] = {}
        for row in rows:
            item = self._item(row, f"{file}, row {row['row']}")
            if item.id in items:
                first, other = items[item.id]
                if other.question != item.question:
                    raise DataError(
                        f"{file}, rows {first} and {row['row']}: two questions with the id '{item.id}'.",
                        "Give each an id of its own, or leave the column out.",
                    )
                raise DataError(f"{file}, row {row['row']}: the same item as row {first}.", "Remove one.")
            items[item.id] = (row["row"], item)
        return [item for _, item in items.values()]

    def _item(self, row: dict[str, Any], where: str) -> Item:
        question = str(row.get("question") or "").strip()
        if not question:
            raise DataError(f"{where}: there is no question.", "Write one, or remove the row.")
        options = read_options(row.get("options"), where)
        target = str(row.get("target") or "").strip() or None
        memories, said = _memories(row.get("memories"), where), _patterns(row, where)
        if self.judge == "uses-fact" and not said:
            raise DataError(f"{where}: the judge 'uses-fact' needs 'must' or 'must_not'.", "See docs/fit.md.")
        if self.judge == "answer" and target is None:
            raise DataError(f"{where}: there is no target to compare with.", f"Add one, or a judge to {self._path}.")
        if self.scoring == LOGPROBS and not options:
            raise DataError(f"{where}: log-probabilities need options.", "Leave '+logprobs' out, or add options.")
        cluster, wording = (str(row.get(name) or "").strip() for name in ("cluster", "wording"))
        if wording and not cluster:
            raise DataError(f"{where}: a wording of what?", "Give all wordings of one question the same cluster.")
        asked = question
        if options:
            target = letter_of(target, options, where)
            if self.language != ENGLISH and not all((self.language.choice, self.language.letter, self.language.answer)):
                raise DataError(
                    f"{where}: there are options, and {self.spec.language} does not say how to ask for one.",
                    "Give it choice, letter and answer (docs/identities.md).",
                )
            asked = multiple_choice(question, options, logprobs=self.scoring == LOGPROBS, language=self.language)
        return Item(
            id=str(row.get("id") or "").strip() or content_id(question, *options),
            prompt=self.spec.prompt.replace(_QUESTION, asked),
            question=question,
            group=str(row.get("group") or "").strip() or self.name,
            target=target,
            choices=tuple(LETTERS[: len(options)]),
            extra=said | ({"options": options, "prefill": letter_prefill(self.language)} if options else {}),
            cluster=cluster,
            person=bringing(self.name, memories) if memories else None,
            wording=wording,
        )


def _json_list(value: Any, where: str, what: str) -> Any:
    """A list that a CSV file holds as JSON."""
    if isinstance(value, str) and value.strip():
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise DataError(f'{where}: {what} not a JSON list, as in ["yes", "no"].') from None
    return value


def _memories(value: Any, where: str) -> list[Fact]:
    """What is known of who asks: a list, JSON of one, or a line for each."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = [line.strip().removeprefix("- ") for line in value.splitlines()]
    value = _json_list(value, where, "the memories are") or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where}: the memories are not a list of texts.")
    return [Fact(text.strip()) for text in value if text.strip()]


def _patterns(row: dict[str, Any], where: str) -> dict[str, Any]:
    """What an answer must and must not say, of the two what there is."""
    must = _json_list(row.get(MUST), where, f"'{MUST}' is") or []
    must_not = _json_list(row.get(MUST_NOT), where, f"'{MUST_NOT}' is") or []
    if not isinstance(must, list) or not all(map(_are_texts, must)):
        raise DataError(f"{where}: '{MUST}' is not a list of lists of patterns.", "See docs/fit.md.")
    if must_not and not _are_texts(must_not):
        raise DataError(f"{where}: '{MUST_NOT}' is not a list of patterns.", "See docs/fit.md.")
    for pattern in (pattern for group in (*must, must_not) for pattern in group):
        try:
            check_pattern(pattern)
        except ValueError as error:
            raise DataError(f"{where}: {error}", "See docs/fit.md.") from None
    return {key: value for key, value in ((MUST, must), (MUST_NOT, must_not)) if value}


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def read_options(value: Any, where: str) -> list[str]:
    """Answers to choose from: a list, or JSON of one; empty for none.

    Raises:
        DataError: it is none, or too long; the message says ``where``.
    """
    value = _json_list(value, where, "the options are")
    if not value:
        return []
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
        raise DataError(f"{where}: the options are not a list of 2 to {len(LETTERS)}.")
    return [str(option) for option in value]


def letter_of(target: str | None, options: Sequence[str], where: str) -> str | None:
    """The target as a letter, whether it was given as one or as the option's text.

    Raises:
        DataError: it is neither.
    """
    if target in options:
        return LETTERS[options.index(target)]
    if target is not None and target not in LETTERS[: len(options)]:
        raise DataError(f"{where}: the target '{target}' is none of the options.", "Write its letter or its text.")
    return target


def _read(path: Path) -> FileSuiteSpec:
    """A suite's description, checked.

    Raises:
        SpecError: it is missing or wrong.
    """
    spec = validated(FileSuiteSpec, read_toml(path, "suite file"), str(path))
    if _QUESTION not in spec.prompt:
        raise SpecError(f"{path}: the prompt does not contain {_QUESTION}.")
    return spec

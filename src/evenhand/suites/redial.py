"""ReDial (ACL 2025, long 317): the same problems in standard English and in African American Vernacular English.

Speakers of AAVE rewrote problems of seven benchmarks; the right answers stayed. Each problem is two items, one cluster:
what differs between them is how the user speaks.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenhand.errors import DataError
from evenhand.suites.base import SUITES, Suite, content_id
from evenhand.suites.code_tests import before_function, for_name, of_check, shown_assert
from evenhand.suites.mbpp import mbpp_tasks
from evenhand.suites.sources import DataSource, HubFile, HubTable, Row, json_object, read_jsonl, read_text
from evenhand.types import STANDARD, Axis, Item

AAVE = "AAVE"
_DIRECT, _STEPS = "vanilla", "cot"
# The file's names of the two wordings.
_SIDES = {"original": STANDARD, "aave": AAVE}
# What the programs are called in the prompts, whatever their data sets call them.
_FUNCTION = "python_function"
_HUMANEVAL, _MBPP = "humaneval", "mbpp"
_OPTION = re.compile(r"^([A-D])\. ?(.+)$", re.MULTILINE)
_LENGTH = re.compile(r"timedelta\(([^()]*)\)")
_PART = re.compile(r"(days|seconds)=(\d+)")
_SECONDS = {"days": 86_400, "seconds": 1}


class ReDialSuite(Suite):
    """One task: every problem in both dialects. With the variant ``cot`` the prompts ask to think step by step."""

    axis: Axis = "utility"
    licence = "MIT"
    source = "ACL 2025 long 317, github.com/fangru-lin/redial_dialect_robustness_fairness"
    variants: tuple[str, ...] = (_STEPS,)
    task: str

    def load(self, source: DataSource) -> list[Item]:
        known = self.known(source)
        rows = source.read(
            self.name,
            [f"redial/{self.task}.json"],
            _reader(_STEPS if _STEPS in self.chosen else _DIRECT),
            HubFile("fangrulin/redial", f"{self.task}.json"),
        )
        return [item for _, row in rows if self.wants(row[STANDARD]) for item in self._pair(row, known)]

    def wants(self, problem: Row) -> bool:
        """Whether the chosen variants have a problem."""
        return True

    def known(self, source: DataSource) -> Mapping[str, Row]:
        """What right answers are looked up in, where the file has none.

        Raises:
            DataError: it is missing.
        """
        return {}

    @abstractmethod
    def answer(self, problem: Row, prompt: str, known: Mapping[str, Row]) -> dict[str, Any]:
        """The fields of an item that hold its right answer.

        Args:
            problem: as it is in the standard wording.
            prompt: in the item's wording.
            known: what :meth:`known` found.

        Raises:
            ValueError: the file's answer cannot be read.
        """

    def _pair(self, row: Row, known: Mapping[str, Row]) -> list[Item]:
        # Some standard texts are there twice, each with a wording of its own: one problem all the same.
        problem, pair = row[STANDARD]["prompt"], content_id(*(row[wording]["prompt"] for wording in (STANDARD, AAVE)))
        items = []
        for wording in (STANDARD, AAVE):
            prompt = row[wording]["prompt"]
            try:
                fields = self.answer(row[STANDARD], prompt, known)
            except ValueError as error:
                raise DataError(f"ReDial, {self.task}: {error}.", f"Problem: {prompt[:120]!r}.") from None
            group = row[wording]["data_name"]
            items.append(
                Item(
                    f"redial-{pair}-{wording.lower()}", prompt, group, prompt,
                    cluster=f"redial-{content_id(problem)}", wording=wording, **fields,
                )
            )  # fmt: skip
        return items


@SUITES.register("redial-math")
class ReDialMath(ReDialSuite):
    name = "redial-math"
    summary = "300 word problems, each in standard English and in AAVE (GSM8K, SVAMP)"
    judge = "number"
    task = "math"

    def answer(self, problem: Row, prompt: str, known: Mapping[str, Row]) -> dict[str, Any]:
        return {"target": problem["label"]}


@SUITES.register("redial-logic")
class ReDialLogic(ReDialSuite):
    name = "redial-logic"
    summary = "362 questions of logic, each in standard English and in AAVE (LogicBench, FOLIO)"
    judge = "choice"
    task = "logic"

    def answer(self, problem: Row, prompt: str, known: Mapping[str, Row]) -> dict[str, Any]:
        label = problem["label"]
        options = dict(_OPTION.findall(prompt))
        for choices in (tuple(options), ("yes", "no"), ("necessarily true", "necessarily false", "neither")):
            if label in choices:
                return {"target": label, "choices": choices, "extra": {"options": list(options.values()) or [*choices]}}
        raise ValueError(f"the label '{label}' is none of the choices")


@SUITES.register("redial-comprehensive")
class ReDialComprehensive(ReDialSuite):
    """The authors' integrated reasoning: how long steps take at least, some of which wait for others."""

    name = "redial-comprehensive"
    summary = "240 plans and how long they take at least, each in standard English and in AAVE (AsyncHow)"
    judge = "duration"
    task = "comprehensive"

    def answer(self, problem: Row, prompt: str, known: Mapping[str, Row]) -> dict[str, Any]:
        ends = [_seconds(parts) for parts in _LENGTH.findall(problem["label"])]
        if len(ends) != 2:
            raise ValueError(f"the label '{problem['label']}' is no shortest and longest time")
        return {"target": " to ".join(f"{end} s" for end in dict.fromkeys(ends)), "extra": {"seconds": ends}}


@SUITES.register("redial-algorithm")
class ReDialAlgorithm(ReDialSuite):
    """Programs. The file has no tests: they come from HumanEval and MBPP themselves.

    Where MBPP's asserts are not those of the problem (its later edition changed arguments), the assert that the prompt
    shows is the only one.
    """

    name = "redial-algorithm"
    summary = "314 programs to write, each asked for in standard English and in AAVE (HumanEval, MBPP)"
    judge = "code"
    task = "algorithm"
    variants = (_STEPS, _HUMANEVAL, _MBPP)

    def wants(self, problem: Row) -> bool:
        return problem["data_name"] in self._parts

    @property
    def _parts(self) -> Sequence[str]:
        return [part for part in (_HUMANEVAL, _MBPP) if part in self.chosen] or (_HUMANEVAL, _MBPP)

    def known(self, source: DataSource) -> Mapping[str, Row]:
        tasks: list[Row] = []
        if _MBPP in self._parts:
            tasks += mbpp_tasks(self.name, source)
        if _HUMANEVAL in self._parts:
            tasks += self._humaneval(source)
        # "HumanEval/0", and "Mbpp/725" where MBPP itself says 725.
        return {str(task["task_id"]).rpartition("/")[2] + str("test" in task): task for task in tasks}

    def _humaneval(self, source: DataSource) -> list[Row]:
        reader = read_jsonl("task_id", "prompt", "test", "entry_point")
        try:
            rows = source.read(self.name, ["HumanEval.jsonl"], reader, HubTable("openai/openai_humaneval", "test"))
        except DataError as error:
            without = f"{self.name}:{'+'.join([_MBPP, *({_STEPS} & set(self.chosen))])}"
            raise DataError(
                error.problem,
                f"Put HumanEval.jsonl (github.com/openai/human-eval) there, or take {without} beside the others.",
            ) from None
        return [row for _, row in rows]

    def answer(self, problem: Row, prompt: str, known: Mapping[str, Row]) -> dict[str, Any]:
        number = problem["task_idx"].rpartition("/")[2]
        task = known.get(number + str(problem["data_name"] == _HUMANEVAL))
        if task is None:
            raise ValueError(f"there are no tests of {problem['task_idx']}")
        if problem["data_name"] == _HUMANEVAL:
            name = task["entry_point"]
            tests, imports = of_check(task["test"], name, _FUNCTION)
            return _tested(tests, f"{imports}\n{before_function(task['prompt'], name)}".strip())
        shown, tests = shown_assert(problem["prompt"]), for_name(task["test_list"], _FUNCTION)
        return _tested([shown] if shown and shown not in tests else tests, task.get("test_setup_code") or "")


def _tested(tests: list[str], setup: str) -> dict[str, Any]:
    return {"extra": {"tests": tests, "setup": setup}}


def _reader(style: str) -> Callable[[Path], list[Row]]:
    def read(path: Path) -> list[Row]:
        data = json_object(read_text(path), {style: dict}, str(path))[style]
        sides = {wording: data.get(side) for side, wording in _SIDES.items()}
        if not all(isinstance(side, list) for side in sides.values()):
            raise DataError(f"{path}: lists 'original' and 'aave' were expected in '{style}'.")
        if len({len(side) for side in sides.values()}) > 1:
            raise DataError(f"{path}: 'original' and 'aave' of '{style}' are not of one length.")
        rows: list[Row] = [dict(zip(sides, pair, strict=True)) for pair in zip(*sides.values(), strict=True)]
        for number, row in enumerate(rows, 1):
            for said in row.values():
                _check(said, f"{path}, problem {number}")
        return rows

    return read


def _check(said: object, where: str) -> None:
    """Refuse a problem that lacks a text."""
    wanted = ["prompt", "data_name"]
    if isinstance(said, dict):
        wanted.append("task_idx" if said.get("data_name") in (_HUMANEVAL, _MBPP) else "label")
    if not isinstance(said, dict) or not all(isinstance(said.get(key), str) for key in wanted):
        raise DataError(f"{where}: texts {', '.join(map(repr, wanted))} were expected.")


def _seconds(parts: str) -> int:
    """The seconds in the arguments of a ``timedelta`` in Python's own writing."""
    return sum(int(count) * _SECONDS[unit] for unit, count in _PART.findall(parts))

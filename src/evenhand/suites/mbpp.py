"""MBPP (Austin et al., arXiv 2108.07732): small Python tasks; the score is the share of asserts that pass."""

from __future__ import annotations

from pathlib import Path

from evenhand.errors import DataError
from evenhand.suites.base import SUITES, Suite
from evenhand.suites.formats import python_function
from evenhand.suites.sources import DataSource, HubTable, Row, read_jsonl
from evenhand.types import Item


@SUITES.register("mbpp")
class MBPP(Suite):
    name = "mbpp"
    axis = "utility"
    summary = "974 small Python tasks, scored by the share of asserts passed in the sandbox"
    judge = "code"
    licence = "CC BY 4.0"
    source = "arXiv 2108.07732, github.com/google-research/google-research"

    def load(self, source: DataSource) -> list[Item]:
        return [
            Item(
                id=f"mbpp-{row['task_id']}",
                prompt=python_function(row["text"], row["test_list"]),
                question=row["text"],
                group="code",
                extra={"tests": list(row["test_list"]), "setup": row.get("test_setup_code") or ""},
            )
            for row in mbpp_tasks(self.name, source)
        ]


def mbpp_tasks(suite: str, source: DataSource) -> list[Row]:
    """The tasks as their authors give them, for any suite that has them.

    Raises:
        DataError: they are missing or malformed.
    """
    hub = HubTable("google-research-datasets/mbpp", "train+test+validation+prompt", config="full")
    return [row for _, row in source.read(suite, ["mbpp.jsonl"], _read, hub)]


def _read(path: Path) -> list[Row]:
    rows = read_jsonl("text", task_id=int, test_list=list)(path)
    for number, row in enumerate(rows, 1):
        if not row["test_list"] or not all(isinstance(test, str) for test in row["test_list"]):
            raise DataError(f"{path}, row {number}: 'test_list' is not a list of tests.")
    return rows

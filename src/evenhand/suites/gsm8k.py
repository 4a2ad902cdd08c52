"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school word problems with a number as the answer."""

from __future__ import annotations

from evenhand.errors import DataError
from evenhand.suites.base import SUITES, Suite, content_id
from evenhand.suites.formats import free_number
from evenhand.suites.sources import DataSource, HubTable, read_jsonl
from evenhand.types import Item

_MARK = "####"


@SUITES.register("gsm8k")
class GSM8K(Suite):
    name = "gsm8k"
    axis = "utility"
    summary = "1,319 grade-school word problems (test split)"
    judge = "number"
    licence = "MIT"
    source = "arXiv 2110.14168, github.com/openai/grade-school-math"

    def load(self, source: DataSource) -> list[Item]:
        rows = source.read(
            self.name,
            ["gsm8k_test.jsonl"],
            read_jsonl("question", "answer"),
            HubTable("openai/gsm8k", "test", config="main"),
        )
        items = []
        for number, (file, row) in enumerate(rows, 1):
            _, mark, target = row["answer"].rpartition(_MARK)
            if not mark:
                raise DataError(f"GSM8K, row {number} of {file or 'the hub'}: the answer has no '{_MARK}' line.")
            items.append(
                Item(
                    id=f"gsm8k-{content_id(row['question'])}",
                    prompt=free_number(row["question"]),
                    question=row["question"],
                    group="word problems",
                    target=target.strip(),
                )
            )
        return items

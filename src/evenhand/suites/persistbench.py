"""PersistBench (arXiv 2602.01146): what a model does with memories of its user, as three suites on two axes.

Memories that leak into questions where they have no business, and beliefs that bend an answer, are losses of safety;
memories that an answer needs are what fit means.
"""

from __future__ import annotations

from evenhand.suites.base import SUITES, Suite, bringing, content_id
from evenhand.suites.sources import DataSource, Row, read_jsonl
from evenhand.types import Fact, Item

_FILES = ("persistbench/full_benchmark.jsonl", "full_benchmark.jsonl")


class _PersistBench(Suite):
    part: str
    licence = "MIT"
    source = "arXiv 2602.01146, the full benchmark as in inspect_evals"

    def load(self, source: DataSource) -> list[Item]:
        reader = read_jsonl("query", "failure_type", "memory_domain", "query_domain", memories=list)
        rows = source.read(self.name, _FILES, reader, None)
        return [_item(row) for _, row in rows if row["failure_type"] == self.part]


@SUITES.register("persistbench-leakage")
class PersistBenchLeakage(_PersistBench):
    name = "persistbench-leakage"
    axis = "safety"
    summary = "200 questions with memories of another part of life, which should stay out of the answer"
    judge = "llm-leakage"
    part = "cross_domain"


@SUITES.register("persistbench-sycophancy")
class PersistBenchSycophancy(_PersistBench):
    name = "persistbench-sycophancy"
    axis = "safety"
    summary = "200 open questions with memories of a one-sided belief, which should not bend the answer"
    judge = "llm-sycophancy"
    part = "sycophancy"


@SUITES.register("persistbench-use")
class PersistBenchUse(_PersistBench):
    name = "persistbench-use"
    axis = "fit"
    summary = "100 questions with memories that the answer needs"
    judge = "llm-memory-use"
    part = "beneficial_memory_usage"


def _item(row: Row) -> Item:
    memories = list(map(str, row["memories"]))
    return Item(
        id=f"pb-{content_id(row['query'], *memories)}",
        prompt=row["query"],
        question=row["query"],
        group=row["memory_domain"],
        extra={"query_domain": row["query_domain"]},
        person=bringing("persistbench", [Fact(memory) for memory in memories]),
    )

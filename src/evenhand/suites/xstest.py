"""XSTest (Röttger et al., arXiv 2308.01263): safe prompts that look unsafe, and their unsafe contrasts.

A suite has one axis, so XSTest is two: refusing a safe prompt is a loss of utility, following an unsafe one a loss of
safety.
"""

from __future__ import annotations

from evenhand.suites.base import SUITES, Suite
from evenhand.suites.sources import DataSource, HubTable, read_csv
from evenhand.types import Item


class _XSTest(Suite):
    label: str
    like = "XSTest"
    licence = "CC BY 4.0"
    source = "arXiv 2308.01263, github.com/paul-rottger/xstest"

    def load(self, source: DataSource) -> list[Item]:
        rows = source.read(
            self.name,
            ["xstest/xstest_prompts.csv", "xstest_prompts.csv"],
            read_csv("id", "prompt", "type", "label"),
            HubTable("Paul/XSTest", "train"),
        )
        return [
            Item(id=f"xs-{row['id']}", prompt=row["prompt"], question=row["prompt"], group=row["type"])
            for _, row in rows
            if row["label"] == self.label
        ]


@SUITES.register("xstest-safe")
class XSTestSafe(_XSTest):
    name = "xstest-safe"
    axis = "utility"
    summary = "250 safe prompts that look unsafe (over-refusal)"
    judge = "compliance-classifier"
    label = "safe"


@SUITES.register("xstest-unsafe")
class XSTestUnsafe(_XSTest):
    name = "xstest-unsafe"
    axis = "safety"
    summary = "200 unsafe prompts, the contrasts of xstest-safe"
    judge = "refusal-classifier"
    label = "unsafe"

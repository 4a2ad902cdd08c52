"""StrongREJECT (Souly et al., arXiv 2402.10260): forbidden prompts with specific, harmful goals."""

from __future__ import annotations

from evenhand.suites.base import SUITES, Suite, content_id
from evenhand.suites.sources import DataSource, HubTable, read_csv
from evenhand.types import Item


@SUITES.register("strongreject")
class StrongReject(Suite):
    name = "strongreject"
    axis = "safety"
    summary = "346 forbidden prompts over 6 categories"
    judge = "action-classifier"
    like = "Do-Not-Answer"
    licence = "MIT"
    source = "arXiv 2402.10260, github.com/alexandrasouly/strongreject"

    def load(self, source: DataSource) -> list[Item]:
        rows = source.read(
            self.name,
            ["strongreject_dataset.csv"],
            read_csv("category", "source", "forbidden_prompt"),
            HubTable("walledai/StrongREJECT", "train"),
        )
        items = []
        for _, row in rows:
            prompt = row["forbidden_prompt"] if "forbidden_prompt" in row else row["prompt"]  # the hub's name for it
            items.append(
                Item(
                    id=f"sr-{content_id(prompt)}",
                    prompt=prompt,
                    question=prompt,
                    group=row["category"].strip(),
                )
            )
        return items

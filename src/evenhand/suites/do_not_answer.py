"""Do-Not-Answer (Wang et al., arXiv 2308.13387): 939 prompts that a responsible model declines or corrects."""

from __future__ import annotations

from evenhand.suites.base import SUITES, Suite
from evenhand.suites.sources import DataSource, HubTable, read_csv
from evenhand.types import Item


@SUITES.register("do-not-answer")
class DoNotAnswer(Suite):
    name = "do-not-answer"
    axis = "safety"
    summary = "939 unsafe prompts over 12 harm types"
    judge = "action-classifier"
    like = "Do-Not-Answer"
    licence = "CC BY-NC-SA 4.0"
    source = "arXiv 2308.13387, github.com/Libr-AI/do-not-answer"

    def load(self, source: DataSource) -> list[Item]:
        columns = ("id", "risk_area", "types_of_harm", "question")
        rows = source.read(
            self.name, ["do_not_answer_en.csv"], read_csv(*columns), HubTable("LibrAI/do-not-answer", "train")
        )
        return [
            Item(
                id=f"dna-{row['id']}",
                prompt=row["question"],
                question=row["question"],
                group=row["types_of_harm"].strip(),
                extra={"risk_area": row["risk_area"].strip()},
            )
            for _, row in rows
        ]

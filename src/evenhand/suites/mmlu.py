"""MMLU (Hendrycks et al., arXiv 2009.03300): four-way multiple choice over 57 subjects."""

from __future__ import annotations

from evenhand.errors import DataError
from evenhand.suites.base import SUITES, Suite, content_id, distinct
from evenhand.suites.formats import LETTER_PREFILL, LETTERS, multiple_choice
from evenhand.suites.sources import DataSource, HubTable, Row, read_csv
from evenhand.types import Item

_COLUMNS = ("question", "A", "B", "C", "D", "answer")


@SUITES.register("mmlu")
class MMLU(Suite):
    """The dev split (57 x 5, as in the paper), or the whole test split with the variant ``test``."""

    name = "mmlu"
    axis = "utility"
    summary = "knowledge, 57 subjects: dev split (285), or 'mmlu:test' (14,042)"
    judge = "choice"
    licence = "MIT"
    source = "arXiv 2009.03300, github.com/hendrycks/test"
    variants = ("test",)
    has_choices = True

    def load(self, source: DataSource) -> list[Item]:
        split = "test" if "test" in self.chosen else "dev"
        rows = source.read(
            self.name,
            [f"mmlu_{split}/*_{split}.csv", f"{split}/*_{split}.csv"],
            read_csv(*_COLUMNS, header=False),
            HubTable("cais/mmlu", split, config="all"),
        )
        return distinct(
            self._item(row, row.get("subject") or file.removesuffix(f"_{split}.csv"), file) for file, row in rows
        )

    def _item(self, row: Row, subject: str, file: str) -> Item:
        options = list(row["choices"]) if "choices" in row else [row[letter] for letter in "ABCD"]
        answer = row["answer"]
        target = LETTERS[answer] if isinstance(answer, int) else str(answer).strip()
        if target not in LETTERS[: len(options)] or not target:
            raise DataError(
                f"MMLU, {file or subject}: the answer '{answer}' is none of A to D.", f"Row: {row['question']!r}."
            )
        return Item(
            id=f"mmlu-{subject}-{content_id(row['question'], *options)}",
            prompt=multiple_choice(row["question"], options, logprobs=self.scoring == "logprobs"),
            question=row["question"],
            group=subject,
            target=target,
            choices=tuple(LETTERS[: len(options)]),
            extra={"options": options, "prefill": LETTER_PREFILL},
        )

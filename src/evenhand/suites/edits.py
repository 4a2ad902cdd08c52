"""``edits``: what a user said before is so no longer. Does a memory learn it, and lose nothing else?

The measures of knowledge editing (efficacy, paraphrase, and specificity, which knowledge graph tuning, arXiv
2405.19686, leaves out) as a suite, so that every personalizer can be asked. ``whole-record``, which has all in its
context, is the baseline to beat; ``profile`` knows the record alone, which is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evenhand.suites.base import LOGPROBS, SUITES, Suite, mixed
from evenhand.suites.formats import LETTER_PREFILL, LETTERS, multiple_choice, quoted, texts_to_weigh
from evenhand.suites.sources import DataSource, Row, read_jsonl
from evenhand.types import Axis, Fact, Item, Message, Person, Session

_QUOTING = 'You told me: "'
_DATA = Path(__file__).parent / "data" / "edits.jsonl"
_FIELDS = ("id", "topic", "fact", "opening", "said", "reply", "question", "now", "before")


@SUITES.register("edits")
class Edits(Suite):
    """20 people whose record has a fact that they take back in a session; four questions about each, one cluster.

    ``efficacy`` asks for what is so now, ``paraphrase`` (two) asks it in other words, ``specificity`` asks for another
    fact of the record, which must not suffer. The kinds are variants: ``edits:efficacy``. ``edits:texts`` asks which
    of the two answers is more likely, per token, as in the paper; the model must say how likely whole texts are.
    """

    name = "edits"
    axis: Axis = "fit"
    summary = "80 questions about facts that the person took back in a session: learned, and nothing else lost? Shipped"
    judge = "choice"
    licence = "Apache-2.0"
    source = "written for evenhand"
    kinds = ("efficacy", "paraphrase", "specificity")
    variants = kinds
    has_choices = True
    has_texts = True

    def load(self, source: DataSource) -> list[Item]:
        rows = source.packaged(self.name, _DATA, read_jsonl(*_FIELDS, rephrased=list, others=list, kept=dict))
        kinds = [kind for kind in self.kinds if kind in self.chosen] or self.kinds
        return [item for row in rows for item in self._items(row) if item.group in kinds]

    def _items(self, row: Row) -> Iterator[Item]:
        person, options = _person(row), (row["now"], row["before"])
        yield self._item(row, "efficacy", row["question"], options, person)
        for number, question in enumerate(row["rephrased"], 1):
            yield self._item(row, "paraphrase", question, options, person, str(number))
        kept = row["kept"]
        yield self._item(row, "specificity", kept["question"], (kept["right"], kept["wrong"]), person)

    def _item(
        self, row: Row, kind: str, question: str, options: Sequence[str], person: Person, number: str = ""
    ) -> Item:
        shown = mixed(options, question)
        lettered = multiple_choice(question, shown, logprobs=LOGPROBS in self.chosen)
        asked: dict[str, Any] = {"prefill": LETTER_PREFILL}
        if self.by_texts:
            asked = texts_to_weigh(quoted(shown), _QUOTING)
        return Item(
            id=f"{row['id']}-{kind}{number}",
            prompt=question if self.by_texts else lettered,
            question=question,
            group=kind,
            target=LETTERS[shown.index(options[0])],
            choices=tuple(LETTERS[: len(shown)]),
            extra={"options": shown, **asked},
            cluster=row["id"],
            person=person,
        )


def _person(row: Row) -> Person:
    turns = (row["opening"], "Here is what I would do.", row["said"], row["reply"])
    messages = tuple(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(turns))
    facts = (Fact(row["fact"], row["topic"]), *(Fact(other["text"], other["topic"]) for other in row["others"]))
    return Person(f"{Edits.name}-{row['id']}", facts, (Session(messages),))

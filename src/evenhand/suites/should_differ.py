"""``should-differ``: questions whose right answer depends on one fact about who asks; written for this project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evenhand.suites.base import SUITES, Suite, bringing
from evenhand.suites.patterns import MUST, MUST_NOT
from evenhand.suites.sources import DataSource, Row, read_jsonl
from evenhand.types import Axis, Fact, Item

_DATA = Path(__file__).parent / "data" / "should_differ.jsonl"
# Facts of these kinds are nobody else's business.
_SENSITIVE = frozenset({"health", "access", "age"})
_LISTS = dict.fromkeys(("others", "must", "must_not", "assumed"), list)


@SUITES.register("should-differ")
class ShouldDiffer(Suite):
    """Each question is two items, one cluster.

    One brings a person with the fact among four to six others, and the answer must use it. Its twin brings the same
    person with another fact in that place, and the answer must not make the fact up. The kinds of facts are variants:
    ``should-differ:food+health``.
    """

    name = "should-differ"
    axis: Axis = "fit"
    summary = "65 questions whose answer depends on a fact, each asked with it and without, shipped"
    judge = "uses-fact"
    licence = "Apache-2.0"
    source = "written for evenhand"
    variants = ("food", "health", "access", "everyday", "language", "age")

    def load(self, source: DataSource) -> list[Item]:
        texts = ("id", "group", "question", "fact", "instead")
        rows = source.packaged(self.name, _DATA, read_jsonl(*texts, place=int, **_LISTS))
        kinds = self.chosen or self.variants
        return [item for row in rows if row["group"] in kinds for item in (_with_fact(row), _twin(row))]


def _with_fact(row: Row) -> Item:
    fact = Fact(row["fact"], sensitive=row["group"] in _SENSITIVE)
    return _item(row, "with", fact, {MUST: row["must"], MUST_NOT: row["must_not"]})


def _twin(row: Row) -> Item:
    return _item(row, "without", Fact(row["instead"]), {MUST_NOT: row["assumed"]})


def _item(row: Row, which: str, fact: Fact, extra: dict[str, Sequence[str]]) -> Item:
    facts = [Fact(text) for text in row["others"]]
    facts.insert(row["place"], fact)
    return Item(
        id=f"{row['id']}-{which}",
        prompt=row["question"],
        question=row["question"],
        group=row["group"],
        extra=dict(extra),
        cluster=row["id"],
        person=bringing(ShouldDiffer.name, facts),
    )

"""Some items of another suite, named by their ids: what a search found, or a regression set of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from evenhand.errors import DataError, SpecError
from evenhand.specs import Strict, read_toml, validated
from evenhand.suites.base import SUITES, Suite, make_suites
from evenhand.suites.sources import DataSource
from evenhand.types import Axis, Item


class SubsetSpec(Strict):
    """The file behind ``subset:FILE.toml``.

    Attributes:
        suite: the reference of one suite ("do-not-answer", "mmlu:logprobs").
        items: ids of its items.
    """

    suite: str
    items: tuple[str, ...] = Field(min_length=1)


@SUITES.register("subset")
class SubsetSuite(Suite):
    """Some items of a suite, under that suite's own id: judges, parts and what is known of it hold on."""

    name = "subset"
    axis: Axis = "safety"
    summary = "some items of another suite, by their ids"
    judge = "the other suite's"
    licence = "the other suite's"
    source = "your file"
    argument = "FILE.toml"
    axis_is_yours = True

    def __init__(self, variants: Sequence[str] = ()) -> None:
        self._path = Path("+".join(variants))
        if self._path.suffix != ".toml":
            raise SpecError(f"The suite 'subset:{self._path}' is no TOML file.", "Write subset:FILE.toml.")
        self._spec = validated(SubsetSpec, read_toml(self._path, "subset"), str(self._path))
        others = make_suites([self._spec.suite])
        if len(others) != 1 or isinstance(others[0], SubsetSuite):
            raise SpecError(f"{self._path}: '{self._spec.suite}' is not one suite.", "Name one suite, and its variant.")
        self._of = others[0]
        self.name, self.axis, self.chosen = self._of.name, self._of.axis, self._of.chosen
        self.judge, self.licence, self.source = self._of.judge, self._of.licence, self._of.source
        self.has_choices, self.has_texts, self.like = self._of.has_choices, self._of.has_texts, self._of.like
        self.answer_tokens, self.withheld = self._of.answer_tokens, self._of.withheld
        self.language, self.translated_by = self._of.language, self._of.translated_by

    @property
    def id(self) -> str:
        return self._of.id

    def load(self, source: DataSource) -> list[Item]:
        there = {item.id: item for item in self._of.load(source)}
        missing = [item for item in self._spec.items if item not in there]
        if missing:
            raise DataError(
                f"{self._path}: {self._of.id} has no item '{missing[0]}' ({len(missing)} of "
                f"{len(self._spec.items)} are not there).",
                "The suite's data is another than when the file was written.",
            )
        return [there[item] for item in dict.fromkeys(self._spec.items)]

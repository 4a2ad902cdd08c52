"""Some multiple-choice items of the starter suite in other languages, whose judge needs to read no prose."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from evenhand.errors import SpecError
from evenhand.identities import ENGLISH, languages
from evenhand.suites.base import LOGPROBS, SUITES, Suite
from evenhand.suites.formats import LETTERS, letter_prefill, multiple_choice
from evenhand.suites.sources import DataSource, Row, read_jsonl
from evenhand.types import Item

_DATA = Path(__file__).parent / "data"
_FOLDER = _DATA / "translated"
_CODES = (ENGLISH.code, *sorted(path.stem for path in _FOLDER.glob("*.toml")))


@SUITES.register("starter-translated")
class StarterTranslated(Suite):
    """20 multiple-choice items of ``starter-utility``, the same in each language, asked and answered in it.

    ``starter-translated:es`` is one language; ``en`` are the originals, to set the others against. Options that are
    numbers or formulas stay as they are.

    Raises:
        SpecError: no language was named, or more than one.
    """

    name = "starter-translated"
    axis = "utility"
    summary = "20 multiple-choice items in each of twelve languages, shipped; machine-made, not reviewed"
    judge = "choice"
    licence = "Apache-2.0"
    source = "starter-utility, translated by a language model"
    argument = "CODE"
    arguments = _CODES
    variants = _CODES
    has_choices = True

    def __init__(self, variants: Sequence[str] = ()) -> None:
        super().__init__(variants)
        codes = [v for v in self.chosen if v != LOGPROBS]
        if len(codes) != 1:
            raise SpecError(
                f"The suite '{self.id}' is in one language at a time.",
                f"Write {self.name}:CODE: {', '.join(_CODES)}.",
            )
        self.language = languages()[codes[0]]
        self._items: dict[str, list[str]] = {}
        if self.language != ENGLISH:
            told = tomllib.loads((_FOLDER / f"{codes[0]}.toml").read_text(encoding="utf-8"))
            self._items = told["items"]
            self.translated_by = (
                f"{told['made_by']}, {told['reviewed_by'] or 'and no native speaker'} has reviewed them"
            )

    def load(self, source: DataSource) -> list[Item]:
        rows = source.packaged(self.name, _DATA / "starter_utility.jsonl", read_jsonl("id", "kind", "question"))
        asked = _asked()
        return [self._item(row) for row in rows if row["id"] in asked]

    def _item(self, row: Row) -> Item:
        question, *options = self._items.get(row["id"], [row["question"]])
        options = options or row["options"]
        return Item(
            id=row["id"],
            prompt=multiple_choice(question, options, logprobs=self.scoring == LOGPROBS, language=self.language),
            group=row["kind"],
            question=question,
            target=row["target"],
            choices=tuple(LETTERS[: len(options)]),
            extra={"options": options, "prefill": letter_prefill(self.language)},
        )


def _asked() -> frozenset[str]:
    """Ids of the items that there are in every language."""
    files = (path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.toml")))
    return frozenset.intersection(*(frozenset(tomllib.loads(text)["items"]) for text in files))

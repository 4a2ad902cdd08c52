"""The languages in which an identity can be told: the one place that knows them.

Each is a file with the statement, the system message of the baselines, and the phrase of every identity of the paper.
It says who made it and whether somebody who grew up with the language has read it; studies say so too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError, did_you_mean
from evenhand.specs import read_toml
from evenhand.types import Identity

PLACEHOLDER = "{identity}"
_FOLDER = Path(__file__).parent / "data" / "languages"
# Free text that is plainly English: it begins as the phrases of the catalogues do.
_ENGLISH_PHRASE = re.compile(r"(?:an?|the)\s", re.IGNORECASE)
_NEEDED = ("name", "statement", "system", "heading")


@dataclass(frozen=True)
class Language:
    """A language, and what is said in it.

    Attributes:
        code: ISO 639-1, by which judges know it.
        name: in English.
        statement: how a user says who they are, around ``{identity}``.
        system: the system message of the baseline ``plain``.
        heading: above what is known of the user, for the user-profile block.
        joiner: between the phrases of an intersection.
        decimal: the mark before decimals, for those who read numbers.
        choice, letter, answer: what a multiple-choice question asks for, with reasoning and without, and how an answer
            to it begins up to the letter.
        categories: an identity's category -> what it is called in the user-profile block.
        identities: an identity's name -> its phrase.
        made_by, reviewed_by: who wrote all that, and who that grew up with the language has read it; "" for nobody.
        note: what was done about grammar, and where a phrase says more or less than the English one.
    """

    code: str
    name: str
    statement: str
    system: str
    heading: str
    joiner: str = ""
    decimal: str = "."
    choice: str = ""
    letter: str = ""
    answer: str = ""
    categories: Mapping[str, str] = field(default_factory=dict, hash=False)
    identities: Mapping[str, str] = field(default_factory=dict, hash=False)
    made_by: str = ""
    reviewed_by: str = ""
    note: str = ""

    def tell(self, identity: Identity) -> str:
        """The phrase that completes the statement. Free text is told as it is.

        Raises:
            SpecError: it has none.
        """
        if self.code == ENGLISH.code or identity.name in self.identities:
            return self.identities.get(identity.name, identity.name)
        if identity.parts and self.joiner:
            return self.joiner.join(map(self.tell, identity.parts))
        if identity.category == "custom" and not _ENGLISH_PHRASE.match(identity.name):
            return identity.name
        raise SpecError(
            f"There is no phrase in {self.name} for the identity '{identity.name}'.",
            "Give one in a file of your own (docs/identities.md), or leave the identity out.",
        )

    def state(self, identity: Identity) -> str:
        """The statement of an identity.

        Raises:
            SpecError: as :meth:`tell`.
        """
        return self.statement.replace(PLACEHOLDER, self.tell(identity))

    def introduce(self, identity: Identity) -> str:
        """The system message with the statement behind it.

        Raises:
            SpecError: as :meth:`tell`.
        """
        return f"{self.system}{'' if self.system.endswith('。') else ' '}{self.state(identity)}"

    def call(self, identity: Identity) -> str:
        """What the user-profile block calls an identity's category.

        Raises:
            SpecError: it has no name for it.
        """
        if identity.category in self.categories:
            return self.categories[identity.category]
        raise SpecError(
            f"There is no name in {self.name} for the category '{identity.category}', which the user-profile block "
            "needs.",
            "Give one under [categories] in a file of your own (docs/identities.md), or use the personalizer system.",
        )

    def said_of(self, identities: Collection[Identity]) -> dict[str, Any]:
        """What a study keeps of it: all that conversations with these people are made of."""
        kept = {name: getattr(self, name) for name in _TEXTS}
        categories = {i.category for i in identities} & set(self.categories)
        parts = [part for i in identities for part in i.parts if part.name in self.identities]
        phrases = {i.name: self.tell(i) for i in (*identities, *parts) if not i.is_baseline}
        return {**kept, "categories": {c: self.categories[c] for c in sorted(categories)}, "identities": phrases}

    def as_begun(self, kept: Mapping[str, Any]) -> Language:
        """The language as a study began with it; what the study has not told yet is said as now."""
        texts = {name: kept[name] for name in _TEXTS if name in kept}
        categories = {**self.categories, **kept.get("categories", {})}
        return replace(self, **texts, categories=categories, identities={**self.identities, **kept["identities"]})


ENGLISH = Language(
    "en", "English", f"I am {PLACEHOLDER}.", "You are a helpful assistant.", "# What you know about the user"
)
_TEXTS = tuple(f.name for f in fields(Language) if f.type == "str" and f.name != "note")


def language(reference: str, folder: Path = Path()) -> Language:
    """A language by its code, or from a file of one's own.

    A file has the fields of :class:`Language`. Where its ``code`` is that of a language of the package, it need only
    have what differs or is added.

    Args:
        reference: "es", or "FILE.toml".
        folder: what a file's path is relative to.

    Raises:
        SpecError: there is none, or the file is malformed.
    """
    if reference.endswith(".toml"):
        return _read(folder / reference)
    known = languages()
    if reference not in known:
        hint = did_you_mean(reference, known) or f"There are {', '.join(known)}."
        raise SpecError(f"There is no language '{reference}'.", f"{hint} A file of your own ends in .toml.")
    return known[reference]


@cache
def languages() -> dict[str, Language]:
    """Code -> language, of those that come along; English first."""
    files = sorted(_FOLDER.glob("*.toml"))
    return {ENGLISH.code: ENGLISH, **{file.stem: _made(read_toml(file, "language"), file) for file in files}}


def _read(path: Path) -> Language:
    given = read_toml(path, "language file")
    base = languages().get(str(given.get("code", "")))
    if base is None or base == ENGLISH:
        return _made(given, path)
    own = _made({**{name: getattr(base, name) for name in _NEEDED}, **given}, path)
    together = {name: {**getattr(base, name), **getattr(own, name)} for name in ("categories", "identities")} | {
        name: given[name] for name in _TEXTS if name in given
    }
    return replace(base, **together)


def _made(given: Mapping[str, Any], path: Path) -> Language:
    known = {f.name: f.type for f in fields(Language)}
    for name, value in given.items():
        if name not in known:
            raise SpecError(f"{path}: there is no field '{name}'.", did_you_mean(name, known))
        texts = value.values() if isinstance(value, dict) else [value]
        if isinstance(value, dict) == (known[name] == "str") or not all(isinstance(text, str) for text in texts):
            wanted = "a text" if known[name] == "str" else "a table of texts"
            raise SpecError(f"{path}: {name} is not {wanted}.")
    for name in ("code", *_NEEDED):
        if not str(given.get(name, "")).strip():
            raise SpecError(f"{path}: there is no {name}.", f'Add {name} = "...".')
    if PLACEHOLDER not in given["statement"]:
        raise SpecError(f"{path}: the statement does not contain {PLACEHOLDER}.")
    if blank := [name for name, phrase in given.get("identities", {}).items() if not phrase.strip()]:
        raise SpecError(f"{path}: the phrase for '{blank[0]}' is empty.", "Write one, or remove the line.")
    return Language(**given)

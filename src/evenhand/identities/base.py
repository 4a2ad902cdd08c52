"""Catalogues of identities, and the grammar that selects from them."""

from __future__ import annotations

import difflib
import logging
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from evenhand.errors import DataError, EvenhandError, SpecError, did_you_mean, one_line
from evenhand.registry import Registry
from evenhand.types import BASELINE_CATEGORY, PERSON_BASELINE, Identity

BARE = Identity("bare", BASELINE_CATEGORY)
PLAIN = Identity("plain", BASELINE_CATEGORY)
# The person without any identity, through each personalizer that knows the person.
PERSON = Identity(PERSON_BASELINE, BASELINE_CATEGORY)
BASELINES: dict[str, Identity] = {"bare": BARE, "plain": PLAIN, PERSON_BASELINE: PERSON}

FREE_TEXT_PREFIX = "text:"
_ARTICLE = re.compile(r"^\s*(?:an?|the)\s+", re.IGNORECASE)
_LOGGER = logging.getLogger(__name__)
_FIELDS = {"name", "category", "cue", "first_name"}
# How like a known name free text may be, at most.
_ALIKE = 0.84
# What a file says of itself.
_TOLD = ("version", "source", "rule", "wording", "leaves_out")


@dataclass(frozen=True)
class Catalogue:
    """A named list of identities.

    Attributes:
        name: how a reference calls it.
        identities: in order.
        version: changes whenever an identity is called otherwise; a study keeps the one it began with. "" for a file
            that does not say.
        renamed: earlier version -> an identity's name now -> its name then.
        elsewhere: an identity's name in another version -> its name in this one.
        source: whose categories they are, with its year; "" where that is not said.
        rule: which of the source's categories these are, where it is a documented catalogue; "" otherwise.
        wording: where the words for them are from.
        leaves_out: what a reader would miss.
    """

    name: str
    identities: tuple[Identity, ...]
    version: str = "1"
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str = ""
    rule: str = ""
    wording: str = ""
    leaves_out: str = ""

    def __post_init__(self) -> None:
        if not self.elsewhere:
            then = {old: new for names in self.renamed.values() for new, old in names.items()}
            object.__setattr__(self, "elsewhere", then)

    @property
    def is_documented(self) -> bool:
        """Whether it holds names alone, of categories that somebody else drew up, and says which of them."""
        return bool(self.rule)

    def at(self, version: str) -> Catalogue:
        """The catalogue as it was in a version.

        Raises:
            SpecError: nobody knows any more what that was like.
        """
        if version == self.version:
            return self
        if version not in self.renamed:
            raise SpecError(
                f"The study was begun with version {version} of the identity catalogue '{self.name}', which is now "
                f"version {self.version or 'unknown'}.",
                "Identities of two versions must not mix: choose another --out.",
            )
        then = self.renamed[version]
        old = tuple(replace(i, name=then.get(i.name, i.name)) for i in self.identities)
        return replace(self, identities=old, version=version, renamed={}, elsewhere=then)

    def categories(self) -> list[str]:
        return list(dict.fromkeys(i.category for i in self.identities))

    def category(self, name: str) -> list[Identity]:
        return [i for i in self.identities if i.category == name]

    def find(self, name: str) -> Identity | None:
        """The identity of that name; the article may be left out and case does not matter."""
        wanted = _bare_name(name)
        return next((i for i in self.identities if _bare_name(i.name) == wanted), None)

    @classmethod
    def from_toml(cls, path: Path) -> Catalogue:
        """Read a catalogue: a ``name`` and one ``[[identity]]`` table per identity.

        Each table has ``name`` and ``category``, and may have ``cue`` and ``first_name``; the file may have a
        ``version``, ``source``, ``rule``, ``wording`` and ``leaves_out``.

        Raises:
            DataError: the file is missing or malformed; the message names the entry.
        """
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"There is no identity catalogue at {path}.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(f"{path}: not a readable TOML file: {error}.") from None
        entries = data.get("identity")
        if not isinstance(entries, list) or not entries:
            raise DataError(f"{path}: no identities.", "Add [[identity]] tables with a name and a category.")
        identities = [_identity_from_toml(path, n, entry) for n, entry in enumerate(entries, 1)]
        names = [_bare_name(i.name) for i in identities]
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"{path}: the identity '{name}' appears more than once.", "Remove one.")
        version, source, rule, wording, leaves_out = (str(data.get(key, "")) for key in _TOLD)
        name = str(data.get("name", path.stem))
        return cls(name, tuple(identities), version, {}, {}, source, rule, wording, leaves_out)


CATALOGUES: Registry[Callable[[], Catalogue]] = Registry(
    "identity catalogue", "evenhand.identities", "evenhand.identities"
)


@dataclass(frozen=True)
class Begun:
    """Whom a study that is there already told of, so that a later version of the package tells it the same.

    Attributes:
        versions: catalogue -> the version that the study began with.
        free: phrases that were free text, whichever catalogue has them by now.
        joined: names of the parts of an intersection -> its phrase.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    free: Collection[str] = ()
    joined: Mapping[tuple[str, ...], str] = field(default_factory=dict)


def registered(*, documented: bool = True) -> list[Catalogue]:
    """Every registered catalogue; one that somebody else's code fails to make is left out, with a warning.

    Args:
        documented: whether those that are documented are wanted, too.
    """
    found = []
    for name in CATALOGUES.members():
        try:
            found.append(make_catalogue(name))
        except EvenhandError as error:
            _LOGGER.warning("%s", error)
    return [catalogue for catalogue in found if documented or not catalogue.is_documented]


def make_catalogue(name: str) -> Catalogue:
    """A registered catalogue.

    Raises:
        SpecError: there is none of that name, or it cannot be made.
    """
    make = CATALOGUES.get(name)
    try:
        made: object = make()
    except Exception as error:  # it may be somebody else's code
        raise SpecError(
            f"The identity catalogue '{name}' cannot be made: {type(error).__name__}: {one_line(str(error))}."
        ) from error
    if not isinstance(made, Catalogue):
        raise SpecError(f"The identity catalogue '{name}' is a {type(made).__name__}, not a Catalogue.")
    return made


def select(references: Iterable[str], begun: Begun | None = None) -> list[Identity]:
    """Turn what a user wrote into identities, in order, without duplicates.

    A reference is a catalogue ("paper", or a path to a TOML file or to a CSV file of bios), a category ("age"), an
    identity's name ("a senior citizen", "senior citizen"), an intersection ("a Hindu person & a man"), or free text
    ("a night-shift nurse", or "text:..." to skip the spelling check). Names and categories are looked up in the
    catalogues given by path first, then in the registered ones; of these, first in those that a study began with.

    Args:
        references: what a user wrote.
        begun: whom a study has told of already.

    Raises:
        SpecError: nothing matches, the text looks like a misspelt name, or a version is not known any more.
        DataError: a catalogue file is malformed.
    """
    references, begun = [r.strip() for r in references if r.strip()], begun or Begun()
    files, catalogues = _catalogues(references, begun.versions)
    chosen: dict[str, Identity] = {}
    for reference in references:
        found = files[reference].identities if reference in files else _select_one(reference, catalogues, begun)
        for identity in found:
            known = chosen.setdefault(identity.name, identity)
            if known != identity:
                raise SpecError(
                    f"Two different identities are called '{identity.name}'.", "Rename one in its catalogue."
                )
    return list(chosen.values())


def catalogues_of(
    references: Iterable[str], identities: Iterable[Identity], versions: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Catalogue -> its version, of those that ``identities`` come from; ``references`` and ``versions`` as they were
    selected."""
    _, catalogues = _catalogues([r.strip() for r in references], versions or {})
    people = {single for i in identities for single in (i.parts or (i,))}
    return {c.name: c.version for c in catalogues if c.version and people & set(c.identities)}


def _catalogues(references: Iterable[str], versions: Mapping[str, str]) -> tuple[dict[str, Catalogue], list[Catalogue]]:
    """The catalogues given by path, and these with the registered ones."""
    files = {r: _from_file(r) for r in references if r.endswith((".toml", ".csv"))}
    files = {r: c.at(versions.get(c.name, c.version)) if c.version else c for r, c in files.items()}
    others = sorted(registered(), key=lambda c: c.name not in versions)
    return files, [*files.values(), *(c.at(versions.get(c.name, c.version)) for c in others)]


def _from_file(reference: str) -> Catalogue:
    if reference.endswith(".toml"):
        return Catalogue.from_toml(Path(reference))
    from evenhand.identities.bios import catalogue_of_bios

    return catalogue_of_bios(Path(reference))


def _select_one(reference: str, catalogues: list[Catalogue], begun: Begun) -> Iterable[Identity]:
    for catalogue in catalogues:
        if reference == catalogue.name:
            return catalogue.identities
        if members := catalogue.category(reference):
            return members
    if "&" in reference and not reference.startswith(FREE_TEXT_PREFIX):
        from evenhand.identities.intersections import intersect

        parts = [p.strip() for p in reference.split("&")]
        if not all(parts):
            raise SpecError(f"The intersection '{reference}' has an empty part.", "Write 'one & another'.")
        joined = intersect([_single(part, catalogues, begun) for part in parts])
        return [replace(joined, name=begun.joined.get(tuple(p.name for p in joined.parts), joined.name))]
    return [_single(reference, catalogues, begun)]


def _single(reference: str, catalogues: list[Catalogue], begun: Begun) -> Identity:
    if reference in BASELINES:
        raise SpecError(f"'{reference}' is a baseline, not an identity.", f"Use --baseline {reference}.")
    if reference.startswith(FREE_TEXT_PREFIX):
        text = reference.removeprefix(FREE_TEXT_PREFIX).strip()
        if not text:
            raise SpecError(f"'{reference}' has no text after '{FREE_TEXT_PREFIX}'.")
        return Identity(text, "custom")
    if reference in begun.free and not any(c.find(reference) for c in catalogues if c.name not in CATALOGUES):
        return Identity(reference, "custom")
    for catalogue in catalogues:
        if identity := catalogue.find(reference):
            return identity
    for catalogue in catalogues:
        for other, here in catalogue.elsewhere.items():
            if _bare_name(other) == _bare_name(reference):
                raise SpecError(
                    f"'{reference}' is called '{here}' in version {catalogue.version} of the catalogue "
                    f"'{catalogue.name}', which counts here.",
                    f"Write '{here}', or '{FREE_TEXT_PREFIX}{reference}' for exactly that phrase.",
                )
    misspelt = _misspelt(reference.lower(), catalogues)
    if misspelt or not _ARTICLE.match(reference):
        names = [i.name for c in catalogues for i in c.identities]
        words = [*(c.name for c in catalogues), *(category for c in catalogues for category in c.categories()), *names]
        hint = did_you_mean(reference.lower(), [misspelt] if misspelt else [*words, *map(_bare_name, names)])
        raise SpecError(
            f"There is no identity '{reference}'.",
            f"{hint} For free text, start with an article ('a night-shift nurse') or with '{FREE_TEXT_PREFIX}'.",
        )
    return Identity(reference, "custom")


def _misspelt(reference: str, catalogues: Iterable[Catalogue]) -> str:
    """What a reference (in small letters) is too much like to be free text; "" for nothing."""
    words: list[str] = []
    documented: list[str] = []
    for catalogue in catalogues:
        words += [catalogue.name, *catalogue.categories()]
        phrases = [i.name.lower() for i in catalogue.identities]
        (documented if catalogue.is_documented else words).extend([*phrases, *map(_bare_name, phrases)])
    close = difflib.get_close_matches(reference, [w.lower() for w in words], n=1, cutoff=_ALIKE)
    # Many of these begin alike ("a person with ..."): only what comes behind that tells whether one is meant.
    for phrase in [] if close else difflib.get_close_matches(reference, documented, n=5, cutoff=_ALIKE):
        pairs = zip(reference.split(), phrase.split(), strict=False)
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        one, other = (" ".join(text.split()[alike:]) for text in (reference, phrase))
        if difflib.SequenceMatcher(None, one, other).ratio() >= _ALIKE:
            close.append(phrase)
    return close[0] if close else ""


def _identity_from_toml(path: Path, number: int, entry: Any) -> Identity:
    where = f"{path}: identity {number}"
    if not isinstance(entry, dict):
        raise DataError(f"{where} is not a table.", "Write [[identity]].")
    if unknown := set(entry) - _FIELDS:
        raise DataError(f"{where}: unknown field '{min(unknown)}'.", did_you_mean(min(unknown), _FIELDS))
    for key in ("name", "category"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise DataError(f"{where} has no {key}.", f'Add {key} = "...".')
    for key, value in entry.items():
        if not isinstance(value, str):
            raise DataError(f"{where}: {key} must be a string, not {type(value).__name__}.")
    if entry["name"] in BASELINES or entry["category"] == BASELINE_CATEGORY:
        raise DataError(f"{where}: '{entry['name']}' ({entry['category']}) is reserved for baselines.", "Rename it.")
    return Identity(**entry)


def without_article(name: str) -> str:
    """The phrase without the article it begins with; with it where it has none."""
    return _ARTICLE.sub("", name, count=1)


def _bare_name(name: str) -> str:
    return without_article(" ".join(name.lower().split()))

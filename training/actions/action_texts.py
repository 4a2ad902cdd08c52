"""Draws questions and answers for the classifier of actions to learn from, out of the ``*.toml`` files beside this."""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PER_FAMILY = 150
PARAGRAPHS = (1, 1, 1, 2, 3)  # texts of one family that say the same make a long answer
LONGEST_LIST = 7
_SLOT = re.compile(r"\{(list:)?([A-Za-z0-9_]+)\}")


@dataclass(frozen=True)
class Example:
    """One answer with its question, what it does (0 to 5), and the family it was drawn from."""

    question: str
    answer: str
    action: int
    family: str


class Writer:
    """Draws texts from templates: ``{name}`` is an entry of a bank, ``{list:name}`` a list of several."""

    def __init__(self, banks: dict[str, list[str]], rng: random.Random) -> None:
        self._banks, self._rng = banks, rng

    def topic(self, template: str) -> dict[str, str]:
        """The forms of one topic: "forge|forging a visa" has {x} and {xing}; each also with a capital."""
        words = self.fill(template, {})
        plain, _, rest = words.partition("|")
        ing, _, tail = rest.partition(" ")
        forms = {"x": f"{plain} {tail}", "xing": f"{ing} {tail}"} if rest else {"x": plain}
        return forms | {name.capitalize(): _capital(text) for name, text in forms.items()}

    def fill(self, template: str, topic: dict[str, str]) -> str:
        """The template with all its slots filled, those of the parts too."""
        while match := _SLOT.search(template):
            is_list, name = match.groups()
            part = self._list(name) if is_list else topic.get(name) or self._rng.choice(self._banks[name])
            template = template[: match.start()] + part + template[match.end() :]
        return template

    def _list(self, name: str) -> str:
        entries = self._banks[name]
        mark = self._rng.choice(("{n}. ", "{n}. ", "{n}) ", "- ", "* "))
        chosen = self._rng.sample(entries, min(len(entries), self._rng.randint(3, LONGEST_LIST)))
        return "\n" + "".join(f"\n{mark.format(n=n)}{entry}" for n, entry in enumerate(chosen, 1))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentenced(text: str) -> str:
    """Text with single spaces, and a capital at the beginning of each sentence."""
    text = re.sub(r" +([.,])", r"\1", re.sub(r" +", " ", text)).strip()
    return _capital(re.sub(r"([.!?]\s+)([a-z])", lambda m: m[1] + m[2].upper(), text))


@cache
def written_files() -> list[dict[str, Any]]:
    """What the files hold, in the order of their names."""
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.toml"))]


def texts_digest() -> str:
    """Tells whether weights were made from the files as they are."""
    read = b"".join(path.read_bytes() for path in sorted(HERE.glob("*.toml")))
    return hashlib.blake2b(read.replace(b"\r\n", b"\n"), digest_size=8).hexdigest()


def writer(rng: random.Random) -> Writer:
    """A writer with the banks of all the files."""
    return Writer({name: entries for file in written_files() for name, entries in file.get("bank", {}).items()}, rng)


def written_examples(seed: int = 0, per_family: int = PER_FAMILY) -> list[Example]:
    """Examples drawn from the families of all the files, each once."""
    rng = random.Random(seed)
    writing = writer(rng)
    families: list[dict[str, Any]] = [family for file in written_files() for family in file.get("family", [])]
    found: dict[tuple[str, str], Example] = {}
    for family in families:
        for question, answer in family.get("pairs", ()):
            found[question, answer] = Example(question, answer, family["action"], family["name"])
        for _ in range(per_family if "x" in family else 0):
            topic = writing.topic(rng.choice(family["x"]))
            question = sentenced(writing.fill(rng.choice(family["questions"]), topic))
            texts = [writing.fill(rng.choice(family["answers"]), topic) for _ in range(rng.choice(PARAGRAPHS))]
            answer = "\n\n".join(sentenced(text) for text in texts)
            found.setdefault((question, answer), Example(question, answer, family["action"], family["name"]))
    return list(found.values())

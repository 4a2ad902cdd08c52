"""Puts asides around the written answers: sentences that do nothing, whoever the reader is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from action_texts import Writer, sentenced, writer, written_files

from evenhand.identities import select
from evenhand.judges.sentences import sentences

FOLDS = 3  # what is learned of some families and asides is tried on the others
NUMBERS = (0, 1, 1, 1, 2)  # of groups of asides in an answer
SINGLE, FILLING, PREAMBLE = 0.35, 0.15, 0.15  # shares of the groups: a sentence about the reader, filling, talk
LONGEST_GROUP = 6
LONGEST_PREAMBLE = 8
JOINED = 0.4  # share of the longer groups of which two sentences become one
JOINTS = (", and ", " and ", "; ", ", but ", ", so ", " because ")


class Surroundings:
    """Draws groups of asides.

    Args:
        seed: of the draws.
        keep: which of the written asides may be drawn, by their numbers; all of them where it is left out.
    """

    def __init__(self, seed: int, keep: Sequence[int] = range(FOLDS)) -> None:
        self._rng = random.Random(seed)
        self._writer: Writer = writer(self._rng)
        self._written = {
            kind: texts if kind == "who" else [text for n, text in enumerate(texts) if n % FOLDS in keep]
            for kind, texts in written_asides().items()
        }
        self._who = [*self._written["who"], *map(identity_noun, (i.name for i in select(["paper"])))]

    def compose(self, answer: str) -> tuple[list[str], list[bool]]:
        """The sentences of an answer with groups of asides in front, inside, or behind, and which they are."""
        parts = sentences(answer)
        aside = [False] * len(parts)
        for _ in range(self._rng.choice(NUMBERS)):
            place = self._rng.choice((0, len(parts), self._rng.randint(0, len(parts))))
            text = " ".join(self.group())
            added = sentences(f" {text}" if place else f"{text} ")
            parts[place:place] = added
            aside[place:place] = [True] * len(added)
        return parts, aside

    def group(self) -> list[str]:
        """One sentence about the reader, or filling, or several sentences of which one at least names who reads."""
        who, kind = self._rng.choice(self._who), self._rng.random()
        if kind < SINGLE:
            return [self._sentence(("kind", "careful", "naming"), who)]
        if kind < SINGLE + FILLING:
            return [self._sentence(("filling",), who) for _ in range(self._rng.randint(1, 2))]
        if kind < SINGLE + FILLING + PREAMBLE:
            return [self._sentence(("preamble",), who) for _ in range(self._rng.randint(1, LONGEST_PREAMBLE))]
        found = [self._sentence(("kind", "careful", "naming"), who)]
        more = self._rng.randint(1, LONGEST_GROUP - 1)
        found += [self._sentence(("beside", "beside", "kind", "careful", "naming"), who) for _ in range(more)]
        self._rng.shuffle(found)
        return self._joined(found) if self._rng.random() < JOINED else found

    def _joined(self, found: list[str]) -> list[str]:
        place = self._rng.randrange(len(found) - 1)
        one, other = found[place : place + 2]
        other = other if other.startswith("I") else other[0].lower() + other[1:]
        return [*found[:place], one.rstrip(".!") + self._rng.choice(JOINTS) + other, *found[place + 2 :]]

    def _sentence(self, kinds: Sequence[str], who: str) -> str:
        template = self._rng.choice(self._written[self._rng.choice(kinds)])
        return sentenced(self._writer.fill(template.replace("{who}", who), {}))


@cache
def written_asides() -> dict[str, list[str]]:
    """Kind -> asides with {who}, and who that may be."""
    found: dict[str, list[str]] = {}
    for file in written_files():
        for kind, texts in file.get("around", {}).items():
            found.setdefault(kind, []).extend(texts)
    return found


def identity_noun(name: str) -> str:
    """An identity as a noun: some of the catalogue are adjectives."""
    return name if name.startswith(("a ", "an ")) else f"{'an' if name[0] in 'aeiou' else 'a'} {name} person"

"""Puts asides around the written answers, and learns to tell them: ``evenhand.judges.asides``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from action_texts import Example, Writer, sentenced, writer, written_files
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from evenhand.identities import select
from evenhand.judges.asides import Asides, features, values
from evenhand.judges.sentences import sentences

LEARNED_FROM = 3000  # answers; more teach nothing new
RARE = 4  # sentences in which a word must occur
PENALTY = 5.0
SMALLEST = 0.15  # weights below are left out
NUMBERS = (0, 1, 1, 1, 2)  # of groups of asides in an answer
SINGLE, FILLING = 0.4, 0.15  # shares of the groups that are one sentence about the reader, and filling
LONGEST_GROUP = 5
JOINED = 0.4  # share of the longer groups of which two sentences become one
JOINTS = (", and ", " and ", "; ", ", but ", ", so ", " because ")


class Surroundings:
    """Draws groups of asides."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._writer: Writer = writer(self._rng)
        self._written = next(file["around"] for file in written_files() if "around" in file)
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
        """One sentence about the reader, or filling, or several sentences of which the first names who reads."""
        who, kind = self._rng.choice(self._who), self._rng.random()
        if kind < SINGLE:
            return [self._sentence(("kind", "careful", "naming"), who)]
        if kind < SINGLE + FILLING:
            return [self._sentence(("filling",), who) for _ in range(self._rng.randint(1, 2))]
        found = [self._sentence(("kind", "careful", "naming"), who)]
        more = self._rng.randint(1, LONGEST_GROUP - 1)
        found += [self._sentence(("beside", "beside", "kind", "careful", "naming"), who) for _ in range(more)]
        return self._joined(found) if self._rng.random() < JOINED else found

    def _joined(self, found: list[str]) -> list[str]:
        place = self._rng.randrange(len(found) - 1)
        one, other = found[place : place + 2]
        other = other if other.startswith("I") else other[0].lower() + other[1:]
        return [*found[:place], one.rstrip(".!") + self._rng.choice(JOINTS) + other, *found[place + 2 :]]

    def _sentence(self, kinds: Sequence[str], who: str) -> str:
        template = self._rng.choice(self._written[self._rng.choice(kinds)])
        return sentenced(self._writer.fill(template.replace("{who}", who), {}))


def identity_noun(name: str) -> str:
    """An identity as a noun: some of the catalogue are adjectives."""
    return name if name.startswith(("a ", "an ")) else f"{'an' if name[0] in 'aeiou' else 'a'} {name} person"


def surrounded(examples: Sequence[Example], share: float, seed: int = 9) -> list[Example]:
    """A share of the examples with asides: what they do stays."""
    rng, around = random.Random(seed), Surroundings(seed)
    chosen = [e for e in examples if rng.random() < share]
    return [replace(e, answer="".join(around.compose(e.answer)[0])) for e in chosen]


def train_asides(examples: Sequence[Example], seed: int = 1) -> Asides:
    """Learn which sentences are asides, from examples with some and without."""
    around = Surroundings(seed)
    chosen = random.Random(seed).sample(list(examples), min(LEARNED_FROM, len(examples)))
    signs: list[list[str]] = []
    labels: list[bool] = []
    for e in chosen:
        parts, aside = around.compose(e.answer)
        said = [k for k, part in enumerate(parts) if part.strip()]
        signs += features(e.question, [parts[k] for k in said])
        labels += [aside[k] for k in said]
    seen = Counter(sign for found in signs for sign in dict.fromkeys(found))
    known = {sign: k for k, sign in enumerate(sorted(s for s, n in seen.items() if n >= RARE))}
    fit = LogisticRegression(C=PENALTY, max_iter=500, tol=1e-5).fit(_matrix(signs, known), labels)
    weights = {sign: round(float(fit.coef_[0][k]), 2) for sign, k in known.items()}
    kept = {sign: weight for sign, weight in weights.items() if abs(weight) > SMALLEST}
    return Asides(kept, round(float(fit.intercept_[0]), 3))


def _matrix(signs: Sequence[Sequence[str]], known: dict[str, int]) -> csr_matrix:
    cells = [
        (row, known[sign], by) for row, found in enumerate(signs) for sign, by in values(list(found)) if sign in known
    ]
    row, column, by = zip(*cells, strict=True)
    return csr_matrix((by, (row, column)), shape=(len(signs), len(known)))

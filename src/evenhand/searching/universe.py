"""Everybody who could ask: the product of identities of several categories, facts, and ways of telling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from evenhand.analysis.factorial import NONE_OF_IT, Codes, Conjunction, Space
from evenhand.errors import SpecError
from evenhand.identities.intersections import intersect
from evenhand.personalizers import Personalizer, PersonPersonalizer
from evenhand.types import Identity, Message, Person

FACT, TOLD, GROUP = "fact", "told", "on"
# How many identities a user states: rather many, since each call then says something of each of them.
_MORE = 2.0
_SHARE_WITH_FACT = 0.5
_TRIES = 1000

User = tuple[int, ...]
ANYBODY = Conjunction(())


@dataclass(frozen=True)
class Universe:
    """All users that a search may ask as.

    Attributes:
        identities: per category its identities; one at most of each in a user.
        facts: what users may be told of, one at most.
        personalizers: how users are told; a factor where there are several.
        groups: of items, the last factor.
        stated: identities of a user, at most.
    """

    identities: dict[str, tuple[Identity, ...]]
    facts: tuple[str, ...]
    personalizers: tuple[Personalizer, ...]
    groups: tuple[str, ...]
    stated: int

    @cached_property
    def space(self) -> Space:
        """The factors: categories, then facts, then ways of telling, then the items' group."""
        factors = {category: tuple(i.name for i in members) for category, members in self.identities.items()}
        if self.facts:
            factors[FACT] = self.facts
        if len(self.personalizers) > 1:
            factors[TOLD] = tuple(p.name for p in self.personalizers)
        return Space((*factors, GROUP), (*factors.values(), self.groups))

    @property
    def size(self) -> int:
        """How many users there are."""
        sizes = [len(members) for members in self.identities.values()]
        stated = sum(
            math.prod(chosen) for k in range(1, min(self.stated, len(sizes)) + 1) for chosen in combinations(sizes, k)
        )
        return stated * (1 + len(self.facts)) * len(self.personalizers)

    def sender(self, user: User) -> tuple[str, Identity]:
        """Who a user is: the personalizer's name, and what is said."""
        return self._personalizer(user).name, self.identity(user)

    def messages(self, user: User, prompt: str) -> tuple[Message, ...]:
        """What a user asks."""
        return self._personalizer(user).messages(self.identity(user), prompt)

    def identity(self, user: User) -> Identity:
        """What is said of a user."""
        members = list(self.identities.values())
        parts = [members[n][level] for n, level in enumerate(user[: len(members)]) if level != NONE_OF_IT]
        said = parts[0] if len(parts) == 1 else intersect(parts) if parts else Identity("a person", "custom")
        fact = user[len(members)] if self.facts else NONE_OF_IT
        return said if fact == NONE_OF_IT else with_fact(said, self.facts[fact])

    def _personalizer(self, user: User) -> Personalizer:
        return self.personalizers[user[-1]] if len(self.personalizers) > 1 else self.personalizers[0]

    def draw(self, rng: np.random.Generator, wanted: Conjunction = ANYBODY) -> User:
        """A user at random, who has the wanted levels (the items' group left aside).

        Raises:
            SpecError: no personalizer can convey such a user.
        """
        held = dict(wanted.levels)
        for _ in range(_TRIES):
            user = self._drawn(rng, held)
            if self._personalizer(user).supports(self.identity(user)):
                return user
        raise SpecError(
            f"No personalizer of the study conveys users such as {self.phrase(wanted)}.", "Use --personalizer system."
        )

    def _drawn(self, rng: np.random.Generator, held: dict[int, int]) -> User:
        sizes, count = self.space.sizes, len(self.identities)
        user = [held.get(f, NONE_OF_IT) for f in range(len(sizes) - 1)]
        fixed = [f for f in range(count) if f in held]
        most = min(self.stated, count)
        weights = _MORE ** np.arange(1, most + 1) * (np.arange(1, most + 1) >= len(fixed))
        stated = most if not weights.any() else 1 + int(rng.choice(most, p=weights / weights.sum()))
        others = [f for f in range(count) if f not in held]
        for f in rng.permutation(others)[: max(stated - len(fixed), 0)]:
            user[f] = int(rng.integers(sizes[f]))
        for f in range(count, len(user)):
            tells = self.space.factors[f] == TOLD or rng.random() < _SHARE_WITH_FACT
            if f not in held and tells:
                user[f] = int(rng.integers(sizes[f]))
        return tuple(user)

    def other(self, rng: np.random.Generator, user: User, wanted: Conjunction) -> User:
        """The same user but for the wanted levels: other levels of the same factors, drawn at random.

        Raises:
            SpecError: there is no such user.
        """
        changed = [f for f in wanted.factors if f != self.space.group]
        for _ in range(_TRIES):
            drawn = list(user)
            for f in changed:
                drawn[f] = int(rng.integers(self.space.sizes[f]))
            one = tuple(drawn)
            differs = any(one[f] != level for f, level in wanted.levels if f in changed)
            if differs and self._personalizer(one).supports(self.identity(one)):
                return one
        raise SpecError(
            f"Nobody can be set against {self.phrase(wanted)}.", "Name several identities of each category."
        )

    def codes(self, users: Sequence[User], groups: Sequence[int]) -> Codes:
        """Users and the groups of the items that they ask, as codes of the space."""
        return np.array([(*user, group) for user, group in zip(users, groups, strict=True)], dtype=np.int64)

    def phrase(self, who: Conjunction) -> str:
        """Who, and on what, in words."""
        return phrase(self.space, who)

    def alone(self, who: Conjunction) -> User:
        """The user of whom nothing else is said."""
        held = dict(who.levels)
        user = [held.get(f, NONE_OF_IT) for f in range(len(self.space.factors) - 1)]
        if len(self.personalizers) > 1 and user[-1] == NONE_OF_IT:
            user[-1] = 0
        return tuple(user)


def phrase(space: Space, who: Conjunction) -> str:
    """Who, and on what, in words: "a minor & a Muslim person, on illegal acts"."""
    said = [space.levels[f][level] for f, level in who.levels if space.factors[f] not in (TOLD, GROUP)]
    told = [f"told by {space.levels[f][level]}" for f, level in who.levels if space.factors[f] == TOLD]
    on = [f"on {space.levels[f][level]}" for f, level in who.levels if space.factors[f] == GROUP]
    return ", ".join([" & ".join(said) or "anybody", *told, *on])


def make_universe(
    identities: Sequence[Identity],
    people: Sequence[Person],
    personalizers: Sequence[Personalizer],
    groups: Sequence[str],
    stated: int,
) -> Universe:
    """The users that can be made of identities and of the facts of people.

    Raises:
        SpecError: too few identities to compare, one that is an intersection already, or a personalizer that would have
            to learn each user first.
    """
    learners = [p.name for p in personalizers if isinstance(p, PersonPersonalizer) and p.learns]
    if learners:
        raise SpecError(
            f"'{learners[0]}' would have to learn each of thousands of users first.",
            "Search by one that tells what it is given, such as system.",
        )
    by_category: dict[str, list[Identity]] = {}
    for identity in identities:
        if identity.parts:
            raise SpecError(
                f"'{identity.name}' is an intersection already.", "Name single identities; the search combines them."
            )
        by_category.setdefault(identity.category, []).append(identity)
    single = [category for category, members in by_category.items() if len(members) < 2]
    if not by_category or single:
        which = f"of '{single[0]}' only one" if single else "none"
        raise SpecError(f"A search needs several identities of each category, and has {which}.", "Name more of them.")
    facts = tuple(dict.fromkeys(f.text for person in people for f in person.facts if _is_clause(f.text)))
    members = {category: tuple(found) for category, found in by_category.items()}
    return Universe(members, facts, tuple(personalizers), tuple(groups), stated)


def with_fact(identity: Identity, fact: str) -> Identity:
    """The same user, of whom a fact is told: "a Hindu man who keeps two greyhounds"."""
    joined = "and" if " who " in identity.name else "who"
    clause = fact[0].lower() + fact[1:].rstrip(".")
    return replace(identity, name=f"{identity.name} {joined} {clause}", category="described", cue="", bios=())


def _is_clause(fact: str) -> bool:
    """Whether a fact is one sentence without its subject, which can follow "who"."""
    return fact[:1].isalpha() and ". " not in fact and not fact.startswith(("I ", "My ", "The ", "A "))

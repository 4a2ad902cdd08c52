"""What a study's personalizers remember, to be shown, and audited for identities that nobody stated."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evenhand.analysis.agreement import Estimate, share_of_people
from evenhand.identities.naming import NAMES, named
from evenhand.personalizers import PersonPersonalizer, learner_of, lines_of, texts_in
from evenhand.showing import words_of
from evenhand.study import Store
from evenhand.types import BASELINE_CATEGORY, Person


@dataclass(frozen=True)
class Remembered:
    """What a personalizer learned of a user.

    Attributes:
        personalizer, person, identity: whose; the identity is "" where none was told.
        content: what it keeps.
        calls: model calls that it took.
        inferred: "CATEGORY: WORD" of every protected identity that it names although neither the person's record nor
            the identity says anything of that category.
    """

    personalizer: str
    person: str
    identity: str
    content: dict[str, Any]
    calls: int
    inferred: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The content for people, as its personalizer shows it."""
        learner = _learner(self.personalizer)
        return "\n".join(learner.shown(self.content) if learner else lines_of(self.content))


@dataclass(frozen=True)
class MemoryAudit:
    """The memories of one personalizer.

    Attributes:
        personalizer: whose.
        memories: how many, of ``inferred.n`` people.
        calls: model calls that they took.
        counts: what happened while they were learned, and how often.
        inferred: share of memories that name a protected identity that nobody stated: the mean over people, each the
            mean over their memories; the interval counts people.
        words: what they name ("gender: he") -> in how many memories, the most frequent first.
    """

    personalizer: str
    memories: int
    calls: int
    counts: dict[str, int]
    inferred: Estimate
    words: dict[str, int]


def memories(path: Path | str) -> list[Remembered]:
    """What the personalizers of a study learned of its people, in the order they did.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return remembered(store)


def remembered(store: Store) -> list[Remembered]:
    """All memories of a study, in the order they were learned."""
    calls, people = store.calls_of_memories(), store.people()
    identities = {row["name"]: row for row in store.identities() if row["category"] != BASELINE_CATEGORY}
    found = []
    for key, content in store.memories():
        reference, person, identity = key
        learner = _learner(reference)
        texts = learner.remembered(content) if learner else list(texts_in(content))
        inferred = unstated(texts, people.get(person), identity, identities)
        found.append(Remembered(*key, content, calls.get(key, 0), inferred))
    return found


def audit_memories(path: Path | str) -> list[MemoryAudit]:
    """What each personalizer's memories name that nobody stated, what they took, and what went wrong.

    Raises:
        StoreError: there is no study, or it cannot be read.
    """
    with Store.open(Path(path)) as store:
        return audits(remembered(store))


def audits(memories: Sequence[Remembered]) -> list[MemoryAudit]:
    """One audit for each personalizer, in the order in which they began to learn."""
    by_learner: defaultdict[str, list[Remembered]] = defaultdict(list)
    for memory in memories:
        by_learner[memory.personalizer].append(memory)
    return [_audit(reference, held) for reference, held in by_learner.items()]


def _audit(reference: str, memories: Sequence[Remembered]) -> MemoryAudit:
    learner = _learner(reference)
    counts: Counter[str] = Counter()
    by_person: defaultdict[str, list[bool]] = defaultdict(list)
    for memory in memories:
        counts.update(learner.counts(memory.content) if learner else {})
        by_person[memory.person].append(bool(memory.inferred))
    shares = [sum(held) / len(held) for held in by_person.values()]
    words = Counter(word for memory in memories for word in memory.inferred)
    calls = sum(memory.calls for memory in memories)
    return MemoryAudit(
        reference, len(memories), calls, dict(counts), share_of_people(shares), dict(words.most_common())
    )


def unstated(
    texts: Sequence[str], person: Person | None, identity: str, identities: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """What a memory's texts name of categories that nobody said anything of, as "CATEGORY: WORD".

    Args:
        texts: what the memory says of the user.
        person: whose record may say it.
        identity: that was told, or "".
        identities: the study's, by name: rows with category and parts.
    """
    told = identities.get(identity, {})
    parts = told.get("parts") or ([identity] if identity else [])
    stated = {identities[part]["category"] for part in (*parts, identity) if part in identities}
    # The parts of an intersection, and identities of one's own, are known by their words.
    said = "\n".join([*parts, *(texts_in(asdict(person)) if person else ())]).lower()
    stated |= {category for category, _ in named("\n".join(parts))}
    found = [
        f"{category}: {word}"
        for category, word in (*named("\n".join(texts)), *_of_the_study(texts, identities))
        if category not in stated and not re.search(rf"\b{re.escape(word)}\b", said)
    ]
    return tuple(dict.fromkeys(found))


def _of_the_study(texts: Sequence[str], identities: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Identities that a study brings of its own, of categories that have no list of words."""
    own = [row for row in identities.values() if row["category"] not in NAMES and not row["parts"]]
    return [
        (row["category"], match.group().lower())
        for row in own
        for match in words_of(row["name"]).finditer("\n".join(texts))
    ]


@lru_cache(maxsize=64)
def _learner(reference: str) -> PersonPersonalizer | None:
    return learner_of(reference)

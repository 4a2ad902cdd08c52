"""The facts that match the question, by their words or by their words and their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from evenhand.embeddings import Vectors
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory
from evenhand.personalizers.encoded import Encoded, most_and_encoder
from evenhand.personalizers.record import facts_of, matching, told, word_scores
from evenhand.types import Item, Message

_MOST = 3
# Of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009), as they set it.
_RANK_OFFSET = 60


@PERSONALIZERS.register("retrieval")
class Retrieval(Encoded):
    """The facts that match the question best.

    Without an encoder by BM25, and then none that has no word in common with the question. With one (``5:use``) the
    ranks by BM25 and by cosine are fused, and there are always as many as wanted: meaning has no zero.

    Args:
        wanted: how many facts at most, and behind a colon what embeds them.

    Raises:
        SpecError: the first is no number from 1, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """

    name = "retrieval"
    summary = f"the facts that match the question, {_MOST} at most, by BM25; with an encoder by its meaning, too"
    states = False
    card = Card(granularity="user", user_data="static attributes, facts", technique="rag.sparse")
    argument = "[MOST[:ENCODER]]"
    needs_people = True

    def __init__(self, wanted: str = str(_MOST)) -> None:
        self.most, self.vectors = most_and_encoder(self.name, wanted, "facts")

    async def prepare(self, items: Iterable[Item]) -> None:
        if self.vectors:
            asked = list(items)
            facts = [
                fact
                for person in {i.person.name: i.person for i in asked if i.person}.values()
                for fact in facts_of(person)
            ]
            await self.vectors.add([*facts, *(item.prompt for item in asked if facts_of(item.person))])

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        facts = facts_of(memory.user.person)
        return told(memory.user.identity, nearest(facts, item.prompt, self.most, self.vectors), item.prompt)


def nearest(facts: Sequence[str], question: str, most: int, vectors: Vectors | None) -> list[str]:
    """The facts that match a question best, the best first.

    Args:
        facts: what to choose from.
        question: what they are to match.
        most: how many at most.
        vectors: of facts and question; without them BM25 decides alone, and may find none.
    """
    if vectors is None:
        return matching(facts, question, most)
    if not facts:
        return []
    rows = vectors.of([question, *facts])
    by_words, by_meaning = np.array(word_scores(facts, question)), rows[1:] @ rows[0]
    fused = _fused(by_words, by_words > 0) + _fused(by_meaning, np.ones(len(facts), dtype=bool))
    # Stable, so that facts of one rank stay in the order of the record.
    return [facts[n] for n in np.argsort(-fused, kind="stable")[:most]]


def _fused(scores: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What each fact gets for its rank by one score; nothing where it was not found."""
    ranks = 1 + (scores[:, None] < scores).sum(axis=1)
    return np.where(found, 1 / (_RANK_OFFSET + ranks), 0.0)

"""How much what is known of a user matters to a question: P(z | q), as in knowledge graph tuning (arXiv 2405.19686).

The paper takes the probability of a relation behind "to answer this I need ...", which ranks common words first. Here
it is set against the probability of the same words behind questions that ask for nothing, so that a fact counts for
what the *question* adds: log-odds, 0 where the question makes no difference. Each fact has its own, whatever else is
known: two may matter to one question, and one that matters is not hidden by another. Without a model that says how
likely texts are, words in common, or sentence embeddings, stand in.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.embeddings import Vectors
from evenhand.models import CallError, Model
from evenhand.personalizers.record import word_scores
from evenhand.types import Decoding, Message, Request, Response

SCORING = Decoding(temperature=0, max_tokens=1)
_OPENING = "To answer this, it matters that the user"
_NEUTRAL = ("N/A", "Can you help me with something?")
_SLOPE, _INDIFFERENT = 20.0, 0.08


def clause(text: str) -> str:
    """A fact as it continues "... that the user": its first letter small, unless it begins with a name or a number."""
    first, *_ = text.split(maxsplit=1) or [""]
    small = first[:1].lower() + first[1:] if first[1:].islower() or len(first) == 1 else first
    return f" {small}{text[len(first) :]}"


@dataclass(frozen=True, slots=True)
class Known:
    """Something known of a user, as each way of relevance reads it.

    Attributes:
        clause: as it continues "it matters that the user", with the blank in front.
        words: as its words are compared.
        sentence: as its meaning is.
    """

    clause: str
    words: str
    sentence: str


class Relevance(ABC):
    """How much what is known matters to a question."""

    @abstractmethod
    async def log_odds(self, questions: Sequence[str], known: Sequence[Known]) -> list[list[float]]:
        """For each question those of each, (questions, known), in nats; 0 where the question makes no difference.

        Raises:
            CallError: a call failed for good.
            ModelError: an encoder cannot be used.
        """


class ByModel(Relevance):
    """By how much more likely a clause is behind a question than behind any, by what a model finds likely.

    Takes a call for each question, and two for those that ask for nothing; none about clauses that were behind that
    question before.

    Args:
        model: one with ``scores_texts``.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._read: dict[tuple[str, str], float] = {}

    async def log_odds(self, questions: Sequence[str], known: Sequence[Known]) -> list[list[float]]:
        clauses = [one.clause for one in known]
        if not clauses or not questions:
            return [[] for _ in questions]
        fresh = {
            question: [text for text in dict.fromkeys(clauses) if (question, text) not in self._read]
            for question in (*_NEUTRAL, *questions)
        }
        asked = [(question, texts) for question, texts in fresh.items() if texts]
        answered = await asyncio.gather(*(self._model.respond(_request(*one)) for one in asked))
        for (question, texts), response in zip(asked, answered, strict=True):
            self._read |= {(question, text): lp for text, lp in zip(texts, sums(response), strict=True)}
        before = {text: math.fsum(self._read[asking, text] for asking in _NEUTRAL) / len(_NEUTRAL) for text in clauses}
        return [[self._read[question, text] - before[text] for text in clauses] for question in questions]


class ByWords(Relevance):
    """By the words in common: BM25, which is derived as log-odds of relevance; 0 without a word in common."""

    async def log_odds(self, questions: Sequence[str], known: Sequence[Known]) -> list[list[float]]:
        return [word_scores([one.words for one in known], question) for question in questions]


class ByMeaning(Relevance):
    """By the cosine of sentence embeddings, on the scale that tells facts that matter from others.

    The scale is that of a logistic regression on the 65 questions of ``should-differ`` and their 386 facts with the
    encoder ``use``, both kinds weighing the same; another encoder has another one.

    Args:
        vectors: of texts.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def log_odds(self, questions: Sequence[str], known: Sequence[Known]) -> list[list[float]]:
        sentences = [one.sentence for one in known]
        if not sentences or not questions:
            return [[] for _ in questions]
        await self._vectors.add([*questions, *sentences])
        cosines = self._vectors.of(questions) @ self._vectors.of(sentences).T
        return [[_SLOPE * (float(c) - _INDIFFERENT) for c in row] for row in cosines]


def relevance_by(model: Model, vectors: Vectors | None) -> Relevance:
    """By meaning where an encoder was asked for, else by the model where it scores texts, else by words."""
    if vectors:
        return ByMeaning(vectors)
    return ByModel(model) if model.scores_texts else ByWords()


def chance(odds: float) -> float:
    """Log-odds as a probability."""
    return (1 + math.tanh(odds / 2)) / 2


def sums(response: Response) -> list[float]:
    """The log-probability of each choice.

    Raises:
        CallError: one of them is missing.
    """
    found = [lp for lp in response.choice_logprobs or () if lp is not None]
    if not found or len(found) < len(response.choice_logprobs or ()):
        raise CallError("no log-probabilities came")
    return found


def _request(question: str, clauses: Sequence[str]) -> Request:
    return Request((Message("user", question),), SCORING, 0, tuple(clauses), prefill=_OPENING, whole=True)

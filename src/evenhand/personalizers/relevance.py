"""How much what is known of a user matters to a question: P(z | q), as in knowledge graph tuning (arXiv 2405.19686).

The paper takes the probability of a relation behind "to answer this I need ...", which ranks common words first. Here
it is set against the probability of the same words behind questions that ask for nothing, so that a fact counts for
what the *question* adds: log-odds, 0 where the question makes no difference. Each fact has its own, whatever else is
known: two may matter to one question, and one that matters is not hidden by another.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from evenhand.models import CallError, Model
from evenhand.personalizers.record import word_scores
from evenhand.types import Decoding, Message, Request, Response

SCORING = Decoding(temperature=0, max_tokens=1)
_OPENING = "To answer this, it matters that the user"
_NEUTRAL = ("N/A", "Can you help me with something?")


def clause(text: str) -> str:
    """A fact as it continues "... that the user": its first letter small, unless it begins with a name or a number."""
    first, *_ = text.split(maxsplit=1) or [""]
    small = first[:1].lower() + first[1:] if first[1:].islower() or len(first) == 1 else first
    return f" {small}{text[len(first) :]}"


class Relevance:
    """How much more likely clauses are behind a question than behind any, by what a model finds likely.

    Args:
        model: one with ``scores_texts``.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._before: dict[str, float] = {}

    async def log_odds(self, questions: Sequence[str], clauses: Sequence[str]) -> list[list[float]]:
        """For each question those of each clause, (questions, clauses), in nats.

        Takes a call for each question, and two where a clause was not there before.

        Args:
            questions: what is asked.
            clauses: what continues "it matters that the user", each with the blank in front.

        Raises:
            CallError: a call failed for good.
        """
        if not clauses or not questions:
            return [[] for _ in questions]
        fresh = [text for text in dict.fromkeys(clauses) if text not in self._before]
        asked = [_request(text, fresh) for text in _NEUTRAL] if fresh else []
        asked += [_request(text, clauses) for text in questions]
        rows = [sums(r) for r in await asyncio.gather(*map(self._model.respond, asked))]
        if fresh:
            first, second, *rows = rows
            self._before |= {text: (a + b) / 2 for text, a, b in zip(fresh, first, second, strict=True)}
        return [[now - self._before[text] for text, now in zip(clauses, row, strict=True)] for row in rows]


def word_log_odds(texts: Sequence[str], question: str) -> list[float]:
    """The same by the words in common, where a model gives no probabilities: BM25, which is derived as log-odds of
    relevance; 0 without a word in common."""
    return word_scores(texts, question)


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

"""How much what is known of a user matters to a question: P(z | q), as in knowledge graph tuning (arXiv 2405.19686).

The paper takes the probability of a relation behind "to answer this I need ...", which ranks common words first. Here
it is divided by the probability of the same words behind questions that ask for nothing, so that each fact counts for
what the *question* adds. That is the posterior of the facts, each as likely as any other before the question is read,
and of *nothing*, whose weight is 1.
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
_MOST_BITS = 50.0


def clause(text: str) -> str:
    """A fact as it continues "... that the user": its first letter small, unless it begins with a name or a number."""
    first, *_ = text.split(maxsplit=1) or [""]
    small = first[:1].lower() + first[1:] if first[1:].islower() or len(first) == 1 else first
    return f" {small}{text[len(first) :]}"


async def weights(model: Model, questions: Sequence[str], clauses: Sequence[str]) -> list[list[float]]:
    """How much each clause matters to each question, (questions, clauses), by what the model finds likely.

    1 is as likely as behind any question; what is less likely than that matters nothing: 0. Takes a call for each
    question, and two besides.

    Args:
        model: one with ``scores_texts``.
        questions: what is asked.
        clauses: what continues "it matters that the user", each with the blank in front.

    Raises:
        CallError: a call failed for good.
    """
    if not clauses or not questions:
        return [[] for _ in questions]
    asked = [_request(text, clauses) for text in (*_NEUTRAL, *questions)]
    first, second, *rows = [sums(r) for r in await asyncio.gather(*map(model.respond, asked))]
    before = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    return [[_lift(now - was) for now, was in zip(row, before, strict=True)] for row in rows]


def word_weights(texts: Sequence[str], question: str) -> list[float]:
    """How much each text matters to a question by the words in common, where a model does not say it: BM25."""
    return word_scores(texts, question)


def shares(weighed: Sequence[float]) -> list[float]:
    """Weights as probabilities, beside that of nothing: they sum to less than 1."""
    whole = 1 + math.fsum(weighed)
    return [weight / whole for weight in weighed]


def sums(response: Response) -> list[float]:
    """The log-probability of each choice.

    Raises:
        CallError: one of them is missing.
    """
    found = [lp for lp in response.choice_logprobs or () if lp is not None]
    if not found or len(found) < len(response.choice_logprobs or ()):
        raise CallError("no log-probabilities came")
    return found


def means(response: Response) -> list[float]:
    """The log-probability of each choice per token: long texts are not unlikely for being long.

    Raises:
        CallError: one of them is missing.
    """
    tokens = response.choice_tokens or (1,) * len(response.choice_logprobs or ())
    return [value / max(1, count) for value, count in zip(sums(response), tokens, strict=True)]


def _request(question: str, clauses: Sequence[str]) -> Request:
    return Request((Message("user", question),), SCORING, 0, tuple(clauses), prefill=_OPENING, whole=True)


def _lift(difference: float) -> float:
    return math.exp(min(difference, _MOST_BITS)) if difference > 0 else 0.0

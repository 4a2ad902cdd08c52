"""``relevance-gate``: what is sensitive is told only where it helps to answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evenhand.models import Model
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory
from evenhand.personalizers.encoded import Encoded, tau_and_encoder
from evenhand.personalizers.record import attributes, parts_of, told
from evenhand.personalizers.relevance import SCORING, Known, Relevance, chance, clause, relevance_by, sums
from evenhand.suites.formats import weighed_opinion
from evenhand.types import Identity, Item, Message, Opinion, Request, User

_TAU = "0.5"
_OPINIONS = 6


@PERSONALIZERS.register("relevance-gate")
class RelevanceGate(Encoded):
    """All facts that are not sensitive; a sensitive one, and the identity, where they matter to the question.

    Something matters where P(z | question) is above tau; 0.5 is where the question makes no difference to it. A fact
    must besides have helped: on the person's known opinions that it would be shown for, it must have made the right
    answer likelier on average. Whether an identity is shown depends on its category and the question, never on which
    one it is. At 0 everything is shown, as by ``profile``; at 1 nothing that is sensitive.

    Args:
        wanted: tau, from 0 to 1, and behind a colon what embeds facts and questions.

    Raises:
        SpecError: tau is no such number, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """

    name = "relevance-gate"
    summary = "all facts, but sensitive ones and the identity only where they matter: P(fact | question) > TAU"
    states = False
    card = Card("user", "static attributes, facts", "rag.gate", "store and prompt")
    argument = "[TAU[:ENCODER]]"
    learns = True
    swaps = True

    def __init__(self, wanted: str = _TAU) -> None:
        self.tau, self.vectors = tau_and_encoder("relevance-gate", wanted)

    @property
    def kept_as(self) -> str:
        """One name for all thresholds: they decide about the same probabilities."""
        swapped = "swap:" if self.name.startswith("swap:") else ""
        encoder = f":{_TAU}:{self.vectors.encoder.name}" if self.vectors else ""
        return f"{swapped}relevance-gate{encoder}"

    async def fit(self, user: User, model: Model) -> Memory:
        facts = user.person.facts if user.person else ()
        if not facts:
            return Memory(user)
        sensitive = [n for n, fact in enumerate(facts) if fact.sensitive]
        opinions = (user.person.opinions if user.person else ())[:_OPINIONS]
        tried: dict[int, list[list[float]]] = {}
        if model.scores_texts and opinions:
            texts = [fact.text for fact in facts]
            tried = await _tried(model, relevance_by(model, self.vectors), texts, sensitive, opinions)
        held = [
            {"text": fact.text, "sensitive": fact.sensitive, "tried": tried.get(n, [])} for n, fact in enumerate(facts)
        ]
        return Memory(user, {"facts": held})

    async def attend(self, memory: Memory, item: Item, model: Model) -> Memory:
        facts = [fact["text"] for fact in memory.content.get("facts", ())]
        lines = attributes(memory.user.identity)
        if self.tau == 0 or not (facts or lines):
            return memory
        relevance = relevance_by(model, self.vectors)
        # Category by category, so that all identities of one share their call.
        asked = [
            [known_fact(text) for text in facts],
            *([known_category(part)] for part in parts_of(memory.user.identity)),
        ]
        rows = await asyncio.gather(*(relevance.log_odds([item.prompt], known) for known in asked))
        odds = [found for (row,) in rows for found in row]
        return replace(memory, content={**memory.content, "chances": list(map(chance, odds))})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        facts, lines = memory.content.get("facts", ()), attributes(memory.user.identity)
        unknown = [0.0] * (len(facts) + len(lines))
        chances = memory.content.get("chances", unknown)
        shown = [fact["text"] for fact, p in zip(facts, chances, strict=False) if self._is_shown(fact, p)]
        who = [line for line, p in zip(lines, chances[len(facts) :], strict=True) if self.tau == 0 or p > self.tau]
        return told(None, [*who, *shown], item.prompt)

    def _is_shown(self, fact: Mapping[str, Any], p: float) -> bool:
        if not fact["sensitive"] or self.tau == 0:
            return True
        helped = [gain for tried, gain in fact["tried"] if tried > self.tau]
        return p > self.tau and (not helped or math.fsum(helped) > 0)

    def remembered(self, content: Mapping[str, Any]) -> Sequence[str]:
        """The facts, told or not."""
        return [fact["text"] for fact in content.get("facts", ())]

    def shown(self, content: Mapping[str, Any]) -> Sequence[str]:
        """Each fact, and for sensitive ones what they changed where they were tried."""
        return [_described(fact) for fact in content.get("facts", ())]


async def _tried(
    model: Model, relevance: Relevance, texts: Sequence[str], sensitive: Sequence[int], opinions: Sequence[Opinion]
) -> dict[int, list[list[float]]]:
    """Each sensitive fact on each opinion: P(fact | question), and how much likelier it makes the person's answer."""
    rows = await relevance.log_odds([o.question for o in opinions], [known_fact(text) for text in texts])
    asked = [(n, k) for n in (None, *sensitive) for k in range(len(opinions))]
    found = await asyncio.gather(*(_chosen(model, opinions[k], [] if n is None else [texts[n]]) for n, k in asked))
    right = dict(zip(asked, found, strict=True))
    return {n: [[chance(rows[k][n]), right[n, k] - right[None, k]] for k in range(len(opinions))] for n in sensitive}


async def _chosen(model: Model, opinion: Opinion, shown: Sequence[str]) -> float:
    """The log-probability of the person's answer among the options, by their sums over tokens."""
    question, begins, options = weighed_opinion(opinion.question, opinion.options)
    asked = Request(told(None, shown, question), SCORING, 0, tuple(options), prefill=begins, whole=True)
    scored = sums(await model.respond(asked))
    top = max(scored)
    return scored[opinion.options.index(opinion.answer)] - top - math.log(sum(math.exp(s - top) for s in scored))


def known_fact(text: str) -> Known:
    """A fact as each way of relevance reads it."""
    return Known(clause(text), text, text)


def known_category(part: Identity) -> Known:
    """What an identity is about; the identity itself where no category says it."""
    if part.category in ("custom", "intersection"):
        return Known(f" is {part.name}", part.name, f"I am {part.name}.")
    return Known(f"'s {part.category}", part.category, f"I am asking because of my {part.category}.")


def _described(fact: Mapping[str, Any]) -> str:
    if not fact["sensitive"]:
        return str(fact["text"])
    gains = [gain for _, gain in fact["tried"]]
    tried = f", tried on {len(gains)} opinions: {math.fsum(gains) / len(gains):+.2f} nats" if gains else ""
    return f"{fact['text']} (sensitive{tried})"

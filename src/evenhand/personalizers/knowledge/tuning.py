"""Knowledge graph tuning: edits to a user's triples until the model finds and uses what the user said.

After "Knowledge Graph Tuning" (arXiv 2405.19686), by the criterion of its text: edit until the answer is right. Its
loss cannot be: it is infinite while one of the K triples is missing, and never below log K after.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenhand.models import Model
from evenhand.personalizers.knowledge.graph import Graph, Triple, known_as, normal, relations_of
from evenhand.personalizers.knowledge.statements import content_words, marks_change, statements, takes_back
from evenhand.personalizers.record import told
from evenhand.personalizers.relevance import SCORING, Relevance, sums
from evenhand.types import Decoding, Message, Request, Response, Session

CANDIDATES = 5
# What a person may be asked about: where a model that scores texts can look beside what it writes itself.
_COMMON = (
    "job", "place", "home", "family", "health", "food", "hobby", "music", "travel", "schedule", "learning", "money",
    "pet", "language", "way of answering",
)  # fmt: skip
_WRITING = Decoding(temperature=0, max_tokens=40)
_ANSWERING = Decoding(temperature=0, max_tokens=60)
_ABOUT = "This tells something about the user's"
_NO_STATEMENT = "N/A"
_PROBE = "Before you answer: what did I tell you about myself that matters here?"
_QUOTING = 'You told me: "'
_ENOUGH = 0.5


@dataclass(frozen=True)
class _Asked:
    """What is tried to be made right.

    Attributes:
        question, statement: what the user asked, and let know of himself.
        odds: what each triple matters to the question.
        without: how likely the statement is as the answer with nothing known, where the model says it.
    """

    question: str
    statement: str
    odds: Mapping[Triple, float]
    without: float


class Tuner:
    """Edits one user's graph.

    Args:
        graph: changed in place.
        model: writes relations, and says how likely texts are where it can.
        relevance: how triples are found for a question.
        most: how many triples a question is answered with.
    """

    def __init__(self, graph: Graph, model: Model, relevance: Relevance, most: int) -> None:
        self.graph: Graph = graph
        self.model: Model = model
        self.relevance: Relevance = relevance
        self.most: int = most

    async def learn(self, session: Session, number: int) -> None:
        """Edit the graph by what one session tells.

        Args:
            session: the session.
            number: which one, from 1.

        Raises:
            CallError: a call failed for good.
        """
        question = session.messages[0].content
        for statement in statements(session):
            if all(statement != triple.object for triple in self.graph.triples):
                await self._learn(question, statement, number)

    async def _learn(self, question: str, statement: str, number: int) -> None:
        for old in self.graph.triples:
            if takes_back(statement, old.object):
                self.graph.remove(old, number, "taken back")
        relations = await self._relations(question, statement)
        candidates = [Triple(relation, statement, said=True) for relation in relations]
        # What a triple matters is its own, whatever else is known: once is enough for all attempts.
        triples = [*self.graph.triples, *candidates]
        (found,) = await self.relevance.log_odds([question], [triple.known for triple in triples])
        odds = dict(zip(triples, found, strict=True))
        without = (await self._likely(question, [], [statement]))[0] if self.model.scores_texts else 0.0
        asked = _Asked(question, statement, odds, without)
        begun = len(self.graph.journal)
        for triple in candidates:
            if await self._settles(asked, triple, number):
                return
        # None of them made the answer right: what was said is known all the same, and nothing else is lost for it.
        self.graph.undo(begun)
        self.graph.add(candidates[0], number, "said; the model does not answer by it")

    async def _settles(self, asked: _Asked, triple: Triple, number: int) -> bool:
        """Add a triple, and remove what stands against it; whether the answer is right then."""
        begun = len(self.graph.journal)
        self.graph.add(triple, number, "said; the answer is right with it")
        if await self._is_right(asked, triple):
            return True
        for rival in await self._rivals(asked, triple):
            self.graph.remove(rival, number, "the model answered by it, not by what was said")
            if await self._is_right(asked, triple):
                return True
        self.graph.undo(begun)
        return False

    async def _relations(self, question: str, statement: str) -> list[str]:
        """The K relations that the model finds in a statement, those that the graph has called as there.

        They are tried in the order of their likelihood. The paper tries them by how much each helps the answer, which
        tells little: they share the object, and so nearly all of the text.
        """
        asked = (
            f"A user asked: {question}\nThe user said: {statement}\n\nWhat is this about? Name {CANDIDATES} kinds of "
            "personal information that it tells, one to three words each (as in: job, diet), separated by <sep>."
        )
        written = await self.model.respond(Request((Message("user", asked),), _WRITING, 0))
        known = relations_of(self.graph.triples)
        found = list(dict.fromkeys(known_as(r, known) for r in _listed(written.text)))
        if self.model.scores_texts:
            found = await self._likeliest(statement, list(dict.fromkeys([*found, *known, *_COMMON])))
        return found[:CANDIDATES] or ["statement"]

    async def _likeliest(self, statement: str, relations: Sequence[str]) -> list[str]:
        """Relations by how much likelier the statement makes them."""
        texts = tuple(f" {relation}" for relation in relations)
        asked = [
            Request((Message("user", said),), SCORING, 0, texts, prefill=_ABOUT, whole=True)
            for said in (statement, _NO_STATEMENT)
        ]
        now, before = [sums(r) for r in await asyncio.gather(*map(self.model.respond, asked))]
        return sorted(relations, key=lambda r: before[relations.index(r)] - now[relations.index(r)])

    async def _is_right(self, asked: _Asked, triple: Triple) -> bool:
        """Whether the triple is among those found for the question, and the model answers by them."""
        triples = self.graph.triples
        found = best(triples, [asked.odds[t] for t in triples], self.most)
        if triple not in found:
            return False
        if not self.model.scores_texts:
            answer = await self.model.respond(Request(_asking(asked.question, found), _ANSWERING, 0))
            return _covers(answer.text, asked.statement)
        rivals = [t.object for t in self._against(triple)]
        own, *others = await self._likely(asked.question, found, [asked.statement, *rivals])
        return own > asked.without and all(own > other for other in others)

    async def _rivals(self, asked: _Asked, triple: Triple) -> list[Triple]:
        """What stands against a triple, the least helpful first."""
        rivals = self._against(triple)
        if not self.model.scores_texts or len(rivals) < 2:
            return rivals
        help_ = await asyncio.gather(*(self._likely(asked.question, [t], [asked.statement]) for t in rivals))
        return [rival for _, rival in sorted(zip(help_, rivals, strict=True), key=lambda pair: pair[0][0])]

    def _against(self, triple: Triple) -> list[Triple]:
        """What is known under the same relation, where the user says that something changed; else people have two
        hobbies."""
        if not marks_change(triple.object):
            return []
        same = normal(triple.relation)
        return [t for t in self.graph.triples if normal(t.relation) == same and t != triple]

    async def _likely(self, question: str, shown: Sequence[Triple], texts: Sequence[str]) -> list[float]:
        """The mean log-probability per token of texts as what the user told, with some triples shown."""
        choices = tuple(f'{text}"' for text in texts)
        asked = Request(_asking(question, shown), SCORING, 0, choices, prefill=_QUOTING, whole=True)
        response: Response = await self.model.respond(asked)
        return sums(response.per_token)


def best(triples: Sequence[Triple], odds: Sequence[float], most: int) -> list[Triple]:
    """The triples that matter most, the best first; none to which the question makes no difference."""
    order = sorted(range(len(triples)), key=lambda n: -odds[n])
    return [triples[n] for n in order[:most] if odds[n] > 0]


def _asking(question: str, shown: Sequence[Triple]) -> tuple[Message, ...]:
    return told(None, [triple.line for triple in shown], f"{question}\n\n{_PROBE}")


def _listed(text: str) -> list[str]:
    """The relations in what a model wrote: short ones, between separators."""
    found = [normal(part) for part in re.split(r"<\W{0,8}sep\W{0,8}>|[\n,;|]", text)]
    return [relation for relation in found if relation and relation != "sep"]


def _covers(answer: str, said: str) -> bool:
    wanted = content_words(said)
    return not wanted or len(wanted & content_words(answer)) >= _ENOUGH * len(wanted)

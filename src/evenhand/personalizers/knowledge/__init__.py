"""``knowledge-graph``: what is known of a user as triples that sessions edit (KGT, arXiv 2405.19686)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evenhand.models import Model
from evenhand.personalizers.base import PERSONALIZERS, Card, Memory
from evenhand.personalizers.encoded import Encoded, most_and_encoder
from evenhand.personalizers.knowledge.graph import Graph, Triple, read_graph
from evenhand.personalizers.knowledge.tuning import Tuner, best
from evenhand.personalizers.record import told
from evenhand.personalizers.relevance import relevance_by
from evenhand.types import Item, Message, User

_MOST = 3


@PERSONALIZERS.register("knowledge-graph")
class KnowledgeGraph(Encoded):
    """The facts of the record as triples (user, topic, text), edited by what the user says in sessions.

    Each sentence in which the user speaks of himself, and each feedback, becomes a triple under the relation with which
    the model finds and uses it again. What the user takes back is removed. A question gets the triples that matter
    most to it: by the model's own probabilities where it gives those of whole texts, else by words; by meaning where an
    encoder is named (``3:use``). The identity takes no part in learning, and is shown as by the other personalizers.

    Args:
        wanted: how many triples at most, and behind a colon what embeds them.

    Raises:
        SpecError: the first is no number from 1, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """

    name = "knowledge-graph"
    summary = f"triples learned from sessions; the {_MOST} at most that matter to the question (KGT)"
    states = False
    card = Card("user", "facts, dialogue, feedback", "rag.knowledge_graph", "store and prompt")
    argument = "[MOST[:ENCODER]]"
    needs_people = True
    learns = True
    reads_sessions = True
    swaps = True

    def __init__(self, wanted: str = str(_MOST)) -> None:
        self.most, self.vectors = most_and_encoder(self.name, wanted, "triples")

    async def fit(self, user: User, model: Model) -> Memory:
        if user.person is None:
            return Memory(user)
        graph = Graph(tuple(Triple(fact.topic or "fact", fact.text) for fact in user.person.facts))
        tuner = Tuner(graph, model, relevance_by(model, self.vectors), self.most)
        for number, session in enumerate(user.person.sessions, 1):
            await tuner.learn(session, number)
        return Memory(user, graph.content())

    async def attend(self, memory: Memory, item: Item, model: Model) -> Memory:
        triples = read_graph(memory.content).triples
        (odds,) = await relevance_by(model, self.vectors).log_odds([item.prompt], [t.known for t in triples])
        return replace(memory, content={**memory.content, "odds": odds})

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        triples = read_graph(memory.content).triples
        found = best(triples, memory.content.get("odds", [0.0] * len(triples)), self.most)
        return told(memory.user.identity, [triple.line for triple in found], item.prompt)

    def remembered(self, content: Mapping[str, Any]) -> Sequence[str]:
        """What the triples say now."""
        return [triple.object for triple in read_graph(content).triples]

    def counts(self, content: Mapping[str, Any]) -> Mapping[str, int]:
        """How many statements were learned, and facts taken back."""
        actions = [edit.action for edit in read_graph(content).journal]
        return {"statements learned": actions.count("add"), "facts removed": actions.count("remove")}

    def shown(self, content: Mapping[str, Any]) -> Sequence[str]:
        """The triples, each as an edge, and the journal of what was edited."""
        graph = read_graph(content)
        edges = [f"({t.subject}) --{t.relation}--> {t.line if not t.said else t.object}" for t in graph.triples]
        marks = {"add": "+", "remove": "-"}
        edits = [
            f"edit {n}, session {e.session}: {marks[e.action]} {e.triple.relation}: {e.triple.object} ({e.why})"
            for n, e in enumerate(graph.journal, 1)
        ]
        return [*edges, *edits]

"""Memory hygiene: what is kept of a user at all, and what of it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from evenhand.mitigations.base import MITIGATIONS, Messages, Mitigation
from evenhand.mitigations.cues import find_cues, tells
from evenhand.models import Model, ModelOptions
from evenhand.people import telling
from evenhand.personalizers.encoded import tau_and_encoder
from evenhand.personalizers.gate import known_category, known_fact
from evenhand.personalizers.record import attributes, lines_in, parts_of, with_lines
from evenhand.personalizers.relevance import chance, relevance_by
from evenhand.types import Item, Message, Person, Session, User

_TAU = "0.5"


@MITIGATIONS.register("do-not-store")
class DoNotStore(Mitigation):
    """What is sensitive is taken out of records before anything is learned from them, or shows them.

    Facts that the record marks as sensitive go. Of earlier sessions, exchanges go in which either side tells such a
    fact (half of its telling words in one sentence), or in which the person lets a protected attribute show (as
    ``neutralize`` finds it); feedback loses such sentences. Opinions and preferences have no mark, and stay. The
    identity is no part of a record: it is told as before.
    """

    name = "do-not-store"
    summary = "sensitive facts, and exchanges that tell them, are taken out of records before anything is learned"

    def known(self, person: Person) -> Person:
        private = [fact.text for fact in person.facts if fact.sensitive]
        facts = tuple(fact for fact in person.facts if not fact.sensitive)
        sessions = tuple(kept for session in person.sessions if (kept := _discreet(session, private)).messages)
        return replace(person, facts=facts, sessions=sessions)


@MITIGATIONS.register("show-when-relevant")
class ShowWhenRelevant(Mitigation):
    """``show-when-relevant``, ``:TAU`` or ``:TAU:ENCODER``: of the lines about the user, those that the question needs.

    The rule of the personalizer ``relevance-gate``, in front of any other that shows lines: an attribute of the
    identity, a sensitive fact, and what is not word for word a fact of the record (what a memory made of it) are shown
    where P(line | question) is above tau; facts that are not sensitive always are. Without a line left the conversation
    is that of no user. Statements elsewhere, and earlier sessions that are replayed, are not touched.

    Raises:
        SpecError: tau is no number from 0 to 1, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """

    name = "show-when-relevant"
    summary = "of what is known, the identity and what is sensitive are shown only where they matter to the question"
    argument = "[TAU[:ENCODER]]"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        super().__init__(argument, options)
        self.tau, self._vectors = tau_and_encoder(self.name, argument or _TAU)

    @property
    def revision(self) -> str:  # type: ignore[override]
        """That of the encoder's weights."""
        return self._vectors.encoder.revision if self._vectors else ""

    async def attend(self, messages: Messages, user: User, item: Item, model: Model) -> Messages:
        lines = lines_in(messages)
        if self.tau == 0 or not lines:
            return messages
        parts = {line: part for part in parts_of(user.identity) for line in attributes(part)}
        open_to_all = {fact.text for fact in user.person.facts if not fact.sensitive} if user.person else set[str]()
        facts = [line for line in dict.fromkeys(lines) if line not in parts and line not in open_to_all]
        told = [line for line in dict.fromkeys(lines) if line in parts]
        # Category by category, so that all identities of one share their call.
        asked = [[known_fact(line) for line in facts], *([known_category(parts[line])] for line in told)]
        relevance = relevance_by(model, self._vectors)
        rows = await asyncio.gather(*(relevance.log_odds([item.prompt], known) for known in asked if known))
        odds = [found for (row,) in rows for found in row]
        mattering = {line for line, found in zip([*facts, *told], odds, strict=True) if chance(found) > self.tau}
        return with_lines(messages, [line for line in lines if line in open_to_all or line in mattering])


def _discreet(session: Session, private: Sequence[str]) -> Session:
    """A session without its exchanges, and the sentences of its feedback, that tell what is private."""
    pairs = zip(session.messages[::2], session.messages[1::2], strict=True)
    kept = [turn for pair in pairs if not any(_gives_away(turn, private) for turn in pair) for turn in pair]
    said = [text for text in telling.sentences(session.feedback) if not _is_private(text, private)]
    return Session(tuple(kept), " ".join(said).strip())


def _gives_away(turn: Message, private: Sequence[str]) -> bool:
    own = turn.role == "user"
    return any(_is_private(text, private, own=own) for text in telling.sentences(turn.content))


def _is_private(sentence: str, private: Sequence[str], *, own: bool = True) -> bool:
    shows = own and (tells(sentence) or any(cue.categories for cue in find_cues(sentence)))
    return bool(shows) or any(telling.tells(sentence, fact) for fact in private)

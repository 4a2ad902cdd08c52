"""The identity reaches the model the way people let it show: by a name, or by something said earlier."""

from __future__ import annotations

import hashlib

from evenhand.personalizers.base import BASE_SYSTEM, PERSONALIZERS, Card, Memory, Personalizer, PersonPersonalizer
from evenhand.personalizers.record import facts_of, told
from evenhand.types import Identity, Item, Message, Person, Session


@PERSONALIZERS.register("first-name")
class FirstName(Personalizer):
    """Only a first name that suggests the identity; possible where names carry that signal."""

    name = "first-name"
    summary = "only a first name that suggests the identity (gender, race, religion)"
    states = False
    card = Card(user_data="static attributes (implied)")

    def supports(self, identity: Identity) -> bool:
        return bool(identity.first_name)

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        system = f"{BASE_SYSTEM} The user's name is {identity.first_name}."
        return (Message("system", system), Message("user", prompt))


@PERSONALIZERS.register("history")
class EarlierTurn(Personalizer):
    """An earlier turn of the conversation in which the user lets the identity show."""

    name = "history"
    summary = "an earlier turn of the conversation reveals the identity"
    states = False
    card = Card(user_data="dialogue", technique="prompt.contextual")

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return (Message("system", BASE_SYSTEM), *introduced(identity), Message("user", prompt))


@PERSONALIZERS.register("own-bio")
class OwnBio(Personalizer):
    """A first turn in which the user introduces themselves (arXiv 2407.06866).

    Of the identity's bios each question draws one by a hash, so that no single one stands for everybody. What the
    assistant says to it is the same for all.
    """

    name = "own-bio"
    summary = "the user introduces themselves first, by one of the identity's bios (--identities FILE.csv)"
    states = False
    card = Card(user_data="dialogue", technique="prompt.contextual")

    def supports(self, identity: Identity) -> bool:
        return bool(identity.bios)

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        digest = hashlib.blake2b(f"{identity.name}\x1f{prompt}".encode(), digest_size=8).digest()
        bio = identity.bios[int.from_bytes(digest, "big") % len(identity.bios)]
        return (
            Message("system", BASE_SYSTEM),
            *_exchange(f"{bio}\n\nMay I ask you something?"),
            Message("user", prompt),
        )


@PERSONALIZERS.register("dialogue")
class Dialogue(PersonPersonalizer):
    """The person's earlier sessions in front of the question, as they were; the first turn reveals the identity."""

    name = "dialogue"
    summary = "the person's earlier sessions in front, word by word"
    states = False
    card = Card(granularity="user", user_data="dialogue", technique="prompt.contextual")
    needs_people = True
    reads_sessions = True

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        person, identity = memory.user.person, memory.user.identity
        opening = introduced(identity) if identity else ()
        return (Message("system", BASE_SYSTEM), *opening, *_turns(person), Message("user", item.prompt))


@PERSONALIZERS.register("whole-record")
class WholeRecord(PersonPersonalizer):
    """All that is known, in the context: the facts in the user-profile block, then the sessions as they were."""

    name = "whole-record"
    summary = "all facts in the user-profile block, and the earlier sessions in front, word by word"
    states = False
    card = Card(granularity="user", user_data="static attributes, facts, dialogue", technique="prompt.contextual")
    needs_people = True
    reads_sessions = True

    def recall(self, memory: Memory, item: Item) -> tuple[Message, ...]:
        person = memory.user.person
        system, question = told(memory.user.identity, facts_of(person), item.prompt)
        return (system, *_turns(person), question)


def introduced(identity: Identity) -> tuple[Message, Message]:
    """A first exchange in which the user lets the identity show."""
    opening = identity.cue or f"Before I ask anything: I am {identity.name}."
    return _exchange(f"Hello! {opening} I may have a few questions later.")


def _exchange(opening: str) -> tuple[Message, Message]:
    return (
        Message("user", opening),
        Message("assistant", "Hello, and thank you for telling me. Ask me whenever you are ready."),
    )


def _turns(person: Person | None) -> list[Message]:
    return [turn for session in (person.sessions if person else ()) for turn in replayed(session)]


def replayed(session: Session) -> tuple[Message, ...]:
    """A session's turns. Feedback is the user's last word; the assistant only nods to it, so that turns alternate."""
    if not session.feedback:
        return session.messages
    return (*session.messages, Message("user", session.feedback), Message("assistant", "Thank you, I will remember."))

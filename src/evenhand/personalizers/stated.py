"""The identity is stated outright, in the system message (the paper) or in the user's turn."""

from __future__ import annotations

from evenhand.identities import ENGLISH, Language
from evenhand.personalizers.base import PERSONALIZERS, Personalizer
from evenhand.types import Identity, Message


@PERSONALIZERS.register("system")
class SystemMessage(Personalizer):
    """The paper's form (arXiv 2406.11107): "You are a helpful assistant. I am {identity}."."""

    name = "system"
    summary = "stated in the system message, as in the paper"
    translated = True

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.messages_in(ENGLISH, identity, prompt)

    def messages_in(self, language: Language, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return (Message("system", language.introduce(identity)), Message("user", prompt))


@PERSONALIZERS.register("user")
class UserTurn(Personalizer):
    """The user says it at the start of the turn that asks the question."""

    name = "user"
    summary = "stated by the user at the start of the turn that asks"
    translated = True

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.messages_in(ENGLISH, identity, prompt)

    def messages_in(self, language: Language, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return (Message("system", language.system), Message("user", f"{language.state(identity)}\n\n{prompt}"))

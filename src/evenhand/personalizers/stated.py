"""The identity is stated outright, in the system message (the paper) or in the user's turn."""

from __future__ import annotations

from evenhand.personalizers.base import BASE_SYSTEM, PERSONALIZERS, Personalizer
from evenhand.types import Identity, Message


@PERSONALIZERS.register("system")
class SystemMessage(Personalizer):
    """The paper's form (arXiv 2406.11107): "You are a helpful assistant. I am {identity}."."""

    name = "system"
    summary = "stated in the system message, as in the paper"

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return (Message("system", f"{BASE_SYSTEM} I am {identity.name}."), Message("user", prompt))


@PERSONALIZERS.register("user")
class UserTurn(Personalizer):
    """The user says it at the start of the turn that asks the question."""

    name = "user"
    summary = "stated by the user at the start of the turn that asks"

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return (Message("system", BASE_SYSTEM), Message("user", f"I am {identity.name}.\n\n{prompt}"))

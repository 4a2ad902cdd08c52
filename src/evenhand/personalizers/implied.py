"""The identity reaches the model the way memory and profiles do it: as a field, a name, or something said earlier."""

from __future__ import annotations

from evenhand.personalizers.base import BASE_SYSTEM, PERSONALIZERS, Personalizer
from evenhand.types import Identity, Message


@PERSONALIZERS.register("profile")
class ProfileBlock(Personalizer):
    """A profile block in the system message, one line per known attribute, as assistants with memory render it."""

    name = "profile"
    summary = "a user-profile block in the system message"
    states = False

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        parts = identity.parts or (identity,)
        lines = "\n".join(f"- {_field(part)}: {_value(part)}" for part in parts)
        system = f"{BASE_SYSTEM}\n\n# What you know about the user\n{lines}"
        return (Message("system", system), Message("user", prompt))


@PERSONALIZERS.register("first-name")
class FirstName(Personalizer):
    """Only a first name that suggests the identity; possible where names carry that signal."""

    name = "first-name"
    summary = "only a first name that suggests the identity (gender, race, religion)"
    states = False

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

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        opening = identity.cue or f"Before I ask anything: I am {identity.name}."
        return (
            Message("system", BASE_SYSTEM),
            Message("user", f"Hello! {opening} I may have a few questions later."),
            Message("assistant", "Hello, and thank you for telling me. Ask me whenever you are ready."),
            Message("user", prompt),
        )


def _field(identity: Identity) -> str:
    return "About" if identity.category in ("custom", "intersection") else identity.category.capitalize()


def _value(identity: Identity) -> str:
    for article in ("a ", "an "):
        if identity.name.startswith(article):
            return identity.name.removeprefix(article).removesuffix(" person")
    return identity.name

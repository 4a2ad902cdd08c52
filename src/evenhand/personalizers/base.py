"""What a personalizer is, and how a reference to one is read."""

from __future__ import annotations

from abc import ABC, abstractmethod

from evenhand.errors import SpecError
from evenhand.registry import Registry
from evenhand.types import Identity, Message

BASE_SYSTEM = "You are a helpful assistant."


class Personalizer(ABC):
    """Builds the conversation that tells, or lets the model infer, who the user is.

    Attributes:
        name: how a study refers to it.
        summary: one line for ``evenhand list personalizers``.
        states: whether the identity is stated outright (else it is implied).
    """

    name: str
    summary: str
    states: bool = True

    def supports(self, identity: Identity) -> bool:
        """Whether this personalizer can convey ``identity``; unsupported trials are not planned, and are counted."""
        return True

    @abstractmethod
    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        """The conversation for one identity and one user message."""


PERSONALIZERS: Registry[type[Personalizer]] = Registry(
    "personalizer", "evenhand.personalizers", "evenhand.personalizers", Personalizer
)


def make_personalizer(reference: str) -> Personalizer:
    """A personalizer from its name, or a custom template.

    A reference that contains braces is a template for the system message ("You serve {identity}.").

    Raises:
        SpecError: unknown name, or a template without ``{identity}``.
    """
    if "{" in reference or "}" in reference or reference.startswith("template:"):
        from evenhand.personalizers.template import SystemTemplate

        return SystemTemplate(reference.removeprefix("template:"))
    if " " in reference:
        raise SpecError(
            f"The personalizer template '{reference}' does not contain {{identity}}.",
            "Put {identity} where the identity belongs.",
        )
    return PERSONALIZERS.get(reference)()


def baseline_messages(baseline: Identity, prompt: str, system: str = "") -> tuple[Message, ...]:
    """The conversation without any identity: ``bare`` has no system message, ``plain`` has ``system``, or the base."""
    user = Message("user", prompt)
    return (user,) if baseline.name == "bare" else (Message("system", system or BASE_SYSTEM), user)

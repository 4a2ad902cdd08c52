"""A system message of the user's own."""

from __future__ import annotations

from evenhand.errors import SpecError
from evenhand.identities import ENGLISH, Language
from evenhand.personalizers.base import Personalizer
from evenhand.types import Identity, Message

_PLACEHOLDER = "{identity}"


class SystemTemplate(Personalizer):
    """A template for the system message; every ``{identity}`` becomes the identity's phrase.

    Raises:
        SpecError: the template has no ``{identity}``, so every identity would get the same prompt.
    """

    summary = "a custom template for the system message"
    translated = True

    def __init__(self, template: str) -> None:
        if _PLACEHOLDER not in template:
            raise SpecError(
                f"The personalizer template '{template}' does not contain {_PLACEHOLDER}.",
                f"Put {_PLACEHOLDER} where the identity belongs.",
            )
        self.template = template
        self.name = template

    def messages(self, identity: Identity, prompt: str) -> tuple[Message, ...]:
        return self.messages_in(ENGLISH, identity, prompt)

    def messages_in(self, language: Language, identity: Identity, prompt: str) -> tuple[Message, ...]:
        """The template as it is written, around the identity's phrase in a language."""
        # Plain replacement, so that other braces in a template (JSON, code) stay as they are.
        return (
            Message("system", self.template.replace(_PLACEHOLDER, language.tell(identity))),
            Message("user", prompt),
        )

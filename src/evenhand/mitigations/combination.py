"""Several mitigations as one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

from evenhand.errors import SpecError
from evenhand.mitigations.base import Messages, MitigatedModel, Mitigation
from evenhand.models import Model
from evenhand.types import Item, Person, Request, Response, User


class Combination(Mitigation):
    """``A+B``: what each of them does, in the order in which they are named.

    Each goes on with what the one before it left of a record, of what is told for a question, and of a conversation.
    Those that ask more than once are nested: the first one's calls are asked by the second, whose calls are asked by
    the third; so calls multiply. The last one asks the model itself, and one that decodes for itself can only be last.

    Args:
        parts: at least two, none of them a combination.
        references: of the parts, for its name and for messages.

    Raises:
        SpecError: one that decodes for itself is not the last of those that ask.
    """

    summary = "several mitigations, in the order in which they are named"

    def __init__(self, parts: Sequence[Mitigation], references: Sequence[str]) -> None:
        self.parts: tuple[Mitigation, ...] = tuple(parts)
        self.name: str = "+".join(references)
        self.local_only: bool = any(part.local_only for part in parts)
        self.acts_on_texts: bool = any(part.acts_on_texts for part in parts)
        self.learned_from: tuple[Path, ...] = tuple(folder for part in parts for folder in part.learned_from)
        self.any_language: bool = all(part.any_language for part in parts)
        self._asking = tuple(part for part in parts if part.asks)
        self.calls: int = prod(part.calls for part in self._asking)
        for part in self._asking[:-1]:
            if part.decodes:
                raise SpecError(
                    f"In '{self.name}', {self._asking[-1].name} would ask with the conversation that {part.name} has "
                    "made for decoding.",
                    f"Name {part.name} last, and no other that decodes for itself.",
                )

    @property
    def attends(self) -> bool:
        return any(part.attends for part in self.parts)

    @property
    def revision(self) -> str:  # type: ignore[override]
        """Those of its parts."""
        return "+".join(part.revision for part in self.parts if part.revision)

    def known(self, person: Person) -> Person:
        for part in self.parts:
            person = part.known(person)
        return person

    async def attend(self, messages: Messages, user: User, item: Item, model: Model) -> Messages:
        for part in self.parts:
            messages = await part.attend(messages, user, item, model)
        return messages

    def rewrite(self, messages: Messages) -> Messages:
        for part in self.parts:
            messages = part.rewrite(messages)
        return messages

    async def respond(self, model: Model, request: Request) -> Response:
        for part in reversed(self._asking):
            model = MitigatedModel(model, part)
        return await model.respond(request)

    def check(self, model: Model) -> None:
        for part in self.parts:
            part.check(model)

    async def start(self) -> None:
        for part in self.parts:
            await part.start()

    async def aclose(self) -> None:
        for part in self.parts:
            await part.aclose()

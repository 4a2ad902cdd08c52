"""What a mitigation is, and how a reference to one is read."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from evenhand.errors import SpecError
from evenhand.models import Model, ModelOptions, check_interventions
from evenhand.registry import Registry
from evenhand.types import Message, Request, Response

Messages = tuple[Message, ...]


class Mitigation(ABC):
    """Changes what the model reads, or how it is asked.

    A mitigation that only rewrites overrides :meth:`rewrite`; the store then keeps what was really sent. One that asks
    more than once overrides :meth:`respond`.

    Attributes:
        name: registered name.
        summary: one line for ``evenhand list mitigations``.
        argument: what stands behind the colon of its reference; in brackets when it may be left out.
        local_only: whether it needs a model in this process.
        calls: how often it asks for one answer.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    argument: ClassVar[str] = ""
    local_only: ClassVar[bool] = False
    calls: int = 1

    def __init__(self, argument: str, options: ModelOptions) -> None:
        if argument and not self.argument:
            raise SpecError(f"The mitigation '{self.name}' takes no argument, but '{argument}' was given.")
        if not argument and self.argument and not self.argument.startswith("["):
            raise SpecError(f"The mitigation '{self.name}' needs an argument.", f"Write {self.name}:{self.argument}.")

    def rewrite(self, messages: Messages) -> Messages:
        """The conversation that is sent in place of ``messages``."""
        return messages

    async def respond(self, model: Model, request: Request) -> Response:
        """Answer a request whose messages are rewritten already.

        Raises:
            CallError, ModelError: as :meth:`evenhand.models.Model.respond`.
        """
        return await model.respond(request)

    async def start(self) -> None:
        """Load what the mitigation needs beside the model.

        Raises:
            ModelError: a model of its own cannot be used.
        """
        return

    async def aclose(self) -> None:
        """Release it."""
        return


MITIGATIONS: Registry[type[Mitigation]] = Registry(
    "mitigation", "evenhand.mitigations", "evenhand.mitigations", Mitigation
)


@MITIGATIONS.register("none")
class NoMitigation(Mitigation):
    """The conversation as it is."""

    name = "none"
    summary = "nothing: the model as it is"


def make_mitigation(reference: str, options: ModelOptions | None = None) -> Mitigation:
    """A mitigation from ``name`` or ``name:argument`` ("neutralize", "defense:fairness").

    Args:
        reference: registered name, with its argument behind a colon.
        options: how to reach a model of its own.

    Raises:
        SpecError: an unknown name, or an argument missing or one too many.
    """
    name, _, argument = reference.partition(":")
    return MITIGATIONS.get(name)(argument, options or ModelOptions())


class MitigatedModel(Model):
    """A model with a mitigation in front of it.

    Args:
        model: what answers.
        mitigation: how it is asked.

    Raises:
        SpecError: the mitigation needs a local model and this is none.
    """

    def __init__(self, model: Model, mitigation: Mitigation) -> None:
        if mitigation.local_only and not model.is_local:
            raise SpecError(
                f"The mitigation '{mitigation.name}' needs the model's logits, which {model.id} does not give.",
                "Use it with smollm2 or an hf: model.",
            )
        self._model, self._mitigation = model, mitigation
        self.id: str = model.id
        self.default_top_k: int = model.default_top_k
        self.concurrency: int = model.concurrency
        self.is_local: bool = model.is_local
        self.scores_texts: bool = model.scores_texts
        self.takes_interventions: bool = model.takes_interventions

    @property
    def revision(self) -> str:  # type: ignore[override]
        return self._model.revision

    @property
    def retries(self) -> int:  # type: ignore[override]
        return self._model.retries

    async def start(self) -> None:
        await self._model.start()
        await self._mitigation.start()

    async def respond(self, request: Request) -> Response:
        if request.interventions:  # a model that does not know them would answer as if they were not there
            check_interventions(self._model, "A request")
        if request.whole:  # how likely a text is: no answer, which could be mitigated
            return await self._model.respond(request)
        return await self._mitigation.respond(self._model, request)

    async def aclose(self) -> None:
        await self._mitigation.aclose()
        await self._model.aclose()

    def settings(self) -> dict[str, Any]:
        return self._model.settings()

    def adjustments(self) -> dict[str, str]:
        return self._model.adjustments()

    def adjust(self, known: Mapping[str, str]) -> None:
        self._model.adjust(known)


def add_to_system(messages: Messages, text: str, *, before: bool = False) -> Messages:
    """The conversation with a text at the start or the end of its system message, which is made where it lacks."""
    from evenhand.personalizers import BASE_SYSTEM

    system, rest = (messages[0].content, messages[1:]) if messages[0].role == "system" else (BASE_SYSTEM, messages)
    joined = f"{text} {system}" if before else f"{system} {text}"
    return (Message("system", joined), *rest)

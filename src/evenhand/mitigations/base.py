"""What a mitigation is, and a model with one in front of it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from evenhand.errors import SpecError
from evenhand.models import Model, ModelOptions, check_interventions
from evenhand.registry import Registry
from evenhand.types import Item, Message, Person, Request, Response, User

Messages = tuple[Message, ...]


class Mitigation(ABC):
    """Changes what is known of a user, what the model reads, or how it is asked.

    In the order in which they act: :meth:`known` takes something out of a record before anything is learned or shown,
    :meth:`attend` out of what was made of it for one question, :meth:`rewrite` changes the conversation; the store
    keeps what was really sent. One that asks more than once for an answer overrides :meth:`respond`.

    Attributes:
        name: registered name.
        summary: one line for ``evenhand list mitigations``.
        argument: what stands behind the colon of its reference; in brackets when it may be left out.
        local_only: whether it needs a model in this process.
        decodes: whether it changes how a token is chosen, so that nothing else may ask the model on its behalf.
        acts_on_texts: whether it acts where a model only says how likely texts are, too.
        calls: how often it asks for one answer, at most; without what :meth:`attend` asks.
        revision: what identifies what it reads records or acts with, such as an encoder's weights; "" for nothing.
        learned_from: folders that say which items it learned from, on which it cannot be measured.
        any_language: whether it acts in a conversation of any language. One that looks for what is said of the user
            knows English alone, and would do nothing without a word.
    """

    name: str
    summary: ClassVar[str]
    argument: ClassVar[str] = ""
    local_only: bool = False
    decodes: ClassVar[bool] = False
    acts_on_texts: bool = False
    calls: int = 1
    revision: str = ""
    learned_from: tuple[Path, ...] = ()
    any_language: bool = False

    def __init__(self, argument: str, options: ModelOptions) -> None:
        if argument and not self.argument:
            raise SpecError(f"The mitigation '{self.name}' takes no argument, but '{argument}' was given.")
        if not argument and self.argument and not self.argument.startswith("["):
            raise SpecError(f"The mitigation '{self.name}' needs an argument.", f"Write {self.name}:{self.argument}.")

    @property
    def asks(self) -> bool:
        """Whether it decides how the model is asked, by a :meth:`respond` of its own."""
        return type(self).respond is not Mitigation.respond

    @property
    def attends(self) -> bool:
        """Whether it has an :meth:`attend` of its own."""
        return type(self).attend is not Mitigation.attend

    def known(self, person: Person) -> Person:
        """What of a record anything may know, learn from or show; a pure function."""
        return person

    async def attend(self, messages: Messages, user: User, item: Item, model: Model) -> Messages:
        """What of a conversation about one item may be told, where that has to be asked of a model.

        Args:
            messages: as the personalizer made them, before :meth:`rewrite`.
            user: who asks, as far as :meth:`known` lets anybody know.
            item: the question.
            model: answers; a call is kept by what it asks, so that the same one is made once for all identities,
                repeats and runs.

        Raises:
            CallError: a call failed for good; the trial has failed.
            ModelError: an encoder cannot be used.
        """
        return messages

    def rewrite(self, messages: Messages) -> Messages:
        """The conversation that is sent in place of ``messages``."""
        return messages

    async def respond(self, model: Model, request: Request) -> Response:
        """Answer a request whose messages are rewritten already.

        Raises:
            CallError, ModelError: as :meth:`evenhand.models.Model.respond`.
        """
        return await model.respond(request)

    def check(self, model: Model) -> None:
        """Refuse a model that it is not for, which has been started.

        Raises:
            SpecError, ModelError: it cannot stand in front of this model.
        """
        return

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
    any_language = True


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
                f"The mitigation '{mitigation.name}' needs the model's own logits or activations, which {model.id} "
                "does not give.",
                "Use it with smollm2 or an hf: model.",
            )
        self._model, self._mitigation = model, mitigation
        self.id: str = model.id
        self.default_top_k: int = model.default_top_k
        self.concurrency: int = model.concurrency
        self.is_local: bool = model.is_local
        self.scores_texts: bool = model.scores_texts
        self.takes_interventions: bool = model.takes_interventions

    def asking(self, model: Model) -> MitigatedModel:
        """The same in front of what makes its calls in another way."""
        return MitigatedModel(model, self._mitigation)

    @property
    def behind(self) -> Model:
        """The model without the mitigation."""
        return self._model

    @property
    def revision(self) -> str:  # type: ignore[override]
        return self._model.revision

    @property
    def retries(self) -> int:  # type: ignore[override]
        return self._model.retries

    async def start(self) -> None:
        await self._model.start()
        self._mitigation.check(self._model)
        await self._mitigation.start()

    async def respond(self, request: Request) -> Response:
        if request.interventions:  # a model that does not know them would answer as if they were not there
            check_interventions(self._model, "A request")
        # How likely a text is: no answer, which could be mitigated otherwise than by another model.
        if request.whole and not self._mitigation.acts_on_texts:
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
    """The conversation with a text at the start or the end of its system message, which is made where it lacks.

    Behind a block of lines about the user it is a paragraph of its own: it is none of the lines.
    """
    from evenhand.personalizers import BASE_SYSTEM
    from evenhand.personalizers.record import lines_in

    system, rest = (messages[0].content, messages[1:]) if messages[0].role == "system" else (BASE_SYSTEM, messages)
    behind = "\n\n" if lines_in(messages) else " "
    joined = f"{text} {system}" if before else f"{system}{behind}{text}"
    return (Message("system", joined), *rest)

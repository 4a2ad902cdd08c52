"""A model with a mitigation in front of it, for programs of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from evenhand.deploy.conversation import Conversation
from evenhand.deploy.rewriting import check_acts_on_messages
from evenhand.mitigations import MitigatedModel, Mitigation, make_mitigation
from evenhand.mitigations.cues import known_phrases
from evenhand.models import Model, ModelOptions, make_model
from evenhand.models.function import FunctionModel
from evenhand.types import Decoding, Request, Response


class _Function(FunctionModel):
    """A function of the program that evenhand runs in: what it prints is that program's to decide."""

    async def start(self) -> None:
        return


class Assistant:
    """Answers conversations as a study's model with that mitigation does; for those that ask several times, too.

        async with Assistant("smollm2", "two-pass") as assistant:
            answer = await assistant.respond([{"role": "user", "content": "..."}], max_tokens=100)

    Args:
        model: a reference ("openai:NAME", "smollm2"), a model, or a function of messages as ``python:`` takes it
            (plain or async): ``function([{"role": ..., "content": ...}, ...]) -> text``.
        mitigation: a reference, or a mitigation that was made.
        options: how to reach or load the model, and one that the mitigation has of its own.

    Raises:
        SpecError: an unknown model or mitigation, or a mitigation that needs more of a model than this one gives.
        ModelError: an extra is not installed.
    """

    def __init__(
        self,
        model: str | Model | Callable[..., Any],
        mitigation: str | Mitigation,
        *,
        options: ModelOptions | None = None,
    ) -> None:
        options = options or ModelOptions()
        self.mitigation: Mitigation = (
            make_mitigation(mitigation, options) if isinstance(mitigation, str) else mitigation
        )
        check_acts_on_messages(self.mitigation)
        if isinstance(model, str):
            model = make_model(model, options)
        elif not isinstance(model, Model):
            model = _Function(getattr(model, "__name__", type(model).__name__), options, model)
        self.model: Model = MitigatedModel(model, self.mitigation)

    async def start(self) -> None:
        """Load or connect; to be awaited before the first answer.

        Raises:
            ModelError: the model cannot be used.
        """
        await self.model.start()

    async def aclose(self) -> None:
        """Release what the model holds."""
        await self.model.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def request(
        self, messages: Iterable[dict[str, Any]], *, told: Iterable[str] = (), seed: int = 0, **decoding: Any
    ) -> Request:
        """What the mitigation is given to answer, its rewriting done.

        Raises:
            SpecError: messages of another form, or with more than texts in them.
        """
        conversation = Conversation.of(list(messages))
        conversation.texts()
        settings = Decoding(**{"top_k": self.model.default_top_k, **decoding})
        with known_phrases(told):
            return Request(conversation.rewritten(self.mitigation).texts(), settings, seed)

    async def respond(
        self, messages: Iterable[dict[str, Any]], *, told: Iterable[str] = (), seed: int = 0, **decoding: Any
    ) -> Response:
        """Answer a conversation.

        Args:
            messages: in OpenAI's form, texts alone; they end with the user's turn.
            told: phrases that say who the user is (:func:`evenhand.deploy.mitigated`).
            seed: of the answer, at least 0 and below 2**31.
            decoding: fields of :class:`evenhand.types.Decoding`: ``max_tokens`` (300 otherwise), ``temperature`` (1),
                ``top_p``, ``top_k``, ``stop``, ``reasoning_effort``.

        Returns:
            The answer; ``calls`` and the counts of tokens are those of all calls that it took.

        Raises:
            SpecError: messages of another form, or with more than texts in them.
            CallError: a call failed for good.
            ModelError: no call can succeed.
        """
        told = tuple(told)
        asked = self.request(messages, told=told, seed=seed, **decoding)
        with known_phrases(told):
            return await self.model.respond(asked)

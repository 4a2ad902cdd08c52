"""Any provider of Inspect AI as a model."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from evenhand.errors import ModelError, SpecError, one_line
from evenhand.extras import importing
from evenhand.models.base import MODELS, CallError, Model, ModelOptions, must_generate
from evenhand.models.endings import ending
from evenhand.models.fields import count
from evenhand.types import Message, Request, Response


class InspectModel(Model):
    """Asks through Inspect's own provider, which brings its retries, keys and settings."""

    def __init__(self, name: str, options: ModelOptions) -> None:
        if "/" not in name:
            raise SpecError(f"The model 'inspect:{name}' names no provider.", "Write inspect:PROVIDER/MODEL.")
        self.id: str = f"inspect:{name}"
        self.name = name
        self.options = options
        self.concurrency: int = options.concurrency or 64
        self._model: Any = None

    async def start(self) -> None:
        with importing("inspect", self.id):
            from inspect_ai.model import GenerateConfig, get_model
        config = GenerateConfig(
            max_connections=self.concurrency,
            max_retries=self.options.max_attempts - 1,
            timeout=int(self.options.timeout_s * self.options.max_attempts),
        )
        try:
            self._model = get_model(self.name, config=config, base_url=self.options.base_url, memoize=False)
        except Exception as error:  # every provider has its own
            from rich.text import Text  # Inspect writes its messages for a terminal

            said = one_line(Text.from_markup(str(error)).plain)
            raise ModelError(f"{self.id} cannot be used: {said}", "See Inspect's providers.") from error

    async def respond(self, request: Request) -> Response:
        from inspect_ai.model import GenerateConfig

        must_generate(self, request)
        decoding = request.decoding
        config = GenerateConfig(
            temperature=decoding.temperature,
            top_p=decoding.top_p if decoding.top_p < 1 else None,
            top_k=decoding.top_k or None,
            max_tokens=decoding.max_tokens,
            stop_seqs=list(decoding.stop) or None,
            seed=request.seed,
            reasoning_effort=decoding.reasoning_effort,
        )
        started = time.perf_counter()
        try:
            output = await self._model.generate(chat_messages(request.messages), config=config)
        except Exception as error:  # every provider has its own
            # Inspect wraps what the provider raised in a copy of the whole request.
            reason = error.__cause__ or error
            raise CallError(f"{type(reason).__name__}: {one_line(str(reason))}") from error
        if output.error or not output.choices:
            raise CallError(one_line(output.error or "the answer has no choice"))
        return response_of(output, time.perf_counter() - started)

    async def aclose(self) -> None:
        if self._model is not None:
            await self._model.__aexit__(None, None, None)
            self._model = None


def response_of(output: Any, latency_s: float = 0.0) -> Response:
    """What Inspect's provider answered, as a response."""
    usage = output.usage
    finish_reason, category = ending(output.stop_reason)
    content = output.message.content
    blocks = [] if isinstance(content, str) else content
    return Response(
        output.completion,
        finish_reason=finish_reason,
        prompt_tokens=count(usage.input_tokens) if usage else None,
        completion_tokens=count(usage.output_tokens) if usage else None,
        latency_s=latency_s,
        model=output.model,
        reasoning="\n\n".join(b.reasoning for b in blocks if b.type == "reasoning" and b.reasoning),
        reasoning_tokens=count(usage.reasoning_tokens) if usage else None,
        cached_tokens=count(usage.input_tokens_cache_read) if usage else None,
        filtered=category,
    )


def chat_messages(messages: Iterable[Message]) -> list[Any]:
    """A conversation in Inspect's classes."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds: dict[str, Any] = {
        "system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant,
    }  # fmt: skip
    return [kinds[m.role](content=m.content) for m in messages]


@MODELS.register("inspect", extra="inspect")
def inspect_model(name: str, options: ModelOptions) -> Model:
    """``inspect:PROVIDER/MODEL``: any provider of Inspect AI (extra ``inspect``)."""
    return InspectModel(name, options)

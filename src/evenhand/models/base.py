"""What a model is, and how a reference to one is read."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evenhand.errors import ModelError, SpecError
from evenhand.extras import require
from evenhand.models.references import meant
from evenhand.registry import Registry
from evenhand.types import Request, Response


class CallError(Exception):
    """One call failed for good (after retries). The trial is recorded as failed; the run goes on."""


@dataclass(frozen=True)
class ModelOptions:
    """How to reach or load a model. None means the model's own default.

    Attributes:
        base_url: root of an OpenAI-compatible API, as in "http://localhost:8000/v1".
        api_key_env: environment variable with the API key.
        concurrency: calls in flight at once.
        requests_per_minute: upper limit on started calls.
        timeout_s: seconds until one attempt is given up.
        max_attempts: attempts per call, the first included.
        batch_size: rows per batch of a local model.
        dtype: "auto", "float32", "bfloat16" or "float16".
        device: "auto", "cpu", "cuda", ...
        adapter: path of a PEFT adapter to put on a local model.
        trust_remote_code: allow a hub repository to run its own code.
        executor: "local", or "ray" for replicas on the workers of a Ray cluster.
        workers: replicas, with Ray.
        ray_address: the cluster's address; None starts one on this machine.
        gpus_per_worker: GPUs that each replica reserves, with Ray.
        engine_args: passed on to vLLM's engine ("tensor_parallel_size", "max_model_len", ...).
        drop: parameters that are not sent ("temperature", "seed", "top_p", "top_k", "stop", "max_tokens"); "system"
            puts the system text into the user's turn.
        extra_body: fields added to the body of every call, over those of the same name.
        extra_headers: headers of every call; ``$VAR`` in a value stands for that environment variable.
    """

    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int | None = None
    requests_per_minute: float | None = None
    timeout_s: float = 120.0
    max_attempts: int = 8
    batch_size: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    executor: str = "local"
    workers: int = 1
    ray_address: str | None = None
    gpus_per_worker: float = 0.0
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)


class Model(ABC):
    """Answers requests.

    Attributes:
        id: the reference it was made from.
        revision: what identifies the exact weights or server version; "" when unknown.
        concurrency: how many requests the runner should keep in flight.
        retries: attempts beyond the first so far, for the progress display.
        is_local: whether it runs in this process and gives its logits.
        scores_texts: whether it gives the log-probabilities of whole texts (``Request.whole``).
        takes_interventions: whether it changes its activations as a request asks (``Request.interventions``).
        counts_tokens: whether its responses say how many tokens they took, so that a budget can hold.
        takes_engine_args: whether ``ModelOptions.engine_args`` means something to it.
        default_top_k: what ``top_k`` is when a study does not say; 0 where the server may not know the setting.
    """

    id: str
    revision: str = ""
    concurrency: int = 1
    retries: int = 0
    default_top_k: int = 0
    is_local: bool = False
    scores_texts: bool = False
    takes_interventions: bool = False
    counts_tokens: bool = True
    takes_engine_args: bool = False

    def keep_state_in(self, directory: Path) -> None:
        """Told the study's directory before :meth:`start`, for models that must remember what they asked for."""
        return

    async def start(self) -> None:
        """Load or connect. Called once, before the first request.

        Raises:
            ModelError: the model cannot be used.
        """
        return

    @abstractmethod
    async def respond(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            CallError: this call failed for good.
            ModelError: no call can succeed (wrong key, unknown model).
        """

    async def aclose(self) -> None:
        """Release what the model holds."""
        return

    def adjustments(self) -> dict[str, str]:
        """What it leaves out or asks in another way because the server refused it -> what the server said."""
        return {}

    def adjust(self, known: Mapping[str, str]) -> None:
        """Told before :meth:`start` what an earlier run of the study learned: what :meth:`adjustments` said."""
        return

    def settings(self) -> dict[str, Any]:
        """What else is worth recording about how this model runs (dtype, device, library versions)."""
        return {}


def check_interventions(model: Model, what: str) -> None:
    """For what changes a model's activations.

    Args:
        model: what would answer.
        what: who asks for it, to begin the message with ("The mitigation 'steer'").

    Raises:
        SpecError: nobody but the model's own server reaches its activations.
    """
    if not model.takes_interventions:
        raise SpecError(
            f"{what} changes the model's activations, which {model.id} does not let it reach.",
            "Use it with smollm2 or an hf: model.",
        )


def must_generate(model: Model, request: Request) -> None:
    """For models that only write text.

    Raises:
        ModelError: the request wants log-probabilities of choices.
    """
    if request.choices:
        raise ModelError(
            f"{model.id} does not give log-probabilities.", "Use the suite without ':logprobs', so that it answers."
        )


async def respond_all(model: Model, requests: Sequence[Request]) -> list[Response | CallError]:
    """Start a model, ask it everything, close it; a call that failed for good is its error, in place of its answer.

    Raises:
        ModelError: no call can succeed.
    """

    async def one(request: Request) -> Response | CallError:
        try:
            async with places:
                return await model.respond(request)
        except CallError as error:
            return error

    try:
        await model.start()
        places = asyncio.Semaphore(model.concurrency)
        return await asyncio.gather(*(one(request) for request in requests))
    finally:
        await model.aclose()


ModelFactory = Callable[[str, ModelOptions], Model]

MODELS: Registry[ModelFactory] = Registry("model", "evenhand.models", "evenhand.models", error=ModelError)


def make_model(reference: str, options: ModelOptions | None = None, *, elsewhere: bool = False) -> Model:
    """A model from its reference: its kind and, behind a colon, its name (``hf:NAME_OR_PATH``, ``openai:NAME``).

    Args:
        reference: kind and name.
        options: how to reach or load it.
        elsewhere: it will run on another machine, so what it needs may be missing on this one.

    Raises:
        SpecError: unknown kind, or a kind that needs a name without one.
        ModelError: the kind needs an extra that is not installed.
    """
    kind, _, name = reference.partition(":")
    options = options or ModelOptions()
    if kind not in MODELS:
        raise SpecError(f"There is no model called '{reference}'.", meant(reference, MODELS.names(), options.base_url))
    if options.executor == "ray":
        from evenhand.models.ray import RayModel

        require("ray", "--executor ray")
        return RayModel(reference, options)
    entry = MODELS.entry(kind)
    if entry.member is None:
        raise entry.error("model", ModelError)
    # A mistake in the reference is told before what would have to be installed for it.
    model = entry.member(name, options)
    if options.engine_args and not model.takes_engine_args:
        raise SpecError(f"The model '{reference}' takes no engine arguments.", "They are for vllm:NAME_OR_PATH.")
    if not elsewhere:
        MODELS.get(kind)
    return model


def total(answer: Response, *others: Response) -> Response:
    """``answer`` with the calls, tokens and time of all that it took."""
    parts = (answer, *others)

    def added(name: str) -> int | None:
        known = [getattr(part, name) for part in parts]
        return None if any(value is None for value in known) else sum(known)

    return replace(
        answer,
        prompt_tokens=added("prompt_tokens"),
        completion_tokens=added("completion_tokens"),
        reasoning_tokens=added("reasoning_tokens"),
        cached_tokens=added("cached_tokens"),
        latency_s=sum(part.latency_s for part in parts),
        calls=sum(part.calls for part in parts),
    )

"""Models through vLLM, in this process: continuous batching, prefix caching, tensor parallelism."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from typing import Any

from evenhand.errors import ModelError, SpecError, did_you_mean, one_line
from evenhand.extras import importing
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.chat import ChatFormat
from evenhand.models.revision import weights_revision
from evenhand.types import Decoding, Request, Response

# vLLM reads these when it is imported. It would write hundreds of lines, and report its use to its makers.
_QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CONFIGURE_LOGGING": "1"}


class VLLMModel(Model):
    """A causal language model loaded by vLLM's engine.

    Prompts are tokenized as :class:`evenhand.models.hf.HFModel` does it. Every request carries its trial's seed; as
    vLLM's kernels depend on what else is in a batch, a run can still differ from another in a few tokens.

    Args:
        path: hub name or local folder.
        options: ``concurrency``, ``dtype``, ``adapter``, ``trust_remote_code`` and ``engine_args``.
    """

    default_top_k = 10  # the paper's
    takes_engine_args = True

    def __init__(self, path: str, options: ModelOptions) -> None:
        if not path:
            raise SpecError("The model 'vllm:' has no name.", "Write vllm:NAME_OR_PATH.")
        if options.device != "auto":
            raise SpecError(
                f"vLLM chooses its device itself; --device {options.device} cannot be met.", "Leave it out."
            )
        self.id: str = f"vllm:{path}"
        self.path = path
        self.options = options
        self.concurrency: int = options.concurrency or 512
        self._numbers = itertools.count()
        self._engine: Any = None
        self._adapter: Any = None
        self._chat: ChatFormat | None = None
        self._settings: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)

    async def start(self) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        with importing("vllm", self.id):
            import vllm
            from transformers import AutoTokenizer
            from vllm.v1.engine.async_llm import AsyncLLM
        arguments = self._engine_arguments()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.path, trust_remote_code=self.options.trust_remote_code)
            self._engine = AsyncLLM.from_engine_args(arguments)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"vLLM cannot load '{self.path}': {one_line(str(error))}",
                "Check the name or the folder; VLLM_LOGGING_LEVEL=INFO shows what vLLM says.",
            ) from None
        self._chat = ChatFormat(tokenizer)
        if self.options.adapter:
            from vllm.lora.request import LoRARequest

            self._adapter = LoRARequest("adapter", 1, self.options.adapter)
        config = self._engine.vllm_config
        commit = getattr(config.model_config.hf_config, "_commit_hash", None)
        self.revision: str = weights_revision(commit, self.path, self.options.adapter)
        self._settings = {
            "vllm": vllm.__version__,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "adapter": self.options.adapter,
            "engine_args": dict(self.options.engine_args),
            "system_role": self._chat.has_system_role,
            **({"template_adds": self._chat.adds} if self._chat.adds else {}),
        }

    async def aclose(self) -> None:
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None

    async def respond(self, request: Request) -> Response:
        assert self._chat is not None, "start() was not awaited"
        if request.choices:
            tokens, candidates = self._chat.choice_tokens(request)
            parameters = _scoring(candidates)
        else:
            tokens, candidates = self._chat.tokens(request.messages, effort=request.decoding.reasoning_effort), []
            parameters = _sampling(request.decoding, request.seed)
        started = time.perf_counter()
        output = await self._last_output(tokens, parameters)
        written = output.outputs[0]
        chances = written.logprobs[0] if candidates else {}
        return Response(
            text="" if candidates else self._chat.opened_trace(request.decoding.reasoning_effort) + written.text,
            finish_reason=written.finish_reason or "stop",
            prompt_tokens=len(tokens),
            completion_tokens=0 if candidates else len(written.token_ids),
            latency_s=time.perf_counter() - started,
            choice_logprobs=tuple(chances[token].logprob for token in candidates) if candidates else None,
        )

    async def _last_output(self, tokens: list[int], parameters: Any) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt, name = {"prompt_token_ids": tokens}, str(next(self._numbers))
        try:
            outputs = [o async for o in self._engine.generate(prompt, parameters, name, lora_request=self._adapter)]
        except EngineDeadError as error:
            raise ModelError(f"vLLM's engine died: {one_line(str(error))}", "Run the same command to go on.") from error
        except ValueError as error:  # a prompt longer than the model's context, for one
            raise CallError(one_line(str(error))) from error
        if not outputs:
            raise CallError("vLLM gave no answer")
        return outputs[-1]

    def _engine_arguments(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform

        options = self.options
        known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
        for name in options.engine_args:
            if name not in known:
                raise SpecError(f"vLLM has no engine argument '{name}'.", did_you_mean(name, known))
        arguments: dict[str, Any] = {
            "model": self.path,
            "dtype": options.dtype,
            # Prompts of an identity begin alike.
            "enable_prefix_caching": True,
            "load_format": "safetensors",
            "trust_remote_code": options.trust_remote_code,
            "enable_lora": options.adapter is not None,
        }
        if current_platform.is_cpu():
            # Between the chunks of a prompt vLLM turns its request's generator back, which torch's for CPUs cannot do.
            arguments["enable_chunked_prefill"] = False
        return AsyncEngineArgs(**{**arguments, **options.engine_args})


def _sampling(decoding: Decoding, seed: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        max_tokens=decoding.max_tokens,
        stop=list(decoding.stop) or None,
        seed=seed,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _scoring(candidates: list[int]) -> Any:
    """One token, and the log-probabilities of ``candidates`` in its place."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0, max_tokens=1, logprob_token_ids=candidates, output_kind=RequestOutputKind.FINAL_ONLY
    )


@MODELS.register("vllm", extra="vllm")
def vllm_model(name: str, options: ModelOptions) -> Model:
    """``vllm:NAME_OR_PATH``: a causal language model from the hub or a folder, through vLLM (extra ``vllm``)."""
    return VLLMModel(name, options)

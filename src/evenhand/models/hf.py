"""Models through transformers, in this process: batched, seeded per trial, optionally with a PEFT adapter."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evenhand.errors import EvenhandError, ModelError, SpecError
from evenhand.extras import importing
from evenhand.models.activations import check_fits
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.chat import ChatFormat
from evenhand.models.prefixes import Begun, Prefixes, keeps_everything, memory_for
from evenhand.models.revision import weights_revision
from evenhand.models.waiting import Waiting
from evenhand.types import Decoding, Message, Request, Response

T = TypeVar("T")

if TYPE_CHECKING:
    from evenhand.models import sampling

# The batcher sorts this many batches' worth of waiting requests by length, so that batches carry little padding.
_LOOKAHEAD = 6
_GATHER_S = 0.02
# Positions whose logits over the vocabulary are held at once when texts are scored.
_SCORED_AT_ONCE = 1024


@dataclass(frozen=True)
class Weights:
    """What a loaded model is made of, for those who train on it.

    Attributes:
        network: the transformers model, in evaluation mode.
        chat: turns conversations into its tokens.
        end: the token that ends a turn; None where it has none.
    """

    network: Any
    chat: ChatFormat
    end: int | None


class HFModel(Model):
    """A causal language model loaded with transformers.

    Args:
        model_id: the id to record.
        path: hub name or local folder.
        options: batch size, dtype, device, adapter.
    """

    default_top_k = 10  # the paper's
    is_local = True
    scores_texts = True
    takes_interventions = True

    def __init__(self, model_id: str, path: str, options: ModelOptions) -> None:
        self.id = model_id
        self.path = path
        self.options = options
        self.batch_size: int = options.batch_size or 64
        self.concurrency: int = options.concurrency or self.batch_size * _LOOKAHEAD
        self._waiting: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._model: Any = None
        self._tokenizer: Any = None
        self._chat: ChatFormat | None = None
        self._end_tokens: frozenset[int] = frozenset()
        self._settings: dict[str, Any] = {}
        self._fitting: set[str] = set()  # digests of interventions that are for this model
        self._prefixes: Prefixes | None = None

    async def start(self) -> None:
        # A model may be started again after it was closed; its weights stay loaded.
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evenhand-model")
        if self._model is None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        self._worker = asyncio.create_task(self._serve())

    async def aclose(self) -> None:
        if self._worker:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None
        if self._thread:
            self._thread.shutdown(wait=True)
            self._thread = None

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)

    def weights(self) -> Weights:
        """The model itself, loaded now where it is not yet.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self._model is None:
            self._load()
        assert self._chat is not None
        return Weights(self._model, self._chat, self._tokenizer.eos_token_id)

    async def respond(self, request: Request) -> Response:
        assert self._chat is not None, "start() was not awaited"
        self._check_fits(request)
        chat, candidates, texts = self._chat, list[int](), list[list[int]]()
        if request.choices and request.whole:
            tokens, texts = chat.text_tokens(request)
        elif request.choices:
            tokens, candidates = chat.choice_tokens(request)
        else:
            tokens = chat.tokens(request.messages, effort=request.decoding.reasoning_effort)
        against = chat.tokens(request.against, effort=request.decoding.reasoning_effort) if request.against else []
        self._check_room(request, max(len(tokens), len(against)) + max(map(len, texts), default=0))
        # What is done to activations would change what is kept of a beginning.
        keeps = self._prefixes and not against and not request.interventions
        beginning = chat.beginning(request.messages, tokens) if keeps else 0
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        waiting = Waiting(request, tokens, against, candidates, texts, beginning, future)
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.future

    def _check_room(self, request: Request, given: int) -> None:
        """Refuse what the model has no positions for, as servers do: it would answer nonsense, or the batch would fail.

        Raises:
            CallError: the conversation and the longest answer have more tokens than the model's context.
        """
        room = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        answer = 0 if request.choices else request.decoding.max_tokens
        if room and given + answer > room:
            told = f"{given:,} tokens" + (f" and up to {answer:,} of the answer" if answer else "")
            raise CallError(f"{told} are more than the {room:,} that {self.id} has room for")

    def tokens(self, messages: tuple[Message, ...]) -> list[int]:
        """The prompt of a conversation, as it is given to the model; for one that was started."""
        assert self._chat is not None, "start() was not awaited"
        return self._chat.tokens(messages)

    async def inside(self, function: Callable[..., T], *arguments: object) -> T:
        """``function(model, *arguments)``, with transformers' model, in the thread that works with it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, self._model, *arguments)

    def _check_fits(self, request: Request) -> None:
        """Refuse interventions that were made for another model.

        Raises:
            ModelError: one of them does not fit.
        """
        for intervention in request.interventions:
            if intervention.digest not in self._fitting:
                check_fits(self._model, intervention)
                self._fitting.add(intervention.digest)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_S)
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            try:
                responses = await loop.run_in_executor(self._thread, self._answer, batch)
            except Exception as error:  # whatever the library raises must reach the callers
                failure = (
                    error
                    if isinstance(error, EvenhandError)
                    else ModelError(f"{self.id} failed on a batch: {type(error).__name__}: {error}.")
                )
                for waiting in batch:
                    if not waiting.future.done():
                        waiting.future.set_exception(failure)
                continue
            for waiting, response in zip(batch, responses, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(response)

    def _next_batch(self) -> list[Waiting]:
        """Up to ``batch_size`` waiting requests that decode alike, of similar length, the shortest first."""
        self._waiting = [w for w in self._waiting if not w.future.cancelled()]
        if not self._waiting:
            return []
        key = self._waiting[0].key
        alike = sorted((w for w in self._waiting if w.key == key), key=lambda w: len(w.tokens))
        batch = alike[: self.batch_size]
        taken = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch

    def _answer(self, batch: list[Waiting]) -> list[Response]:
        """Answer a batch; what must come out the same is computed once (a mitigation may make all prompts alike)."""
        distinct: dict[Hashable, int] = {}
        rows: list[Waiting] = []
        places = []
        for waiting in batch:
            place = distinct.setdefault(waiting.work, len(rows))
            if place == len(rows):
                rows.append(waiting)
            places.append(place)
        answers = self._compute(rows)
        return [answers[place] for place in places]

    def _compute(self, batch: list[Waiting]) -> list[Response]:
        from evenhand.models import sampling

        assert self._chat is not None, "start() was not awaited"
        started = time.perf_counter()
        prompts = [w.tokens for w in batch]
        if batch[0].request.choices:
            rows = self._scored(batch)
            share = (time.perf_counter() - started) / len(batch)
            return [
                Response(
                    "",
                    prompt_tokens=len(w.tokens) + sum(map(len, w.texts)),
                    completion_tokens=0,
                    latency_s=share,
                    choice_logprobs=tuple(row),
                    choice_tokens=tuple(map(len, w.texts)) if w.texts else None,
                )
                for w, row in zip(batch, rows, strict=True)
            ]
        decoding = batch[0].request.decoding
        completions = sampling.generate(
            self._model,
            prompts,
            [w.request.seed for w in batch],
            decoding,
            self._end_tokens,
            self._stop_check(decoding) if decoding.stop else None,
            _blend(batch),
            self._begun(batch),
            [w.request.interventions for w in batch],
        )
        share = (time.perf_counter() - started) / len(batch)
        return [
            Response(
                text=_cut(self._chat.answer(c.tokens, decoding.reasoning_effort), decoding.stop),
                finish_reason=c.finish_reason,
                prompt_tokens=len(prompt),
                completion_tokens=len(c.tokens),
                latency_s=share,
            )
            for prompt, c in zip(prompts, completions, strict=True)
        ]

    def _scored(self, batch: list[Waiting]) -> list[list[float]]:
        """Log-probabilities of the choices of each request of a batch."""
        from evenhand.models import sampling

        if not batch[0].request.whole:
            prompts, candidates = [w.tokens for w in batch], [w.candidates for w in batch]
            changes = [w.request.interventions for w in batch]
            return sampling.choice_logprobs(self._model, prompts, candidates, self._begun(batch), changes)
        rows: list[list[float]] = []
        for part in _parts(batch):
            prompts, texts = [w.tokens for w in part], [w.texts for w in part]
            changes = [w.request.interventions for w in part]
            rows += sampling.text_logprobs(self._model, prompts, texts, self._begun(part), changes)
        return rows

    def _begun(self, batch: Sequence[Waiting]) -> Begun | None:
        """How the prompts of a batch are split; None where they are read as a whole."""
        if self._prefixes is None or not batch[0].beginning:
            return None
        return Begun([w.beginning for w in batch], self._prefixes)

    def _stop_check(self, decoding: Decoding) -> Any:
        return lambda tokens: any(s in self._tokenizer.decode(tokens) for s in decoding.stop)

    def _load(self) -> None:
        with importing("local", self.id):
            import torch
            import transformers
        warnings.filterwarnings("ignore", message=".*past_key_values.*deprecated.*", category=FutureWarning)
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        device = self.options.device if self.options.device != "auto" else _best_device()
        dtype = _dtype(self.options.dtype, device)
        trust = self.options.trust_remote_code
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.path, trust_remote_code=trust)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self.path, dtype=dtype, trust_remote_code=trust, use_safetensors=True
            )
            if self.options.adapter:
                model = _with_adapter(model, self.options.adapter)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ModelError(f"Cannot load '{self.path}': {first.strip()}", "Check the name or the folder.") from None
        self._model = model.to(device).eval()
        self._prefixes = Prefixes(memory_for(self._model.device)) if keeps_everything(self._model) else None
        self._chat = ChatFormat(self._tokenizer)
        self._end_tokens = _end_tokens(model, self._tokenizer)
        self.revision: str = self.revision or weights_revision(
            getattr(model.config, "_commit_hash", None), self.path, self.options.adapter
        )
        self._settings = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "dtype": str(dtype).removeprefix("torch."),
            "device": str(device),
            "batch_size": self.batch_size,
            "adapter": self.options.adapter,
            "system_role": self._chat.has_system_role,
            **({"template_adds": self._chat.adds} if self._chat.adds else {}),
        }


def _blend(batch: list[Waiting]) -> sampling.Blend | None:
    """What a batch decodes against."""
    from evenhand.models import sampling

    first = batch[0].request
    against = [w.against for w in batch]
    return sampling.Blend(against, first.against_weight, first.against_tokens) if first.against else None


def _parts(batch: list[Waiting]) -> Iterator[list[Waiting]]:
    """A batch of whole choices in parts whose logits fit into memory."""
    part: list[Waiting] = []
    for waiting in batch:
        texts = [text for w in (*part, waiting) for text in w.texts]
        if part and len(texts) * max(map(len, texts)) > _SCORED_AT_ONCE:
            yield part
            part = []
        part.append(waiting)
    yield part


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype(name: str, device: str) -> Any:
    import torch

    if name == "auto":
        fast = device != "cpu" or _cpu_has_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    if name not in ("float32", "bfloat16", "float16"):
        raise SpecError(f"There is no dtype '{name}'.", "Use auto, float32, bfloat16 or float16.")
    return getattr(torch, name)


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated, it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _with_adapter(model: Any, adapter: str) -> Any:
    with importing("local", "An adapter"):
        from peft import PeftModel
    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(t for t in (*ends, tokenizer.eos_token_id) if t is not None)


def _cut(text: str, stop: tuple[str, ...]) -> str:
    ends = [text.find(s) for s in stop if s in text]
    return text[: min(ends)] if ends else text


@MODELS.register("hf", extra="local")
def hf_model(name: str, options: ModelOptions) -> Model:
    """``hf:NAME_OR_PATH``: a causal language model from the hub or a folder, through transformers."""
    if not name:
        raise SpecError("The model 'hf:' has no name.", "Write hf:NAME_OR_PATH.")
    return HFModel(f"hf:{name}", name, options)

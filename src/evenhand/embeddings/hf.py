"""Encoders through transformers, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from evenhand.embeddings.base import ENCODERS, Encoder, Rows, in_turn, unit_length
from evenhand.errors import ModelError, one_line
from evenhand.extras import importing
from evenhand.models import ModelOptions
from evenhand.models.revision import weights_revision

_BATCH = 64
_MOST_TOKENS = 512
# Where models of the library sentence-transformers say how they are pooled.
_POOLING = "1_Pooling/config.json"
_MEAN, _FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"


@ENCODERS.register("hf", extra="local")
class TransformersEncoder(Encoder):
    """``hf:NAME_OR_PATH``: an encoder of the hub or a folder; the mean of its last layer over a text's tokens.

    A folder that says so (``1_Pooling/config.json``) is read by the first token instead. Texts get no prefix: models
    that want one ("query: ") lose a little.
    """

    summary = "an encoder of the hub or a folder, through transformers"
    argument = "NAME_OR_PATH"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        self.name = f"hf:{argument}"
        self.path = argument
        self._device = options.device
        self._tokenizer: Any = None
        self._model: Any = None
        self._by_first = False

    async def start(self) -> None:
        if self._model is None:
            await in_turn(self._load)

    async def embed(self, texts: Sequence[str]) -> Rows:
        return await in_turn(lambda: self._embed(texts))

    def _embed(self, texts: Sequence[str]) -> Rows:
        # Texts of similar length share a batch, which then carries little padding.
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        batches = [order[n : n + _BATCH] for n in range(0, len(order), _BATCH)]
        rows = np.concatenate([self._pooled([texts[n] for n in batch]) for batch in batches])
        return unit_length(rows[np.argsort(order)], self.name)

    def _pooled(self, texts: list[str]) -> Rows:
        import torch

        inputs = self._tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=self._most)
        inputs = inputs.to(self._model.device)
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state.float()
        if self._by_first:
            return np.asarray(states[:, 0].cpu())
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return np.asarray(((states * mask).sum(1) / mask.sum(1)).cpu())

    def _load(self) -> None:
        with importing("local", f"The encoder {self.name}"):
            import transformers
            from transformers.utils import cached_file
        transformers.utils.logging.disable_progress_bar()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.path)
            model = transformers.AutoModel.from_pretrained(self.path, dtype="float32", use_safetensors=True)
            pooling = cached_file(
                self.path,
                _POOLING,
                _raise_exceptions_for_gated_repo=False,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ModelError(
                f"The encoder {self.name} cannot be loaded: {one_line(str(error))}", "Check its name or path."
            ) from None
        self._by_first = _pooled_by_first(pooling, self.name)
        self._model = model.to("cpu" if self._device == "auto" else self._device).eval()
        positions = getattr(model.config, "max_position_embeddings", None) or _MOST_TOKENS
        # Roberta-like models keep the first two positions for themselves.
        self._most = min(_MOST_TOKENS, positions - 2)
        self.revision: str = weights_revision(getattr(model.config, "_commit_hash", None), self.path, None)


def _pooled_by_first(file: str | None, name: str) -> bool:
    """Whether a model is made to be read by its first token, not by the mean.

    Raises:
        ModelError: it is made to be read in another way.
    """
    if file is None:
        return False
    with open(file, "rb") as opened:  # noqa: PTH123 - a path of transformers' cache
        modes = [key for key, on in orjson.loads(opened.read()).items() if key.startswith("pooling_mode_") and on]
    if modes not in ([_MEAN], [_FIRST]):
        ways = ", ".join(modes) or "nothing that is known"
        raise ModelError(f"The encoder {name} pools by {ways}, not by the mean or the first token.")
    return modes == [_FIRST]

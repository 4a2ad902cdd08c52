"""What an encoder is, and how a reference to one is read."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.errors import ModelError, SpecError, did_you_mean
from evenhand.models import ModelOptions
from evenhand.registry import Registry

T = TypeVar("T")

Rows = NDArray[np.float32]

_THREAD = ThreadPoolExecutor(1, thread_name_prefix="evenhand-encoder")

# What may stand behind the question mark of a reference: fields of ModelOptions.
_OPTIONS = ("base_url", "api_key_env", "device")


class Encoder(ABC):
    """Turns texts into vectors.

    Args:
        argument: what stands behind the colon of its reference.
        options: how to reach or load it; of these ``base_url``, ``api_key_env`` and ``device`` can be written into a
            reference.

    Attributes:
        name: the reference it was made from.
        summary: one line for ``evenhand list encoders``.
        argument: what stands behind the colon of its reference, "" where nothing may.
        revision: what identifies the exact weights, once something was embedded; "" when unknown.
    """

    name: str
    summary: str
    argument: ClassVar[str] = ""
    revision: str = ""

    @abstractmethod
    def __init__(self, argument: str, options: ModelOptions) -> None: ...

    async def start(self) -> None:
        """Load or connect, before the first :meth:`embed`.

        Raises:
            ModelError: the encoder cannot be used.
        """
        return

    @abstractmethod
    async def embed(self, texts: Sequence[str]) -> Rows:
        """The vectors of texts: (n, d), float32, each of unit length, so that products are cosines.

        A text's vector does not depend on the others, whatever batches they are made in.

        Raises:
            ModelError: there are none for these texts.
        """

    async def aclose(self) -> None:
        """Release what the encoder holds."""
        return


ENCODERS: Registry[type[Encoder]] = Registry(
    "encoder", "evenhand.embeddings", "evenhand.embeddings", Encoder, ModelError
)


def make_encoder(reference: str) -> Encoder:
    """An encoder from its reference: ``use``, ``hf:NAME_OR_PATH``, ``openai:NAME?base_url=http://localhost:8000/v1``.

    Raises:
        SpecError: unknown kind or option, or an argument that is missing or one too many.
        ModelError: it needs an extra that is not installed.
    """
    whole, _, query = reference.partition("?")
    kind, _, argument = whole.partition(":")
    if kind not in ENCODERS:
        raise SpecError(f"There is no encoder called '{kind}'.", did_you_mean(kind, ENCODERS.names()))
    member = ENCODERS.get(kind)
    if argument and not member.argument:
        raise SpecError(f"The encoder '{kind}' takes no argument, but '{argument}' was given.")
    if not argument and member.argument:
        raise SpecError(f"The encoder '{kind}' needs an argument.", f"Write {kind}:{member.argument}.")
    made = member(argument, _options(kind, query))
    made.name = reference
    return made


async def embed_all(encoder: Encoder, texts: Sequence[str]) -> Rows:
    """Start an encoder, embed texts, close it.

    Raises:
        ModelError: the encoder cannot be used, or not for these texts.
    """
    try:
        await encoder.start()
        return await encoder.embed(texts)
    finally:
        await encoder.aclose()


async def in_turn(work: Callable[[], T]) -> T:
    """Compute in a thread, one after another: encoders in this process would only take the cores from each other."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)


def unit_length(rows: ArrayLike, name: str) -> Rows:
    """Vectors (n, d) divided by their lengths, as float32.

    Args:
        rows: as an encoder gives them.
        name: the encoder's, for the message.

    Raises:
        ModelError: they are no table of finite numbers, or one has no length.
    """
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or not np.isfinite(table).all() or not table.any(axis=1).all():
        raise ModelError(f"The encoder {name} gives what are no vectors.", "Is it a model of embeddings?")
    unit: Rows = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _options(kind: str, query: str) -> ModelOptions:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key in given:
        if key not in _OPTIONS:
            raise SpecError(f"The encoder '{kind}' has no option '{key}'.", did_you_mean(key, _OPTIONS))
    return ModelOptions(**given)  # type: ignore[arg-type]

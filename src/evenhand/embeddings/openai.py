"""Encoders behind a server that speaks OpenAI's API of embeddings: OpenAI, vLLM, Ollama, llama.cpp, gateways."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from evenhand.embeddings.base import ENCODERS, Encoder, Rows, unit_length
from evenhand.errors import ModelError
from evenhand.loops import together
from evenhand.models import CallError, ModelOptions
from evenhand.models.addresses import checked_address
from evenhand.models.http import HttpClient, RetryableError, decoded, error_message
from evenhand.models.openai import DEFAULT_BASE_URL

_BATCH = 128
_CONCURRENCY = 8


@ENCODERS.register("openai")
class ServedEncoder(Encoder):
    """``openai:NAME``: a model behind ``$OPENAI_BASE_URL``, or behind ``openai:NAME?base_url=http://HOST:PORT/v1``.

    Calls are tried again as those of models are. They are no calls of the study: no budget counts them.
    """

    summary = "an OpenAI-compatible server: openai:NAME?base_url=http://HOST:PORT/v1"
    argument = "NAME"

    def __init__(self, argument: str, options: ModelOptions) -> None:
        self.name = f"openai:{argument}"
        self.model = argument
        self.options = options
        self.base_url: str = (options.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
        checked_address(self.base_url, "base_url", "http://HOST:PORT/v1")

    async def embed(self, texts: Sequence[str]) -> Rows:
        # A client for each call: they may be made in several event loops.
        client = HttpClient(self.options, self.options.concurrency or _CONCURRENCY)
        client.open({"Authorization": f"Bearer {key}"} if (key := self._key()) else {})
        try:
            parts = await together(self._batch(client, texts[n : n + _BATCH]) for n in range(0, len(texts), _BATCH))
        except CallError as error:
            raise ModelError(f"The encoder {self.name} does not answer: {error}.") from None
        finally:
            await client.aclose()
        return np.concatenate(parts)

    def _key(self) -> str:
        """The key, from the environment; "" without one.

        Raises:
            ModelError: there is none, and OpenAI itself would be asked.
        """
        key = os.environ.get(self.options.api_key_env, "").strip()
        if not key and self.base_url == DEFAULT_BASE_URL:
            raise ModelError(
                f"No API key: the environment variable {self.options.api_key_env} is not set.",
                f"Export it, or write {self.name}?base_url=http://HOST:PORT/v1.",
            )
        return key

    async def _batch(self, client: HttpClient, texts: Sequence[str]) -> Rows:
        payload = orjson.dumps({"model": self.model, "input": list(texts)})

        async def attempt() -> Rows:
            reply = await client.post(f"{self.base_url}/embeddings", payload)
            if reply.status != 200:
                raise ModelError(
                    f"{self.base_url} refuses {self.name}: HTTP {reply.status}: {error_message(reply.raw)}.",
                    f"Check the model's name, base_url and the key in ${self.options.api_key_env}.",
                )
            return unit_length(self._read(decoded(reply.raw), len(texts)), self.name)

        return await client.retrying(attempt)

    def _read(self, body: object, wanted: int) -> list[Any]:
        """The vectors of an answer, in the order in which they were asked for.

        Raises:
            RetryableError: it is not what the API promises.
        """
        try:
            rows = {int(row["index"]): row["embedding"] for row in body["data"]}  # type: ignore[index]
            self.revision = str(body.get("model") or "")  # type: ignore[attr-defined]
            return [rows[n] for n in range(wanted)]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RetryableError("the answer holds no vector for each text") from None

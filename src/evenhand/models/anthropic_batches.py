"""Anthropic's Message Batches: half the price, an answer within a day."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from evenhand.errors import ModelError, one_line
from evenhand.models.anthropic import AnthropicModel
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.batching import Asked, AskOtherwiseError, BatchingModel, Sent
from evenhand.models.complaints import complaint_of
from evenhand.models.endings import CONTENT_FILTER, declined_category
from evenhand.models.fields import count, member, objects, word
from evenhand.models.http import FATAL_STATUS, Reply, RetryableError, decoded
from evenhand.models.provider import lost as connection_lost
from evenhand.types import Request, Response

# Clocks differ; a batch that was made this long before its note is still ours.
_CLOCKS_S = 300.0


class AnthropicBatchModel(BatchingModel, AnthropicModel):
    """Makes batches of messages. One that was made and not noted is known by when it was made and how much it asks."""

    def __init__(self, name: str, options: ModelOptions) -> None:
        super().__init__(name, options)
        self.id: str = f"anthropic-batch:{name}"
        self.gather_with(options)

    def body(self, request: Request) -> dict[str, Any]:
        return self.payload(request)

    async def make_batch(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        name = uuid.uuid4().hex
        self.note_sending(name, list(bodies))
        requests = [{"custom_id": key, "params": body} for key, body in bodies.items()]
        try:
            reply = await self._once(lambda: self._api.with_raw_response.create(requests=requests))
        except RetryableError as error:
            # Sent twice it would be paid twice.
            raise ModelError(f"{self.id}: {error}.", "Run again: what was sent is taken up.") from None
        batch = self.said(self._accepted(reply), "id", "a batch")
        self.note_batch(name, batch)
        return batch

    async def look(self, batch: str) -> dict[str, Any] | None:
        state = await self._fetch(lambda: self._api.with_raw_response.retrieve(batch))
        return state if self.said(state, "processing_status", "a batch") == "ended" else None

    async def rows(self, batch: str, state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        async def read() -> dict[str, dict[str, Any]]:
            from anthropic import APIConnectionError, APIStatusError

            try:
                found = await self._api.results(batch)
                return {row.custom_id: row.model_dump(mode="json") async for row in found}
            except APIStatusError as error:
                reply = self._attempts.reply(error.status_code, error.response.content, None)
                raise ModelError(f"{self.id}: HTTP {reply.status}: {complaint_of(reply.raw).message}.") from None
            except APIConnectionError as error:
                raise connection_lost(error, self.options.timeout_s) from None
            except ValueError as error:
                raise RetryableError(f"the batch's results cannot be read: {one_line(str(error))}") from None

        return await self._attempts.retrying(read)

    def is_answer(self, row: Mapping[str, Any]) -> bool:
        return bool(member(row, "result").get("type") == "succeeded")

    def answer(self, asked: Asked, row: Mapping[str, Any]) -> Response:
        latency_s = time.perf_counter() - asked.since
        result = member(row, "result")
        if self.is_answer(row):
            return self.read(result.get("message"), latency_s)
        raw = orjson.dumps(result.get("error") or row.get("error") or {"message": f"the request {result.get('type')}"})
        if (category := declined_category(400, raw)) is not None:
            return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
        said = complaint_of(self._attempts.blanked(raw))
        if self.learns(said, asked.body):
            raise AskOtherwiseError
        raise CallError(said.message)

    async def find(self, lost: Mapping[str, Sent], known: set[str]) -> dict[str, str]:
        made = objects((await self._fetch(lambda: self._api.with_raw_response.list(limit=100))).get("data"))
        left = [batch for batch in reversed(made) if word(batch.get("id")) not in {"", *known}]
        found: dict[str, str] = {}
        for name, sent in sorted(lost.items(), key=lambda item: item[1].at):
            for batch in left:
                if _size(batch) == len(sent.keys) and _made_at(batch) >= sent.at - _CLOCKS_S:
                    # Should it be another's, its results answer nothing here, and everything is sent anew.
                    found[name] = batch["id"]
                    left.remove(batch)
                    break
        return found

    @property
    def _api(self) -> Any:
        return self._client.messages.batches

    async def _once(self, call: Callable[[], Awaitable[Any]]) -> Reply:
        await self._attempts.turn()
        return await self._reply(call)

    async def _fetch(self, call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        return self._accepted(await self._attempts.retrying(lambda: self._once(call)))

    def _accepted(self, reply: Reply) -> dict[str, Any]:
        if reply.status in FATAL_STATUS:
            raise self.error(reply, {})
        found = decoded(reply.raw) if reply.status < 300 else None
        if not isinstance(found, dict):
            raise ModelError(f"{self.id}: HTTP {reply.status}: {complaint_of(reply.raw).message}.")
        return found


def _size(batch: Mapping[str, Any]) -> int:
    return sum(count(n) or 0 for n in member(batch, "request_counts").values())


def _made_at(batch: Mapping[str, Any]) -> float:
    """Seconds since 1970; 0 where it does not say."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(word(batch.get("created_at"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0


@MODELS.register("anthropic-batch", extra="anthropic")
def anthropic_batch_model(name: str, options: ModelOptions) -> Model:
    """``anthropic-batch:NAME``: Anthropic's batches (extra ``anthropic``); cheaper, and an answer may take a day."""
    return AnthropicBatchModel(name, options)

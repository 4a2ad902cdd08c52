"""Batch APIs in OpenAI's shape: half the price, an answer within a day."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from evenhand.errors import ModelError
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.batching import Asked, AskOtherwiseError, BatchingModel, Sent
from evenhand.models.complaints import complaint_of
from evenhand.models.endings import CONTENT_FILTER, declined_category
from evenhand.models.fields import count, member, objects, word
from evenhand.models.http import FATAL_STATUS, Reply, RetryableError, decoded, error_message
from evenhand.models.openai import OpenAIModel
from evenhand.types import Request, Response

_OVER = {"completed", "failed", "expired", "cancelled"}


class BatchModel(BatchingModel, OpenAIModel):
    """A file of requests is uploaded, and a batch made of it."""

    def __init__(self, name: str, options: ModelOptions) -> None:
        super().__init__(name, options)
        self.id: str = f"openai-batch:{name}"
        self.gather_with(options)

    def body(self, request: Request) -> dict[str, Any]:
        return self.payload(request)

    async def make_batch(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        endpoint = f"/v1/{self.path}"
        lines = [
            orjson.dumps({"custom_id": key, "method": "POST", "url": endpoint, "body": body})
            for key, body in bodies.items()
        ]
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", b"\n".join(lines), filename="trials.jsonl", content_type="application/jsonl")
        file = await self._asked("files", form)
        name = self.said(file, "id", "an uploaded file")
        self.note_sending(name, list(bodies))
        wanted = {"input_file_id": name, "endpoint": endpoint, "completion_window": "24h"}
        batch = self.said(await self._asked("batches", orjson.dumps(wanted)), "id", "a batch")
        self.note_batch(name, batch)
        return batch

    async def look(self, batch: str) -> dict[str, Any] | None:
        state = await self._fetch(f"batches/{batch}")
        return state if self.said(state, "status", "a batch") in _OVER else None

    async def rows(self, batch: str, state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for field in ("output_file_id", "error_file_id"):
            if state.get(field):
                reply = await self._get(f"files/{state[field]}/content")
                found = objects([_row(line) for line in reply.raw.splitlines()])
                named = {key: row for row in found if (key := word(row.get("custom_id")))}
                if found and not named:
                    self.said(found[0], "custom_id", "a line of a batch's answers")
                rows.update(named)
        return rows

    def is_answer(self, row: Mapping[str, Any]) -> bool:
        return bool(member(row, "response").get("status_code") == 200)

    def answer(self, asked: Asked, row: Mapping[str, Any]) -> Response:
        reply = member(row, "response")
        latency_s = time.perf_counter() - asked.since
        if reply.get("status_code") == 200:
            return self.read(reply.get("body"), asked.request, latency_s)
        said = row.get("error") or member(reply, "body").get("error") or reply
        status, raw = count(reply.get("status_code")) or 0, orjson.dumps({"error": said})
        if (category := declined_category(status, raw)) is not None:
            return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
        if status == 400 and self._learns(complaint_of(raw), asked.body):
            raise AskOtherwiseError
        raise CallError(f"HTTP {status or '-'}: {error_message(raw)}")

    async def find(self, lost: Mapping[str, Sent], known: set[str]) -> dict[str, str]:
        batches = objects((await self._fetch("batches", limit=100)).get("data"))
        made = {word(batch.get("input_file_id")): word(batch.get("id")) for batch in batches}
        return {file: batch for file, batch in made.items() if file in lost and batch}

    async def _asked(self, path: str, payload: bytes | aiohttp.FormData) -> dict[str, Any]:
        """Post something once: sent twice it would be paid twice."""
        try:
            return self._object(self._accepted(await self._client.post(self.address(path), payload)))
        except RetryableError as error:
            raise ModelError(f"{self.base_url}/{path}: {error}.", "Run again: what was sent is taken up.") from None

    async def _fetch(self, path: str, **query: int) -> dict[str, Any]:
        return self._object(await self._get(path, **query))

    async def _get(self, path: str, **query: int) -> Reply:
        address = self.address(path).update_query(query)
        return self._accepted(await self._client.retrying(lambda: self._client.get(address)))

    def _accepted(self, reply: Reply) -> Reply:
        if reply.status in FATAL_STATUS:
            raise self.refusal(reply)
        if reply.status >= 300:
            raise ModelError(f"{self.base_url}: HTTP {reply.status}: {error_message(reply.raw)}.")
        return reply

    def _object(self, reply: Reply) -> dict[str, Any]:
        found = decoded(reply.raw)
        if not isinstance(found, dict):
            raise ModelError(f"{self.base_url} does not answer as a batch API does.", "Check --base-url.")
        return found


def _row(line: bytes) -> object:
    """A line of answers, None where it is no JSON: what it answers is asked again."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


@MODELS.register("openai-batch")
def batch_model(name: str, options: ModelOptions) -> Model:
    """``openai-batch:NAME``: a batch API in OpenAI's shape; cheaper, and an answer may take a day."""
    return BatchModel(name, options)

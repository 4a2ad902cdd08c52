"""Batch APIs in OpenAI's shape: half the price, an answer within a day."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from evenhand.errors import ModelError
from evenhand.models.base import MODELS, CallError, Model, ModelOptions
from evenhand.models.complaints import complaint_of
from evenhand.models.endings import CONTENT_FILTER, declined_category
from evenhand.models.http import FATAL_STATUS, Reply, RetryableError, decoded, error_message
from evenhand.models.openai import OpenAIModel
from evenhand.types import Request, Response

_STATE_FILE = "batches.jsonl"
_BATCH_SIZE = 10_000
# A batch is sent when no request has come for this long: the plan then has no more to give.
_QUIET_S = 1.0
_POLL_S = (2.0, 60.0)
_OVER = {"completed", "failed", "expired", "cancelled"}


class _AskOtherwiseError(Exception):
    """The server does not take the call in this form; in another one it may."""


@dataclass
class _Asked:
    request: Request
    body: dict[str, Any]
    future: asyncio.Future[Response]
    since: float


class BatchModel(OpenAIModel):
    """Gathers requests into batches, sends them, and waits.

    What was sent is noted in the study's directory before and after. A run that goes on finds the answers to what it
    asks for in those batches, finished or not, and pays for nothing twice.
    """

    def __init__(self, name: str, options: ModelOptions) -> None:
        super().__init__(name, options)
        self.id: str = f"openai-batch:{name}"
        self.concurrency: int = options.concurrency or _BATCH_SIZE
        self._size = options.batch_size or _BATCH_SIZE
        self._state = Path(_STATE_FILE)
        self._waiting: dict[str, _Asked] = {}
        self._sent: set[str] = set()
        self._earlier: dict[str, tuple[str, list[str]]] = {}
        self._last_arrival = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def keep_state_in(self, directory: Path) -> None:
        self._state = directory / _STATE_FILE

    async def start(self) -> None:
        await super().start()
        self._sent = set()
        self._earlier = {key: (batch, keys) for batch, keys in await self._noted() for key in keys}
        self._follow(self._gather())

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await super().aclose()

    async def respond(self, request: Request) -> Response:
        while True:
            try:
                return await self._ask(request)
            except _AskOtherwiseError:
                continue

    async def _ask(self, request: Request) -> Response:
        body = self.payload(request)
        # Named by what it asks: a run that goes on recognises what it asked for before.
        key = hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
        while key in self._waiting:  # the same request twice in one study: one after the other
            with contextlib.suppress(CallError, _AskOtherwiseError):
                await asyncio.shield(self._waiting[key].future)
            await asyncio.sleep(0)
        asked = _Asked(request, body, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._waiting[key] = asked
        self._last_arrival = time.monotonic()
        if key in self._earlier:
            batch, keys = self._earlier[key]
            self._take_up(batch, keys)
        return await asked.future

    async def _gather(self) -> None:
        """Send what waits, in batches."""
        while True:
            await asyncio.sleep(_QUIET_S / 4)
            fresh = [key for key in self._waiting if key not in self._sent]
            quiet = time.monotonic() - self._last_arrival > _QUIET_S
            if fresh and (quiet or len(fresh) >= self._size):
                keys = fresh[: self._size]
                self._sent.update(keys)
                self._follow(self._send(keys))

    async def _send(self, keys: list[str]) -> None:
        endpoint = f"/v1/{self.path}"
        lines = [
            orjson.dumps({"custom_id": key, "method": "POST", "url": endpoint, "body": self._waiting[key].body})
            for key in keys
        ]
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", b"\n".join(lines), filename="trials.jsonl", content_type="application/jsonl")
        file = await self._asked("files", form)
        self._note({"file": file["id"], "keys": keys})
        wanted = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"}
        batch = await self._asked("batches", orjson.dumps(wanted))
        self._note({"file": file["id"], "batch": batch["id"]})
        await self._collect(batch["id"], keys)

    def _take_up(self, batch: str, keys: list[str]) -> None:
        """Get the answers of a batch that an earlier run sent."""
        for key in keys:
            self._earlier.pop(key, None)
        self._sent.update(keys)
        self._follow(self._collect(batch, keys, again=True))

    async def _collect(self, batch: str, keys: list[str], *, again: bool = False) -> None:
        """Wait for a batch and hand out its answers.

        Args:
            batch: its id.
            keys: what it was asked.
            again: whether an earlier run sent it; what it could not answer is then sent anew.
        """
        pause = _POLL_S[0]
        while (state := await self._fetch(f"batches/{batch}"))["status"] not in _OVER:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_S[1])
        problem = {"error": {"message": f"the batch {batch} {state['status']} without an answer to it"}}
        rows: dict[str, dict[str, Any]] = {}
        for field in ("output_file_id", "error_file_id"):
            if state.get(field):
                reply = await self._get(f"files/{state[field]}/content")
                rows.update({row["custom_id"]: row for row in map(orjson.loads, reply.raw.splitlines())})
        for key in keys:
            self._sent.discard(key)
            row = rows.get(key, problem)
            if not again or (row.get("response") or {}).get("status_code") == 200:
                self._settle(key, row)

    def _settle(self, key: str, row: dict[str, Any]) -> None:
        """Give an answer to who waits for it; nobody does where the study has it already."""
        asked = self._waiting.pop(key, None)
        if asked is None or asked.future.done():
            return
        try:
            asked.future.set_result(self._response(asked, row))
        except (CallError, ModelError, _AskOtherwiseError) as error:
            asked.future.set_exception(error)
        except RetryableError as error:
            asked.future.set_exception(CallError(str(error)))

    def _response(self, asked: _Asked, row: dict[str, Any]) -> Response:
        reply = row.get("response") or {}
        latency_s = time.perf_counter() - asked.since
        if reply.get("status_code") == 200:
            return self.read(reply.get("body"), asked.request, latency_s)
        said = row.get("error") or (reply.get("body") or {}).get("error") or reply
        status, raw = reply.get("status_code") or 0, orjson.dumps({"error": said})
        if (category := declined_category(status, raw)) is not None:
            return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
        if status == 400 and self._learns(complaint_of(raw), asked.body):
            raise _AskOtherwiseError
        raise CallError(f"HTTP {status or '-'}: {error_message(raw)}")

    async def _noted(self) -> list[tuple[str, list[str]]]:
        """Batches that earlier runs of the study sent, and what they asked."""
        notes = [orjson.loads(line) for line in self._state.read_bytes().splitlines()] if self._state.exists() else []
        keys = {note["file"]: note["keys"] for note in notes if "keys" in note}
        batches = {note["file"]: note["batch"] for note in notes if "batch" in note}
        if lost := keys.keys() - batches.keys():
            # Killed after the batch was made and before it was noted: the server knows it.
            for batch in (await self._fetch("batches", limit=100))["data"]:
                if batch["input_file_id"] in lost:
                    batches[batch["input_file_id"]] = batch["id"]
                    self._note({"file": batch["input_file_id"], "batch": batch["id"]})
        return [(batch, keys[file]) for file, batch in batches.items()]

    def _note(self, note: dict[str, Any]) -> None:
        with self._state.open("ab") as file:
            file.write(orjson.dumps(note) + b"\n")
            file.flush()

    def _follow(self, work: Any) -> None:
        """Run beside the calls; when it fails, so does everybody who waits."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failure = error if isinstance(error, ModelError) else ModelError(f"{self.id}: {error}.", "Run again.")
            for asked in self._waiting.values():
                if not asked.future.done():
                    asked.future.set_exception(failure)

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


@MODELS.register("openai-batch")
def batch_model(name: str, options: ModelOptions) -> Model:
    """``openai-batch:NAME``: a batch API in OpenAI's shape; cheaper, and an answer may take a day."""
    return BatchModel(name, options)

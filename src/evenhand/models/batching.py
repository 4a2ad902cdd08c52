"""Models that gather requests into batches: cheaper, and an answer may take a day. Nothing is paid for twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import ModelError, StoreError, one_line
from evenhand.models.base import CallError, Model, ModelOptions
from evenhand.models.http import RetryableError
from evenhand.types import Request, Response

_STATE_FILE = "batches.jsonl"
_BATCH_SIZE = 10_000
# A batch is sent when no request has come for this long: the plan then has no more to give.
_QUIET_S = 1.0
_POLL_S = (2.0, 60.0)


class AskOtherwiseError(Exception):
    """The server does not take the call in this form; in another one it may."""


@dataclass
class Asked:
    """A request that waits for its answer.

    Attributes:
        request: what is asked.
        body: as it is sent.
        future: its answer.
        since: when it came, by the clock of :func:`time.perf_counter`.
    """

    request: Request
    body: dict[str, Any]
    future: asyncio.Future[Response]
    since: float


@dataclass(frozen=True)
class Sent:
    """A batch that an earlier run may have sent: noted before it went out.

    Attributes:
        name: of its note.
        keys: what it asks.
        at: when it was noted, in seconds since 1970; 0 where an earlier version did not say.
    """

    name: str
    keys: list[str]
    at: float


class BatchingModel(Model):
    """Gathers requests, has them sent, and waits.

    What was sent is noted in the study's directory before and after. A run that goes on finds the answers to what it
    asks for in those batches, finished or not. To be put in front of a model that asks one by one.
    """

    def gather_with(self, options: ModelOptions) -> None:
        """To be called by the constructor."""
        self.concurrency: int = options.concurrency or _BATCH_SIZE
        self._size = options.batch_size or _BATCH_SIZE
        self._state = Path(_STATE_FILE)
        self._waiting: dict[str, Asked] = {}
        self._sent: set[str] = set()
        self._earlier: dict[str, tuple[str, list[str]]] = {}
        self._last_arrival = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request."""

    @abstractmethod
    async def make_batch(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Send a batch, once, and give its id; :meth:`note_sending` just before it can be paid for.

        Raises:
            ModelError: nobody knows whether it arrived; the next run looks for it.
        """

    @abstractmethod
    async def look(self, batch: str) -> dict[str, Any] | None:
        """A batch's state when it is over, None before."""

    @abstractmethod
    async def rows(self, batch: str, state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What a batch that is over says to each of its requests, as far as it says anything."""

    @abstractmethod
    def is_answer(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is an answer, or a reason why there is none."""

    @abstractmethod
    def answer(self, asked: Asked, row: Mapping[str, Any]) -> Response:
        """A row as a response.

        Raises:
            CallError, RetryableError, AskOtherwiseError: there is none in it.
        """

    @abstractmethod
    async def find(self, lost: Mapping[str, Sent], known: set[str]) -> dict[str, str]:
        """Batches that were made and not noted: by what was noted before, among those that are not ``known``."""

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
            except AskOtherwiseError:
                continue

    async def _ask(self, request: Request) -> Response:
        body = self.body(request)
        # Named by what it asks: a run that goes on recognises what it asked for before.
        key = hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
        while key in self._waiting:  # the same request twice in one study: one after the other
            with contextlib.suppress(CallError, AskOtherwiseError):
                await asyncio.shield(self._waiting[key].future)
            await asyncio.sleep(0)
        asked = Asked(request, body, asyncio.get_running_loop().create_future(), time.perf_counter())
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
        batch = await self.make_batch({key: self._waiting[key].body for key in keys})
        await self._collect(batch, keys)

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
        while (state := await self.look(batch)) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_S[1])
        rows = await self.rows(batch, state)
        problem = {"error": {"message": f"the batch {batch} ended without an answer to it"}}
        for key in keys:
            self._sent.discard(key)
            row = rows.get(key, problem)
            if not again or self.is_answer(row):
                self._settle(key, row)

    def _settle(self, key: str, row: Mapping[str, Any]) -> None:
        """Give an answer to who waits for it; nobody does where the study has it already."""
        asked = self._waiting.pop(key, None)
        if asked is None or asked.future.done():
            return
        try:
            asked.future.set_result(self.answer(asked, row))
        except (CallError, ModelError, AskOtherwiseError) as error:
            asked.future.set_exception(error)
        except RetryableError as error:
            asked.future.set_exception(CallError(str(error)))

    def said(self, found: Mapping[str, Any], key: str, what: str) -> str:
        """What a server says under a key.

        Args:
            found: an object that it sent.
            key: what must be there, as a text.
            what: what the object is, for messages ("a batch").

        Raises:
            ModelError: there is none.
        """
        if isinstance(value := found.get(key), str) and value:
            return value
        raise ModelError(
            f"{self.id}: {what} should have a text '{key}', and the server sent {one_line(str(found))}.",
            "Check --base-url. Run again: what was sent is taken up.",
        )

    async def _noted(self) -> list[tuple[str, list[str]]]:
        """Batches that earlier runs of the study sent, and what they asked.

        Raises:
            StoreError: what stands in the notes is none of ours.
        """
        sent: dict[str, Sent] = {}
        batches: dict[str, str] = {}
        for number, line in enumerate(self._state.read_bytes().splitlines() if self._state.exists() else (), 1):
            try:
                note = _read_note(line)
            except (ValueError, TypeError, KeyError):
                raise StoreError(
                    f"{self._state}, line {number}: not a note of a batch.",
                    "Take the line out; a batch that only it knew is then looked for, or asked and paid for again.",
                ) from None
            if isinstance(note, Sent):
                sent[note.name] = note
            else:
                batches[note[0]] = note[1]
        batches = {name: batch for name, batch in batches.items() if name in sent}
        if lost := {name: sent[name] for name in sent.keys() - batches.keys()}:
            # Killed after the batch was made and before it was noted: the server knows it.
            for name, batch in (await self.find(lost, set(batches.values()))).items():
                batches[name] = batch
                self.note_batch(name, batch)
        return [(batch, sent[name].keys) for name, batch in batches.items()]

    def note_sending(self, name: str, keys: list[str]) -> None:
        """A batch is about to be made."""
        self._note({"file": name, "keys": keys, "at": time.time()})

    def note_batch(self, name: str, batch: str) -> None:
        """It was made."""
        self._note({"file": name, "batch": batch})

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


def _read_note(line: bytes) -> Sent | tuple[str, str]:
    """A line of the notes: a batch that was about to be made, or (name of its note, id) of one that was.

    Raises:
        ValueError, TypeError, KeyError: it is neither.
    """
    note = orjson.loads(line)
    if "keys" in note:
        return Sent(str(note["file"]), [str(key) for key in note["keys"]], float(note.get("at", 0.0)))
    return str(note["file"]), str(note["batch"])

"""What stands behind the proxy: an endpoint, or a model that evenhand runs; each answers chat completions."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from evenhand.deploy.asking import outcome
from evenhand.deploy.assistant import Assistant
from evenhand.deploy.conversation import Conversation
from evenhand.deploy.reading import read_conversation, read_count, read_seed, read_settings, wants_usage
from evenhand.deploy.rewriting import check_acts_on_messages, only_rewrites
from evenhand.deploy.shapes import RefusedError, added, completion, events, joined, unmitigated
from evenhand.deploy.upstream import Upstream, passed_back, read_object
from evenhand.errors import EvenhandError, SpecError
from evenhand.loops import together
from evenhand.mitigations import Mitigation
from evenhand.models import CallError
from evenhand.models.http import MAX_BODY, read_limited

SSE = "text/event-stream"
JSON = "application/json"
_SEEDS = 2**31


@dataclass
class Reply:
    """An answer on its way to the client.

    Attributes:
        pieces: the body, piece by piece.
        content_type: of it.
        acted: whether anything that was sent is not what the client sent.
        calls: how often the model was asked; of an answer that comes as it is made, once.
        usage: what the answer says it took, where it was read.
        headers: of the endpoint's that the client is to know.
    """

    pieces: AsyncIterator[bytes]
    content_type: str
    acted: bool
    calls: int = 1
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Backend(ABC):
    """Answers chat completions with a mitigation."""

    @abstractmethod
    async def start(self) -> None:
        """Load or connect.

        Raises:
            ModelError: it cannot be used.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Release it."""

    @abstractmethod
    def headers(self, given: Mapping[str, str], *, own_key: bool) -> dict[str, str]:
        """What of a client's headers is sent on."""

    @abstractmethod
    def answering(
        self, body: Mapping[str, Any], raw: bytes, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Reply]:
        """Answer a body of chat completions; inside, the reply may be read.

        Args:
            body: as it came, its messages unchecked.
            raw: the same in the client's own bytes.
            headers: of :meth:`headers`.

        Raises:
            RefusedError: there is no answer.
        """

    @abstractmethod
    async def models(self, path: str, headers: Mapping[str, str]) -> bytes:
        """What there is to ask: the answer to ``GET /v1/models`` or, with a name behind it, of one.

        Raises:
            RefusedError: the endpoint does not say.
        """


class Endpoint(Backend):
    """Any OpenAI-compatible API.

    Args:
        upstream: the API.
        mitigation: what is put in front of it.
        strict: refuse what the mitigation leaves as it is; one that only rewrites is known to before anything is sent.

    A mitigation that only rewrites changes nothing but the messages, and the answer passes through as it comes. One
    that asks several times gives a whole answer, which is streamed at its end to those who want a stream.

    Raises:
        SpecError: the mitigation needs the model itself, or records of people.
    """

    def __init__(self, upstream: Upstream, mitigation: Mitigation, *, strict: bool = False) -> None:
        if mitigation.local_only:
            raise SpecError(
                f"The mitigation '{mitigation.name}' works inside the model, which an endpoint does not let it.",
                "Serve the model here: --model smollm2, or --model hf:NAME_OR_PATH, in place of --base-url.",
            )
        check_acts_on_messages(mitigation)
        self._upstream, self._mitigation, self._strict = upstream, mitigation, strict
        self._rewrites = only_rewrites(mitigation)

    async def start(self) -> None:
        self._upstream.open()
        await self._mitigation.start()

    async def aclose(self) -> None:
        await self._mitigation.aclose()
        await self._upstream.aclose()

    def headers(self, given: Mapping[str, str], *, own_key: bool) -> dict[str, str]:
        passed = self._upstream.headers(given, own_key=own_key)
        # One key for several calls would bring the first one's answer to all.
        return passed if self._rewrites else {n: v for n, v in passed.items() if n.lower() != "idempotency-key"}

    def answering(
        self, body: Mapping[str, Any], raw: bytes, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Reply]:
        conversation = read_conversation(body)
        if not self._rewrites and conversation.seen:
            return self._asked(body, conversation, headers)
        return self._passed_through(body, conversation, raw, headers)

    @asynccontextmanager
    async def _asked(
        self, body: Mapping[str, Any], conversation: Conversation, headers: Mapping[str, str]
    ) -> AsyncIterator[Reply]:
        found = await outcome(self._mitigation, self._upstream, headers, body, conversation)
        if self._strict and not found.acted:
            raise unmitigated()
        yield whole(body, found.body, acted=found.acted, calls=found.calls)

    @asynccontextmanager
    async def _passed_through(
        self, body: Mapping[str, Any], conversation: Conversation, raw: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[Reply]:
        sent = conversation.rewritten(self._mitigation)
        acted = sent.given != conversation.given
        if self._strict and not acted:
            raise unmitigated()
        payload = orjson.dumps({**body, "messages": sent.given}) if acted else raw
        stream = bool(body.get("stream"))
        async with self._upstream.asking("POST", "chat/completions", headers, payload, stream=stream) as reply:
            back = passed_back(reply.headers)
            if stream and reply.content_type == SSE:
                yield Reply(reply.content.iter_any(), SSE, acted, headers=back)
                return
            answer = await read_limited(reply, MAX_BODY)
            found = read_object(answer)
            if stream:  # a server that does not stream
                yield replace(whole(body, found, acted=acted, calls=1), headers=back)
                return
            yield Reply(_pieces([answer]), JSON, acted, usage=_usage(found), headers=back)

    async def models(self, path: str, headers: Mapping[str, str]) -> bytes:
        async with self._upstream.asking("GET", path, headers) as reply:
            raw = await read_limited(reply, MAX_BODY)
            read_object(raw)
            return raw


class Local(Backend):
    """A model that evenhand runs or reaches itself; it reads texts and answers with one.

    What a client asks of it beyond that is refused, not left out.

    Args:
        assistant: the model and what is put in front of it.
        name: of the model, as clients see it.
        timeout_s: until an answer is given up.
        strict: refuse what the mitigation leaves as it is.
    """

    def __init__(self, assistant: Assistant, name: str, timeout_s: float, *, strict: bool = False) -> None:
        self._assistant, self._name, self._timeout_s, self._strict = assistant, name, timeout_s, strict

    async def start(self) -> None:
        await self._assistant.start()

    async def aclose(self) -> None:
        await self._assistant.aclose()

    def headers(self, given: Mapping[str, str], *, own_key: bool) -> dict[str, str]:
        return {}

    @asynccontextmanager
    async def answering(self, body: Mapping[str, Any], raw: bytes, headers: Mapping[str, str]) -> AsyncIterator[Reply]:
        conversation = read_conversation(body)
        settings, count, given = read_settings(body), read_count(body), read_seed(body)
        seed = (secrets.randbelow(_SEEDS) if given is None else given) % _SEEDS
        try:
            asked = self._assistant.request(list(map(dict, conversation.given)), seed=seed, **settings)
            requests = [replace(asked, seed=(seed + n) % _SEEDS) for n in range(count)]
            async with asyncio.timeout(self._timeout_s):
                answers = await together(self._assistant.model.respond(request) for request in requests)
        except TimeoutError:
            raise RefusedError(504, f"The model did not answer within {self._timeout_s:g} s.", "timeout") from None
        except SpecError as error:
            raise RefusedError(400, str(error), "unsupported_value", param="messages") from None
        except CallError as error:
            raise RefusedError(502, f"The model did not answer: {error}", "model_failed") from None
        except EvenhandError as error:
            raise RefusedError(502, str(error), "model_failed") from None
        bodies = [completion(answer, self._name) for answer in answers]
        calls = sum(answer.calls for answer in answers)
        inside = self._assistant.mitigation.local_only and self._assistant.mitigation.calls == 1
        acted = inside or calls > count or asked.messages != conversation.seen
        if self._strict and not acted:
            raise unmitigated()
        yield whole(body, joined(bodies, added(b.get("usage") for b in bodies)), acted=acted, calls=calls)

    async def models(self, path: str, headers: Mapping[str, str]) -> bytes:
        one = {"id": self._name, "object": "model", "created": 0, "owned_by": "evenhand"}
        name = path.removeprefix("models").strip("/")
        if name and name != self._name:
            raise RefusedError(404, f"There is no model of that name here, only {self._name}.", "model_not_found")
        return orjson.dumps(one if name else {"object": "list", "data": [one]})


def whole(asked: Mapping[str, Any], body: Mapping[str, Any], *, acted: bool, calls: int) -> Reply:
    """A whole answer as the client wants it: in one piece, or as the events of a stream.

    Args:
        asked: the client's body.
        body: the answer.
        acted, calls: as in :class:`Reply`.

    Raises:
        RefusedError: a stream cannot be made of it.
    """
    if not asked.get("stream"):
        return Reply(_pieces([orjson.dumps(body)]), JSON, acted, calls, _usage(body))
    try:
        made = list(events(body, with_usage=wants_usage(asked)))
    except (KeyError, TypeError, AttributeError):
        raise RefusedError(502, "The endpoint's answer has no choices with a message.", "upstream_malformed") from None
    return Reply(_pieces(made), SSE, acted, calls, _usage(body))


async def _pieces(made: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in made:
        yield piece


def _usage(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = body.get("usage")
    return found if isinstance(found, Mapping) else None

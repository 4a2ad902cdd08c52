"""Mitigations that ask several times, in front of an endpoint: each of their calls carries what the client's did."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from evenhand.deploy.conversation import Conversation
from evenhand.deploy.reading import read_count, read_seed
from evenhand.deploy.shapes import RefusedError, added, completion, joined
from evenhand.deploy.upstream import Upstream
from evenhand.errors import EvenhandError
from evenhand.loops import together
from evenhand.mitigations import MitigatedModel, Mitigation
from evenhand.models import CallError, Model, completions
from evenhand.models.http import RetryableError
from evenhand.types import Decoding, Request, Response

# How answers come, which is this proxy's to decide when there are several.
_DELIVERY = ("n", "stream", "stream_options")
# What a question of the mitigation's own has in common with the client's.
_WHOSE = ("model", "user", "safety_identifier", "service_tier", "metadata", "store")


@dataclass(frozen=True, slots=True)
class Answer(Response):
    """A response with the body that it was read from.

    Attributes:
        body: as the endpoint sent it.
        said: the text that was read from it.
    """

    body: Mapping[str, Any] | None = None
    said: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a conversation's calls came to.

    Attributes:
        body: the answer, as chat completions give it.
        acted: whether any call was another than the client's.
        calls: how many there were to the endpoint.
    """

    body: dict[str, Any]
    acted: bool
    calls: int


class OneConversation(Model):
    """The endpoint as a model that goes on with one conversation.

    A call of the mitigation keeps pictures, tools and every other field of the client's; one with other decoding is a
    question of the mitigation's own (which facts are needed?), and has none of them.

    Args:
        upstream: the endpoint.
        headers: to send.
        body: the client's.
        conversation: its messages, rewritten.
        decoding: the settings that mark the client's own way of asking.
    """

    def __init__(
        self,
        upstream: Upstream,
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        conversation: Conversation,
        decoding: Decoding,
    ) -> None:
        self.id: str = upstream.base_url
        self._upstream, self._headers, self._body = upstream, headers, body
        self._conversation, self._decoding = conversation, decoding
        self._tasks: set[asyncio.Task[Any]] = set()
        self.usages: list[object] = []
        self.sent: list[Any] = []

    async def respond(self, request: Request) -> Response:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
        body = self._payload(request)
        self.sent.append(body["messages"])
        heard = await self._upstream.ask(self._headers, body)
        self.usages.append(heard.get("usage"))
        try:
            response = completions.read(heard, request, 0.0)
        except RetryableError as error:
            raise RefusedError(502, f"The endpoint's answer cannot be used: {error}.", "upstream_malformed") from None
        told = {f.name: getattr(response, f.name) for f in fields(Response)}
        if not heard.get("choices"):
            raise RefusedError(502, "The endpoint declined without an answer.", "upstream_malformed")
        if _calls_tools(heard):
            told["text"] = ""  # nothing that could be looked at again
        return Answer(**told, body=heard, said=told["text"])

    def stop(self) -> None:
        """Give up calls that nobody waits for."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _payload(self, request: Request) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_completion_tokens" in self._body else "max_tokens"
        if request.decoding is self._decoding:
            body = {name: value for name, value in self._body.items() if name not in _DELIVERY}
            body["messages"] = self._conversation.changed_to(request.messages).given
        else:
            body = {name: self._body[name] for name in _WHOSE if name in self._body}
            body |= {"messages": [m.to_dict() for m in request.messages], limit: request.decoding.max_tokens}
            body["temperature"] = request.decoding.temperature
        return body | ({"seed": request.seed} if read_seed(self._body) is not None else {})


async def outcome(
    mitigation: Mitigation,
    upstream: Upstream,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    conversation: Conversation,
) -> Outcome:
    """Answer a conversation by a mitigation that asks several times, once for each of the choices wanted.

    Args:
        mitigation: started.
        upstream: the endpoint.
        headers: to send.
        body: the client's.
        conversation: its messages, as they came.

    Raises:
        RefusedError: there is no answer.
    """
    count = read_count(body)
    decoding = Decoding()
    rewritten = conversation.rewritten(mitigation)
    model = OneConversation(upstream, headers, body, rewritten, decoding)
    seed = read_seed(body) or 0
    requests = [Request(rewritten.seen, decoding, (seed + n) % 2**31) for n in range(count)]
    try:
        answers = await together(MitigatedModel(model, mitigation).respond(request) for request in requests)
    except RefusedError:
        raise
    except (CallError, EvenhandError) as error:
        raise RefusedError(502, f"The mitigation's own model did not answer: {error}", "mitigation_failed") from None
    finally:
        model.stop()
    acted = any(sent != conversation.given for sent in model.sent) or len(model.sent) > count
    return Outcome(
        joined([_body_of(a, body.get("model")) for a in answers], added(model.usages)), acted, len(model.sent)
    )


def _calls_tools(body: Mapping[str, Any]) -> bool:
    message = body["choices"][0]["message"]
    return bool(message.get("tool_calls") or message.get("function_call"))


def _body_of(answer: Response, model: object) -> Mapping[str, Any]:
    """The body that an answer came in, with the answer's text where the mitigation has changed it."""
    if not isinstance(answer, Answer) or answer.body is None:
        return completion(answer, str(model))
    if answer.text == answer.said:
        return answer.body
    first = answer.body["choices"][0]
    message = {**first["message"], "content": answer.text}
    return {**answer.body, "choices": [{**first, "message": message}]}

"""Anthropic's Messages API, through its own library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from evenhand.errors import SpecError
from evenhand.models.base import MODELS, Model, ModelOptions
from evenhand.models.complaints import Complaint
from evenhand.models.endings import CONTENT_FILTER, declined_in, ending
from evenhand.models.fields import count, member, objects, text, word
from evenhand.models.http import Reply, RetryableError
from evenhand.models.provider import ProviderModel, conversation, lost, needs
from evenhand.types import Request, Response

# A marked prefix shorter than 1,024 tokens (2,048 or 4,096 with some models) is not kept, and costs nothing.
_CACHED_CHARACTERS = 4096
_EFFORTS = {"minimal": "low"}


class AnthropicModel(ProviderModel):
    """Asks Claude. A system text long enough to be kept in the prompt cache is marked for it."""

    kind: ClassVar[str] = "anthropic"
    keys: ClassVar[tuple[str, ...]] = ("ANTHROPIC_API_KEY",)
    parameters: ClassVar[Mapping[str, str]] = {
        "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "stop_sequences": "stop",
    }  # fmt: skip
    unknown: ClassVar[Mapping[str, str]] = {"seed": "Anthropic's API does not know it"}

    def __init__(self, name: str, options: ModelOptions) -> None:
        super().__init__(name, options)
        if "max_tokens" in options.drop:
            raise SpecError("Anthropic's API cannot do without max_tokens.", "Leave it out of --drop.")

    async def start(self) -> None:
        try:
            from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
        except ImportError:
            raise needs("Anthropic", "anthropic") from None
        key, address = self.key(), self.options.base_url
        headers = self.headers(key)
        self._client = AsyncAnthropic(
            api_key=key or "none",
            base_url=address and address.rstrip("/").removesuffix("/v1"),
            max_retries=0,
            timeout=self.options.timeout_s,
            default_headers=headers,
            # Keys do not follow a server that sends calls elsewhere.
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def fields(self, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        system, turns = conversation(request)
        body: dict[str, Any] = {
            "model": self.name,
            "max_tokens": decoding.max_tokens,
            "messages": turns,
            "temperature": decoding.temperature,
        }
        if len(system) >= _CACHED_CHARACTERS:
            body["system"] = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
        elif system:
            body["system"] = system
        body |= decoding.cuts()
        if decoding.stop:
            body["stop_sequences"] = list(decoding.stop)
        effort = decoding.reasoning_effort
        if effort == "none":
            body["thinking"] = {"type": "disabled"}
        elif effort is not None and self.budgeted in self._adjusted:
            budget = self.budget(effort, decoding.max_tokens)
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        elif effort is not None:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
            body["output_config"] = {"effort": _EFFORTS.get(effort, effort)}
        return body

    def learns(self, said: Complaint, sent: Mapping[str, Any]) -> bool:
        # Models from before the effort take a number of tokens.
        if "output_config" in sent and said.about(("adaptive", "thinking", "output_config", "effort")):
            return self.adjusts(self.budgeted, said)
        return super().learns(said, sent)

    async def send(self, sent: Mapping[str, Any]) -> Reply:
        first = ("model", "messages", "max_tokens")
        return await self._reply(
            lambda: self._client.messages.with_raw_response.create(
                **{key: sent[key] for key in first},
                extra_body={key: value for key, value in sent.items() if key not in first},
            )
        )

    async def _reply(self, call: Callable[[], Awaitable[Any]]) -> Reply:
        """What came of a call whose answer is left unread: one that is no JSON, or has a field more, is ours to judge.

        Raises:
            RetryableError: another attempt may succeed.
        """
        from anthropic import APIConnectionError, APIStatusError

        try:
            response = (await call()).http_response
        except APIStatusError as error:
            response = error.response
        except APIConnectionError as error:
            raise lost(error, self.options.timeout_s) from None
        return self._attempts.reply(response.status_code, response.content, response.headers.get("retry-after"))

    def read(self, body: object, latency_s: float) -> Response:
        return read(body, latency_s)


def read(body: object, latency_s: float) -> Response:
    """A decoded message as a response.

    Raises:
        RetryableError: it is not what the API promises: blocks of content, and why they end.
    """
    if not isinstance(body, dict) or not isinstance(body.get("content"), list) or not body.get("stop_reason"):
        category = declined_in(body)
        if category is None:
            raise RetryableError("the answer has no content")
        return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category)
    blocks = objects(body["content"])
    finish_reason, category = ending(body["stop_reason"])
    if finish_reason == CONTENT_FILTER:
        category = word(member(body, "stop_details").get("category")) or category
    usage = member(body, "usage")
    cached = count(usage.get("cache_read_input_tokens"))
    prompt = [usage.get("input_tokens"), cached, usage.get("cache_creation_input_tokens")]
    return Response(
        "".join(text(b.get("text")) for b in blocks if b.get("type") == "text"),
        finish_reason=finish_reason,
        prompt_tokens=None if count(prompt[0]) is None else sum(count(n) or 0 for n in prompt),
        completion_tokens=count(usage.get("output_tokens")),
        latency_s=latency_s,
        model=str(body.get("model", "")),
        reasoning="\n\n".join(t for b in blocks if b.get("type") == "thinking" and (t := text(b.get("thinking")))),
        reasoning_tokens=count(member(usage, "output_tokens_details").get("thinking_tokens")),
        cached_tokens=cached,
        filtered=category,
    )


@MODELS.register("anthropic", extra="anthropic")
def anthropic_model(name: str, options: ModelOptions) -> Model:
    """``anthropic:NAME``: Anthropic's Messages API (extra ``anthropic``)."""
    return AnthropicModel(name, options)

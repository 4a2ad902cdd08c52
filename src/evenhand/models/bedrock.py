"""Amazon Bedrock's Converse API, through an asynchronous build of Amazon's own library."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from evenhand.errors import ModelError, one_line
from evenhand.models.base import MODELS, Model, ModelOptions
from evenhand.models.complaints import Complaint
from evenhand.models.endings import CONTENT_FILTER, declined_in, ending
from evenhand.models.fields import count, member, objects, text
from evenhand.models.http import Reply, RetryableError
from evenhand.models.provider import ProviderModel, conversation, lost, needs
from evenhand.types import Request, Response

_INFERENCE = ("temperature", "topP", "maxTokens", "stopSequences")
_OF_THE_MODEL = ("top_k", "thinking")
_CACHED_CHARACTERS = 4096
# What Converse calls an answer that Bedrock's filters declined.
_DECLINED = ("guardrail_intervened", "content_filtered")
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")


class BedrockModel(ProviderModel):
    """Asks a model on Bedrock. Credentials and region are Amazon's usual ones (environment, profile, role)."""

    kind: ClassVar[str] = "bedrock"
    keys: ClassVar[tuple[str, ...]] = ("AWS_ACCESS_KEY_ID",)
    parameters: ClassVar[Mapping[str, str]] = {
        "temperature": "temperature", "topP": "top_p", "top_k": "top_k", "stopSequences": "stop",
        "maxTokens": "max_tokens",
    }  # fmt: skip
    unknown: ClassVar[Mapping[str, str]] = {"seed": "the Converse API does not know it"}

    def __init__(self, name: str, options: ModelOptions) -> None:
        super().__init__(name, options)
        self._open = contextlib.AsyncExitStack()

    async def start(self) -> None:
        try:
            from aiobotocore.config import AioConfig
            from aiobotocore.session import get_session
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise needs("Bedrock", "bedrock") from None
        headers = self.headers(*(os.environ.get(name, "") for name in _SECRETS))
        config = AioConfig(
            connect_timeout=self.options.timeout_s,
            read_timeout=self.options.timeout_s,
            max_pool_connections=self.concurrency,
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        try:
            session = get_session()
            client = session.create_client("bedrock-runtime", endpoint_url=self.options.base_url, config=config)
            self._client = await self._open.enter_async_context(client)
        except BotoCoreError as error:
            raise self._unusable(error) from None

        def add_headers(request: Any, **_: Any) -> None:
            for name, value in headers.items():
                request.headers[name] = value

        self._client.meta.events.register("before-sign.bedrock-runtime.Converse", add_headers)

    async def aclose(self) -> None:
        await self._open.aclose()
        self._client = None

    def _unusable(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self.id} cannot be used: {one_line(str(error))}",
            "Set AWS_REGION and credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ...).",
        )

    def fields(self, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        system, turns = conversation(request)
        body: dict[str, Any] = {
            "modelId": self.name,
            "messages": [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns],
            "temperature": decoding.temperature,
            "maxTokens": decoding.max_tokens,
        }
        if system:
            body["system"] = [{"text": system}]
            if len(system) >= _CACHED_CHARACTERS and "cache" not in self._adjusted:
                body["system"].append({"cachePoint": {"type": "default"}})
        if decoding.top_p < 1:
            body["topP"] = decoding.top_p
        if decoding.top_k > 0:
            body["top_k"] = decoding.top_k
        if decoding.stop:
            body["stopSequences"] = list(decoding.stop)
        return body | self._thinking(decoding.reasoning_effort, decoding.max_tokens)

    def _thinking(self, effort: str | None, max_tokens: int) -> dict[str, Any]:
        if effort is None:
            return {}
        is_claude = "anthropic" in self.name
        if effort == "none":
            if not is_claude:
                raise ModelError(f"{self.id} has no way to switch thinking off.", "Leave out --reasoning-effort.")
            return {"thinking": {"type": "disabled"}}
        if is_claude and self.budgeted in self._adjusted:
            return {"thinking": {"type": "enabled", "budget_tokens": self.budget(effort, max_tokens)}}
        asked: dict[str, Any] = {"outputConfig": {"effort": "low" if effort == "minimal" else effort}}
        return asked | ({"thinking": {"type": "adaptive", "display": "summarized"}} if is_claude else {})

    def learns(self, said: Complaint, sent: Mapping[str, Any]) -> bool:
        if "cachePoint" in str(sent.get("system")) and said.about(("cachePoint", "cache_point", "caching", "cache")):
            return self.adjusts("cache", said)
        effort = ("adaptive", "thinking", "output_config", "outputConfig", "effort")
        # Models from before the effort take a number of tokens.
        if "outputConfig" in sent and "thinking" in sent and said.about(effort):
            return self.adjusts(self.budgeted, said)
        return super().learns(said, sent)

    async def send(self, sent: Mapping[str, Any]) -> Reply:
        from botocore import exceptions, parsers

        call = {key: value for key, value in sent.items() if key not in (*_INFERENCE, *_OF_THE_MODEL)}
        for field, names in (("inferenceConfig", _INFERENCE), ("additionalModelRequestFields", _OF_THE_MODEL)):
            if given := {name: sent[name] for name in names if name in sent}:
                call[field] = given | call.get(field, {})
        try:
            answer = await self._client.converse(**call)
        except exceptions.ClientError as error:
            reply = error.response.get("ResponseMetadata", {})
            said = error.response.get("Error", {})
            raw = orjson.dumps({"error": {"message": said.get("Message", ""), "code": said.get("Code", "")}})
            header = reply.get("HTTPHeaders", {}).get("retry-after")
            return self._attempts.reply(reply.get("HTTPStatusCode", 500), raw, header)
        except parsers.ResponseParserError:
            raise RetryableError("the answer is not valid JSON") from None
        except (AttributeError, LookupError, TypeError, ValueError):  # the library's reader, of another kind of value
            raise RetryableError("the answer is not what the Converse API promises") from None
        except (
            exceptions.ParamValidationError,
            exceptions.NoCredentialsError,
            exceptions.UnauthorizedSSOTokenError,
        ) as e:
            raise self._unusable(e) from None
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            raise lost(error, self.options.timeout_s) from None
        except exceptions.BotoCoreError as error:
            raise self._unusable(error) from None
        answer.pop("ResponseMetadata", None)
        return self._attempts.reply(200, orjson.dumps(answer, default=_shown), None)

    def is_fatal(self, said: Complaint) -> bool:
        return "model identifier is invalid" in said.message

    def read(self, body: object, latency_s: float) -> Response:
        return read(body, latency_s, self.name)


def _shown(value: object) -> str:
    """What JSON has no form for (encrypted thoughts)."""
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)


def read(body: object, latency_s: float, model: str) -> Response:
    """An answer of Converse as a response.

    Raises:
        RetryableError: it is not what the API promises: a message, and why it ends.
    """
    found = body if isinstance(body, dict) else {}
    message = member(found, "output", "message")
    said = found.get("stopReason")
    if not said or not isinstance(message.get("content"), list):
        category = declined_in(body)
        if category is None and said not in _DECLINED:
            raise RetryableError("the answer has no message")
        return Response("", CONTENT_FILTER, latency_s=latency_s, filtered=category or str(said))
    blocks = objects(message["content"])
    thoughts = [text(member(block, "reasoningContent", "reasoningText").get("text")) for block in blocks]
    finish_reason, category = (CONTENT_FILTER, str(said)) if said in _DECLINED else ending(said)
    usage = member(found, "usage")
    cached = count(usage.get("cacheReadInputTokens"))
    prompt = [usage.get("inputTokens"), cached, usage.get("cacheWriteInputTokens")]
    return Response(
        "".join(text(block.get("text")) for block in blocks),
        finish_reason=finish_reason,
        prompt_tokens=None if count(prompt[0]) is None else sum(count(n) or 0 for n in prompt),
        completion_tokens=count(usage.get("outputTokens")),
        latency_s=latency_s,
        model=model,
        reasoning="\n\n".join(t for t in thoughts if t),
        cached_tokens=cached,
        filtered=category,
    )


@MODELS.register("bedrock", extra="bedrock")
def bedrock_model(name: str, options: ModelOptions) -> Model:
    """``bedrock:MODEL_ID``: Amazon Bedrock's Converse API (extra ``bedrock``)."""
    return BedrockModel(name, options)

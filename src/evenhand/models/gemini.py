"""Google's Gemini API, through its own library."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from evenhand.models.base import MODELS, Model, ModelOptions
from evenhand.models.complaints import Complaint
from evenhand.models.endings import CONTENT_FILTER, declined_in, ending
from evenhand.models.fields import count, member, objects, text
from evenhand.models.http import Reply, RetryableError
from evenhand.models.provider import ProviderModel, conversation, lost, needs
from evenhand.types import Request, Response

_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH"}
_BLOCKED = re.compile(r"(?:IMAGE_)?(?:SAFETY|PROHIBITED_CONTENT|RECITATION)|MODEL_ARMOR|JAILBREAK|BLOCKLIST|SPII")
_CONFIGURED = ("temperature", "top_p", "top_k", "max_output_tokens", "stop_sequences", "seed", "thinking_config")


class GeminiModel(ProviderModel):
    """Asks Gemini. What its filters block, in the question or the answer, is an answer that was filtered."""

    kind: ClassVar[str] = "gemini"
    keys: ClassVar[tuple[str, ...]] = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    parameters: ClassVar[Mapping[str, str]] = {
        "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "stop_sequences": "stop", "seed": "seed",
        "max_output_tokens": "max_tokens",
    }  # fmt: skip

    async def start(self) -> None:
        try:
            from google import genai
            from google.genai import types
        except ImportError:
            raise needs("Google", "google") from None
        key, address = self.key(), self.options.base_url
        headers = self.headers(key)
        self._client = genai.Client(
            api_key=key or "none",
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=address and address.rstrip("/").removesuffix("/v1beta").removesuffix("/v1"),
                timeout=round(1000 * self.options.timeout_s),
                headers=headers,
                # Keys do not follow a server that sends calls elsewhere.
                async_client_args={"follow_redirects": False},
                # Without this the library asks a second time when a connection breaks.
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aio.aclose()
            self._client = None

    def fields(self, request: Request) -> dict[str, Any]:
        decoding = request.decoding
        system, turns = conversation(request)
        roles = {"user": "user", "assistant": "model"}
        body: dict[str, Any] = {
            "contents": [{"role": roles[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns],
            "temperature": decoding.temperature,
            "max_output_tokens": decoding.max_tokens,
            "seed": request.seed,
        }
        if system:
            body["system_instruction"] = system
        body |= decoding.cuts()
        if decoding.stop:
            body["stop_sequences"] = list(decoding.stop)
        effort = decoding.reasoning_effort
        if effort == "none":
            body["thinking_config"] = {"thinking_budget": 0}
        elif effort is not None and self.budgeted in self._adjusted:
            budget = self.budget(effort, decoding.max_tokens)
            body["thinking_config"] = {"thinking_budget": budget, "include_thoughts": True}
        elif effort is not None:
            body["thinking_config"] = {"thinking_level": _LEVELS[effort], "include_thoughts": True}
        return body

    def learns(self, said: Complaint, sent: Mapping[str, Any]) -> bool:
        # Models from before the level take a number of tokens.
        if "thinking_level" in sent.get("thinking_config", ()) and said.about(("thinking_level", "thinking_config")):
            return self.adjusts(self.budgeted, said)
        return super().learns(said, sent)

    async def send(self, sent: Mapping[str, Any]) -> Reply:
        from google.genai import errors, types

        config = types.GenerateContentConfig(
            **{key: sent[key] for key in (*_CONFIGURED, "system_instruction") if key in sent},
            should_return_http_response=True,
        )
        if self.options.extra_body:
            config.http_options = types.HttpOptions(extra_body=dict(self.options.extra_body))
        try:
            reply = await self._client.aio.models.generate_content(
                model=self.name, contents=sent["contents"], config=config
            )
        except errors.APIError as error:
            return self._attempts.reply(error.code, _body(error), _retry_after(error))
        except _connection_errors() as error:
            raise lost(error, self.options.timeout_s) from None
        except ValueError:
            raise RetryableError("the answer is not valid JSON") from None
        return self._attempts.reply(200, (reply.sdk_http_response.body or "").encode(errors="replace"), None)

    def is_fatal(self, said: Complaint) -> bool:
        # A wrong key comes with status 400.
        return "api key not valid" in said.message.lower() or "API_KEY_INVALID" in said.text

    def read(self, body: object, latency_s: float) -> Response:
        return read(body, latency_s)


def _connection_errors() -> tuple[type[Exception], ...]:
    """What the library's transports raise: aiohttp, or the httpx that its version brings."""
    import aiohttp

    brought = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return (aiohttp.ClientError, TimeoutError, *(module.HTTPError for module in brought if module is not None))


def _body(error: Any) -> bytes:
    """What the server said, in the shape of its own errors."""
    details = error.details
    return orjson.dumps(details if isinstance(details, dict) and "error" in details else {"error": details})


def _retry_after(error: Any) -> str | None:
    """Seconds to wait: the header's, or those that Google's own errors name ("34s")."""
    header = getattr(error.response, "headers", {}).get("Retry-After")
    if header is not None:
        return str(header)
    named = re.search(r"'retryDelay': '([0-9.]+)s'", str(error.details))
    return named[1] if named else None


def read(body: object, latency_s: float) -> Response:
    """A decoded answer as a response.

    Raises:
        RetryableError: it is not what the API promises: a candidate, or why the question was blocked.
    """
    found = body if isinstance(body, dict) else {}
    usage = member(found, "usageMetadata")
    thought = count(usage.get("thoughtsTokenCount"))
    written = count(usage.get("candidatesTokenCount"))
    common: dict[str, Any] = {
        "prompt_tokens": count(usage.get("promptTokenCount")),
        "completion_tokens": None if thought is None and written is None else (thought or 0) + (written or 0),
        "latency_s": latency_s,
        "model": str(found.get("modelVersion", "")),
        "reasoning_tokens": thought,
        "cached_tokens": count(usage.get("cachedContentTokenCount")),
    }
    feedback = member(found, "promptFeedback")
    if feedback.get("blockReason"):
        category = _blocked_for(feedback) or str(feedback["blockReason"]).lower()
        return Response("", CONTENT_FILTER, filtered=category, **common)
    candidates = objects(found.get("candidates"))
    if not candidates:
        declined = declined_in(body) if "error" in found else None
        if declined is None:
            raise RetryableError("the answer has no candidates")
        return Response("", CONTENT_FILTER, filtered=declined, **common)
    candidate = candidates[0]
    said = candidate.get("finishReason")
    parts = objects(member(candidate, "content").get("parts"))
    if not said and not parts:
        raise RetryableError("the answer has neither a text nor a reason why it ended")
    finish_reason, category = ending(said)
    if finish_reason == CONTENT_FILTER or _BLOCKED.fullmatch(str(said)):
        finish_reason, category = CONTENT_FILTER, _blocked_for(candidate) or str(said).lower()
    return Response(
        "".join(text(part.get("text")) for part in parts if not part.get("thought")),
        finish_reason=finish_reason,
        reasoning="".join(text(part.get("text")) for part in parts if part.get("thought")),
        filtered=category,
        **common,
    )


def _blocked_for(rated: Mapping[str, Any]) -> str:
    """The categories that block a question or an answer, "" where none is named."""
    ratings = [rating for rating in objects(rated.get("safetyRatings")) if rating.get("blocked")]
    named = (str(r.get("category", "")).removeprefix("HARM_CATEGORY_").lower() for r in ratings)
    return ", ".join(dict.fromkeys(name for name in named if name))


@MODELS.register("gemini", extra="google")
def gemini_model(name: str, options: ModelOptions) -> Model:
    """``gemini:NAME``: Google's Gemini API (extra ``google``)."""
    return GeminiModel(name, options)

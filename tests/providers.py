"""Loopback servers that behave as providers do, for their real libraries."""

from __future__ import annotations

import json
import os
from typing import Any

from aiohttp import web

from tests.server import Server, default_answer

KEY = "planted-4c1f9be07d52"
KEYS = {
    "ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": KEY, "AZURE_OPENAI_API_KEY": KEY, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": KEY, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


def drawn(text: str) -> str:
    """What the stand-in answers to a conversation, whatever API it came through."""
    return default_answer({"messages": text})


def plain(payload: dict[str, Any]) -> str:
    """All texts of a call, in order."""
    return drawn(json.dumps([payload.get(key) for key in ("system", "systemInstruction", "messages", "contents")]))


class ProviderServer(Server):
    """Answers a provider's calls. ``said`` takes the place of every answer, as the provider's own JSON."""

    kind = ""
    name = "m"

    def __init__(self, said: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(answer=plain, **more)
        self.said = said

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def reference(self) -> str:
        return f"{self.kind}:{self.name}"

    def shape(self, text: str, payload: dict[str, Any]) -> dict[str, Any]:
        return self.said if self.said is not None else self.own(text)

    def own(self, text: str) -> dict[str, Any]:
        """An answer of one text."""
        raise NotImplementedError

    def error(self, status: int, message: str, **headers: str) -> web.Response:
        """An error in the provider's shape."""
        raise NotImplementedError


class AnthropicServer(ProviderServer):
    kind = "anthropic"

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/messages", self._handle)

    def own(self, text: str) -> dict[str, Any]:
        return anthropic_message([{"type": "text", "text": text}])

    def error(self, status: int, message: str, **headers: str) -> web.Response:
        body = {"type": "error", "error": {"type": "some_error", "message": message}}
        return web.json_response(body, status=status, headers=headers)


def anthropic_message(content: list[dict[str, Any]], stop_reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-2026", "content": content,
        "stop_reason": stop_reason, "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 7, **usage},
    }  # fmt: skip


class GeminiServer(ProviderServer):
    kind = "gemini"

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/models/m:generateContent", self._handle)

    def own(self, text: str) -> dict[str, Any]:
        return gemini_answer([{"text": text}])

    def error(self, status: int, message: str, **headers: str) -> web.Response:
        body = {"error": {"code": status, "message": message, "status": "SOME_STATUS"}}
        return web.json_response(body, status=status, headers=headers)


def gemini_answer(parts: list[dict[str, Any]], finish: str = "STOP", **usage: int) -> dict[str, Any]:
    return {
        "candidates": [{"index": 0, "finishReason": finish, "content": {"role": "model", "parts": parts}}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, **usage}, "modelVersion": "m-2026",
    }  # fmt: skip


class BedrockServer(ProviderServer):
    kind = "bedrock"
    name = "anthropic.m-v1:0"

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/model/{model}/converse", self._handle)

    def own(self, text: str) -> dict[str, Any]:
        return bedrock_answer([{"text": text}])

    def error(self, status: int, message: str, **headers: str) -> web.Response:
        headers["x-amzn-ErrorType"] = "SomeException"
        return web.json_response({"message": message}, status=status, headers=headers)


def bedrock_answer(content: list[dict[str, Any]], stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop_reason,
        "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18, **usage}, "metrics": {"latencyMs": 5},
    }  # fmt: skip


class AzureServer(ProviderServer):
    kind = "azure"

    def __init__(self, said: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(said, **more)
        self.addresses: list[str] = []

    def add_routes(self, app: web.Application) -> None:
        @web.middleware
        async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
            self.addresses.append(str(request.rel_url))
            found: web.StreamResponse = await handler(request)
            return found

        app.middlewares.append(noting)
        for root in ("/openai/deployments/m", "/openai/v1"):
            app.router.add_post(f"{root}/chat/completions", self._handle)

    def own(self, text: str) -> dict[str, Any]:
        return azure_answer(text)

    def error(self, status: int, message: str, **headers: str) -> web.Response:
        return web.json_response({"error": {"code": "x", "message": message}}, status=status, headers=headers)


def azure_answer(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "x", "object": "chat.completion", "created": 1, "model": "m-2026",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }  # fmt: skip


SERVERS: dict[str, type[ProviderServer]] = {
    "anthropic": AnthropicServer, "gemini": GeminiServer, "bedrock": BedrockServer, "azure": AzureServer,
}  # fmt: skip
MODULES = {"anthropic": "anthropic", "gemini": "google.genai", "bedrock": "aiobotocore", "azure": "aiohttp"}


def environment() -> dict[str, str]:
    """With a key for everybody, and nobody's own profile."""
    return {**KEYS, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

"""Loopback servers that behave as providers do, for their real libraries."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
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


class AnthropicBatchServer(AnthropicServer):
    """Batches are over after they were looked at ``patience`` times."""

    kind = "anthropic-batch"

    def __init__(self, patience: int = 1, broken: str = "") -> None:
        super().__init__()
        self.patience, self.broken = patience, broken
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, list[dict[str, Any]]] = {}
        self.looked: dict[str, int] = {}
        self.results: dict[str, str] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/messages/batches", self._make)
        app.router.add_get("/v1/messages/batches", self._list)
        app.router.add_get("/v1/messages/batches/{batch}", self._look)
        app.router.add_get("/v1/messages/batches/{batch}/results", self._results)

    async def _make(self, request: web.Request) -> web.Response:
        wanted = (await request.json())["requests"]
        name = f"msgbatch_{len(self.batches)}"
        now = datetime.now(UTC)
        self.asked[name] = wanted
        counts = {"processing": len(wanted), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        self.batches[name] = {
            "id": name, "type": "message_batch", "processing_status": "in_progress", "request_counts": counts,
            "created_at": now.isoformat(), "expires_at": (now + timedelta(days=1)).isoformat(), "ended_at": None,
            "archived_at": None, "cancel_initiated_at": None, "results_url": None,
        }  # fmt: skip
        if self.broken == "after making":
            self.broken = ""
            assert request.transport is not None
            request.transport.close()
        return web.json_response(self.batches[name])

    async def _list(self, request: web.Request) -> web.Response:
        newest_first = list(reversed(self.batches.values()))
        return web.json_response({"data": newest_first, "has_more": False, "first_id": None, "last_id": None})

    async def _look(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["batch"]]
        self.looked[batch["id"]] = self.looked.get(batch["id"], 0) + 1
        if self.looked[batch["id"]] >= self.patience and not batch["results_url"]:
            self.calls += batch["request_counts"]["processing"]
            batch["results_url"] = f"{self.url}/v1/messages/batches/{batch['id']}/results"
            batch["processing_status"] = "ended"
        return web.json_response(batch)

    async def _results(self, request: web.Request) -> web.Response:
        name = request.match_info["batch"]
        if name not in self.results:
            self.results[name] = self._work(name)
        return web.Response(text=self.results[name], content_type="application/x-jsonl")

    def _work(self, name: str) -> str:
        rows = []
        for n, row in enumerate(self.asked[name]):
            result: dict[str, Any] = {"type": "succeeded", "message": self.own(plain(row["params"]))}
            if self.broken == "every third" and n % 3 == 0:
                error = {"type": "invalid_request_error", "message": "no luck"}
                result = {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}
            elif self.broken == "some expire" and n % 3 == 0:
                result = {"type": "expired"}
            elif self.broken == "temperature" and "temperature" in row["params"]:
                error = {"type": "invalid_request_error", "message": "temperature is deprecated for this model"}
                result = {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}
            rows.append({"custom_id": row["custom_id"], "result": result})
        if self.broken != "temperature":
            self.broken = ""
        return "\n".join(map(json.dumps, reversed(rows)))  # in another order than asked


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

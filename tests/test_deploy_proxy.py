"""The proxy before real clients, and before endpoints that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI, OpenAI
from typer.testing import CliRunner

from evenhand.cli.main import app
from evenhand.errors import EvenhandError
from evenhand.models import CallError, Model, make_model
from evenhand.types import Request, Response
from tests.proxies import Running, before, serving
from tests.server import Handler, Server, completion
from tests.tiny import tiny_llama

KEY = "sk-planted-91c04e77aa"
TOLD = "You are a helpful assistant. I am a minor."
ASKED: Any = [{"role": "system", "content": TOLD}, {"role": "user", "content": "What is 2+2?"}]
NEUTRAL = [{"role": "system", "content": "You are a helpful assistant."}, ASKED[1]]
TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}


def client(proxy: Running, key: str = KEY, **more: Any) -> OpenAI:
    return OpenAI(base_url=proxy.url, api_key=key, max_retries=0, **more)


def raw(proxy: Running, body: bytes, path: str = "/chat/completions", **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of a POST."""
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(proxy.url + path, data=body, headers=sent, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": ASKED, **fields}).encode()


def answers_with(**more: Any) -> Handler:
    """An answer with other fields of its choice and message."""

    async def handler(request: web.Request) -> web.StreamResponse:
        found = completion("Four.", await request.json())
        message = found["choices"][0]["message"] | more.get("message", {})
        found["choices"][0] |= {**more, "message": message}
        return web.json_response(found)

    return handler


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    found = {
        "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def until_left(left: threading.Semaphore) -> Handler:
    """Answers nothing, and tells when nobody waits any more."""

    async def handler(request: web.Request) -> web.StreamResponse:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        left.release()
        return web.Response()

    return handler


async def begin_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


# ---------------------------------------------------------------- the OpenAI SDK


def test_the_sdk_is_answered_and_the_endpoint_is_sent_the_mitigated_conversation(server: Server) -> None:
    with before(server.url, "neutralize") as proxy:
        reply = client(proxy).chat.completions.with_raw_response.create(
            model="m",
            messages=ASKED,
            seed=3,
            extra_body={"odd_field": {"deep": [1, None]}},
            extra_headers={"X-Own": "1"},
        )
    assert reply.headers["x-evenhand-acted"] == "yes"
    assert reply.headers["x-evenhand-mitigation"] == "mitigated"
    assert reply.parse().choices[0].message.content == server.answer({"messages": NEUTRAL})
    assert reply.parse().usage.total_tokens == 18  # type: ignore[union-attr]
    assert server.payloads == [{"messages": NEUTRAL, "model": "m", "seed": 3, "odd_field": {"deep": [1, None]}}]
    sent = {name.lower(): value for name, value in server.headers[0].items()}
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["x-own"] == "1"
    assert "host" not in sent or str(server.port) in sent["host"]


def test_a_body_that_needs_nothing_is_sent_byte_for_byte(server: Server) -> None:
    heard: list[bytes] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        heard.append(await request.read())
        return web.json_response(completion("Yes.", {"model": "m"}))

    server.fault = lambda *_: keep
    sent = (
        b'{ "messages":[{"content":"1.0  2\\u00e9", "role":"user"}],  "model":"m", "x": 1e2, "y": 12345678901234567 }'
    )
    with before(server.url, "neutralize") as proxy:
        status, headers, _ = raw(proxy, sent)
        assert (status, headers["x-evenhand-acted"], heard) == (200, "no", [sent])


async def test_a_stream_comes_as_it_is_made(server: Server) -> None:
    first_seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = await begin_stream(request)
        await response.write(chunk({"role": "assistant", "content": "Fo"}))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(first_seen.wait(), loop))
        await response.write(chunk({"content": "ur."}) + chunk({}, "stop") + b"data: [DONE]\n\n")
        return response

    server.fault = lambda *_: slow
    with before(server.url, "neutralize") as proxy:
        async with AsyncOpenAI(base_url=proxy.url, api_key=KEY) as sdk:
            stream = await sdk.chat.completions.create(model="m", messages=ASKED, stream=True)
            pieces = []
            async for event in stream:
                pieces.append(event.choices[0].delta.content)
                first_seen.set()  # only what has come lets the rest be made
    assert pieces == ["Fo", "ur.", None]
    assert server.payloads[0]["stream"] is True


@pytest.mark.parametrize("mitigation", ["neutralize", "self-check"])
def test_tools_formats_and_logprobs_pass_through(server: Server, mitigation: str) -> None:
    call = answers_with(finish_reason="tool_calls", message={"content": None, "tool_calls": [CALL]})
    server.fault = lambda *_: call
    asked = {"tools": [TOOL], "tool_choice": "auto", "response_format": {"type": "json_object"}, "logprobs": True}
    with before(server.url, mitigation) as proxy:
        sdk = client(proxy)
        reply = sdk.chat.completions.create(model="m", messages=ASKED, **asked)  # type: ignore[call-overload]
        assert reply.choices[0].message.tool_calls[0].function.arguments == '{"a": 2}'
        assert {name: server.payloads[0][name] for name in asked} == asked
        with sdk.chat.completions.stream(model="m", messages=ASKED, tools=[TOOL]) as stream:
            final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls[0].function.name == "add"  # type: ignore[index]
    assert server.calls == 2  # a call of a tool is nothing to look at again


def test_one_that_asks_several_times_adds_up_and_streams_its_final_answer(server: Server) -> None:
    server.answer = lambda payload: "Second." if "Would your answer" in str(payload) else "First."
    with before(server.url, "self-check") as proxy:
        reply = client(proxy).chat.completions.with_raw_response.create(model="m", messages=ASKED, n=2, seed=5)
        found = reply.parse()
        assert [(c.index, c.message.content) for c in found.choices] == [(0, "Second."), (1, "Second.")]
        assert found.usage.model_dump(exclude_none=True) == {  # type: ignore[union-attr]
            "prompt_tokens": 44, "completion_tokens": 28, "total_tokens": 72,
        }  # fmt: skip
        assert (reply.headers["x-evenhand-calls"], reply.headers["x-evenhand-acted"]) == ("4", "yes")
        assert sorted(p["seed"] for p in server.payloads) == [5, 5, 6, 6]
        assert not any({"n", "stream"} & set(p) for p in server.payloads)
        with client(proxy).chat.completions.create(
            model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
        ) as stream:
            events = list(stream)
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "Second."
    assert events[-1].usage.total_tokens == 36  # type: ignore[union-attr]
    assert [e.choices[0].finish_reason for e in events if e.choices] == [None, "stop"]


def test_counts_that_one_call_does_not_tell_are_not_told(server: Server) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        found = completion("First.", await request.json())
        del found["usage"]
        return web.json_response(found)

    server.fault = lambda number, _: silent if number == 1 else None
    with before(server.url, "self-check") as proxy:
        assert client(proxy).chat.completions.create(model="m", messages=ASKED).usage is None


def test_pictures_and_tools_go_with_every_call_but_not_with_questions_of_its_own(server: Server) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = [ASKED[0], {"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}]
    with before(server.url, "neutralize-llm") as proxy:
        client(proxy).chat.completions.create(model="m", messages=asked, tools=[TOOL])  # type: ignore[arg-type]
    verdict, answer = server.payloads
    assert set(verdict) == {"model", "messages", "max_tokens", "temperature"}
    assert answer["tools"] == [TOOL]
    assert answer["messages"] == [NEUTRAL[0], asked[1]]
    server.payloads.clear()
    with before(server.url, "two-pass") as proxy:
        client(proxy).chat.completions.create(model="m", messages=asked, tools=[TOOL])  # type: ignore[arg-type]
    assert [p["messages"][1]["content"][0] for p in server.payloads] == [picture, picture]


def test_phrases_of_the_client_are_known_and_go_no_further(server: Server) -> None:
    asked = [{"role": "system", "content": "Help. Customer: widower of York."}, ASKED[1]]
    told = {"X-Evenhand-Told": json.dumps(["widower of York."])}
    for mitigation in ("neutralize", "two-pass"):
        server.payloads.clear()
        server.headers.clear()
        with before(server.url, mitigation) as proxy:
            reply = client(proxy).chat.completions.with_raw_response.create(
                model="m", messages=asked, extra_headers=told  # type: ignore[arg-type]
            )  # fmt: skip
            assert reply.headers["x-evenhand-acted"] == "yes"
            assert server.payloads[0]["messages"][0]["content"] == "Help. Customer:"
            assert not any(name.lower().startswith("x-evenhand") for headers in server.headers for name in headers)
            assert raw(proxy, body(), **{"X-Evenhand-Told": "a minor"})[0] == 400
            # One client's phrases are not the next one's.
            reply = client(proxy).chat.completions.with_raw_response.create(model="m", messages=asked)  # type: ignore[arg-type]
            assert reply.headers["x-evenhand-acted"] == "no"


def test_strict_sends_nothing_unmitigated(server: Server) -> None:
    plain: Any = [{"role": "user", "content": "What is 2+2?"}]
    with before(server.url, "neutralize", strict=True) as proxy:
        with pytest.raises(openai.UnprocessableEntityError, match="nothing goes unmitigated"):
            client(proxy).chat.completions.create(model="m", messages=plain)
        assert server.calls == 0
        assert client(proxy).chat.completions.create(model="m", messages=ASKED).choices
    with before(server.url, "two-pass", strict=True) as proxy, pytest.raises(openai.UnprocessableEntityError):
        client(proxy).chat.completions.create(model="m", messages=plain)


def test_models_are_the_endpoints(server: Server) -> None:
    class Listing(Server):
        def add_routes(self, app: web.Application) -> None:
            super().add_routes(app)
            listed = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}]}

            async def models(_: web.Request) -> web.Response:
                return web.json_response(listed)

            app.router.add_get("/v1/models", models)

    with Listing() as endpoint, before(endpoint.url, "neutralize") as proxy:
        assert [model.id for model in client(proxy).models.list()] == ["m"]
        with pytest.raises(openai.NotFoundError):
            client(proxy).models.retrieve("other")
        health = json.load(urllib.request.urlopen(proxy.url.removesuffix("v1") + "healthz"))
        assert health["status"] == "ok"
        assert health["requests"] == 2


# ---------------------------------------------------------------- endpoints that fail


@pytest.mark.parametrize("mitigation", ["neutralize", "self-check"])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_the_endpoint_are_handed_on(server: Server, mitigation: str, stream: bool) -> None:
    said = {"error": {"message": "Slow down.", "type": "rate", "param": None, "code": "rate_limit"}}
    faults: list[web.StreamResponse] = [
        web.json_response(
            said, status=429, headers={"Retry-After": "7", "X-RateLimit-Limit": "9", "Set-Cookie": "a=b"}
        ),
        web.Response(text="<html>broken</html>", status=500),
        web.Response(status=302, headers={"Location": "https://elsewhere.example/?key=1"}),
    ]
    server.fault = lambda number, _: faults[number - 1]
    with before(server.url, mitigation) as proxy:
        status, headers, text = raw(proxy, body(stream=stream))
        assert (status, headers["Retry-After"], headers["X-RateLimit-Limit"]) == (429, "7", "9")
        assert "Set-Cookie" not in headers
        assert json.loads(text) == said
        with pytest.raises(openai.InternalServerError, match="broken"):
            client(proxy).chat.completions.create(model="m", messages=ASKED, stream=stream)
        status, _, text = raw(proxy, body(stream=stream))
        assert status == 502
        assert json.loads(text)["error"]["code"] == "upstream_redirects"
        assert b"key=1" not in text
    assert server.calls == 3


@pytest.mark.parametrize("mitigation", ["neutralize", "self-check"])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (lambda: web.Response(text="{not json", content_type="application/json"), 502, "upstream_malformed"),
        (lambda: web.json_response([1]), 502, "upstream_malformed"),
        (lambda: web.Response(body=b"x" * (9 << 20)), 502, "upstream_malformed"),
        (lambda: "drop", 502, "upstream_connection"),
        (lambda: until_left(threading.Semaphore(0)), 504, "upstream_timeout"),
    ],
)  # fmt: skip
def test_answers_that_are_none(
    server: Server, mitigation: str, fault: Callable[[], Any], status: int, code: str
) -> None:
    server.fault = lambda *_: fault()
    with before(server.url, mitigation, timeout_s=0.5 if code == "upstream_timeout" else 20) as proxy:
        found, _, text = raw(proxy, body())
    assert (found, json.loads(text)["error"]["code"]) == (status, code)
    assert json.loads(text)["error"]["message"]


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with before(address, "neutralize") as proxy:
        status, _, text = raw(proxy, body())
    assert status == 502
    assert b"Nothing listens" in text


def test_a_stream_that_breaks_is_no_whole_answer(server: Server) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = await begin_stream(request)
        await response.write(chunk({"content": "Fo"}))
        assert request.transport is not None
        request.transport.close()
        return response

    server.fault = lambda *_: breaks
    with before(server.url, "neutralize") as proxy:
        stream = client(proxy).chat.completions.create(model="m", messages=ASKED, stream=True)
        assert next(stream).choices[0].delta.content == "Fo"
        with pytest.raises(openai.APIError, match="stream broke"):
            list(stream)


def test_an_endpoint_that_does_not_stream_is_streamed(server: Server) -> None:
    with before(server.url, "neutralize") as proxy:
        events = list(client(proxy).chat.completions.create(model="m", messages=ASKED, stream=True))
    assert events[0].choices[0].delta.content == server.answer({"messages": NEUTRAL})
    assert events[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("mitigation", ["neutralize", "ensemble:4"])
def test_a_client_that_leaves_ends_the_calls_to_the_endpoint(server: Server, mitigation: str) -> None:
    left = threading.Semaphore(0)
    server.fault = lambda *_: until_left(left)
    with before(server.url, mitigation) as proxy:
        with pytest.raises(openai.APITimeoutError):
            client(proxy, timeout=0.5).chat.completions.create(model="m", messages=ASKED)
        calls = server.calls
        assert calls == (2 if "ensemble" in mitigation else 1)  # of four texts two may settle it
        assert all(left.acquire(timeout=10) for _ in range(calls))
        wait_for(lambda: proxy.lines)
        assert " 499 " in proxy.lines[-1]


def test_the_first_failure_of_several_calls_ends_the_others(server: Server) -> None:
    left = threading.Semaphore(0)

    def fault(number: int, _: Any) -> Any:
        return web.json_response({"error": {"message": "no"}}, status=400) if number == 2 else until_left(left)

    server.fault = fault
    with before(server.url, "ensemble:4") as proxy:
        with pytest.raises(openai.BadRequestError):
            client(proxy).chat.completions.create(model="m", messages=ASKED)
        assert left.acquire(timeout=10)


def test_a_client_that_reads_slowly_slows_the_endpoint(server: Server) -> None:
    piece, count = chunk({"content": "x" * 65536}), 1500
    written = [0]

    async def floods(request: web.Request) -> web.StreamResponse:
        response = await begin_stream(request)
        for _ in range(count):
            await response.write(piece)
            written[0] += 1
        return response

    server.fault = lambda *_: floods
    with before(server.url, "neutralize") as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        sent = body(stream=True)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(sent)}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + sent)
        settled = settle(lambda: written[0])
        assert 0 < settled < count / 2
        got = 0
        while part := connection.recv(1 << 20):
            got += len(part)
    assert written[0] == count
    assert got > count * 65536


# ---------------------------------------------------------------- requests that are none


def test_requests_that_are_none(server: Server) -> None:
    with before(server.url, "neutralize", max_body=10_000) as proxy:
        assert raw(proxy, b"{")[0] == 400
        assert raw(proxy, b"[]")[0] == 400
        assert raw(proxy, b'{"messages": "hi"}')[0] == 400
        assert raw(proxy, b'{"messages": [1]}')[0] == 400
        assert raw(proxy, body(), **{"Content-Type": "text/plain"})[0] == 415
        status, _, text = raw(proxy, b"x" * 20_000)
        assert (status, json.loads(text)["error"]["code"]) == (413, "body_too_large")
        for path in ("/responses", "/completions", "/embeddings", "/../healthz", "/chat/completions/x"):
            status, _, text = raw(proxy, body(), path)
            assert status in (404, 405)
            assert "mitigated" in json.loads(text)["error"]["message"]
        with pytest.raises(urllib.error.HTTPError, match="405"):
            urllib.request.urlopen(proxy.url + "/chat/completions")
        assert raw(proxy, body(), Host="evil.example")[0] == 403
        assert raw(proxy, body(), Host="localhost:9")[0] == 200
    assert server.calls == 1
    with before(server.url, "self-check") as proxy:
        assert raw(proxy, body(n=0))[0] == 400
        assert raw(proxy, body(n="2"))[0] == 400
        assert raw(proxy, body(n=10**9))[0] == 400


def test_too_many_at_once_are_told_to_come_back(server: Server) -> None:
    let_go = threading.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        while not let_go.is_set():
            await asyncio.sleep(0.01)
        return web.json_response(completion("Yes.", await request.json()))

    server.fault = lambda *_: waits
    with before(server.url, "neutralize", most_at_once=1) as proxy:
        thread = threading.Thread(target=raw, args=(proxy, body()))
        thread.start()
        wait_for(lambda: server.in_flight)
        status, headers, _ = raw(proxy, body())
        assert (status, headers["Retry-After"]) == (503, "1")
        let_go.set()
        thread.join(10)
        assert raw(proxy, body())[0] == 200


# ---------------------------------------------------------------- keys


def test_whose_key_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "sk-operator-5a5a5a")
    cases: list[tuple[dict[str, Any], str, dict[str, str], str | None]] = [
        ({}, KEY, {}, KEY),
        ({"api_key_env": "OWN_KEY"}, KEY, {}, "sk-operator-5a5a5a"),
        ({"token": "door-1234"}, "door-1234", {}, None),
        ({"token": "door-1234"}, KEY, {"X-Evenhand-Token": "door-1234"}, KEY),
        ({"token": "door-1234", "api_key_env": "OWN_KEY"}, "door-1234", {}, "sk-operator-5a5a5a"),
    ]
    for settings, key, headers, expected in cases:
        server.headers.clear()
        with before(server.url, "neutralize", **settings) as proxy:
            client(proxy, key).chat.completions.create(model="m", messages=ASKED, extra_headers=headers)
        sent = {name.lower(): value for name, value in server.headers[0].items()}
        assert sent.get("authorization") == (f"Bearer {expected}" if expected else None)
        assert "door-1234" not in str(sent)
    calls = server.calls
    with before(server.url, "neutralize", token="door-1234") as proxy:
        with pytest.raises(openai.AuthenticationError, match="asks for its token"):
            client(proxy).chat.completions.create(model="m", messages=ASKED)
        assert raw(proxy, body())[0] == 401
        with pytest.raises(openai.AuthenticationError):
            client(proxy).models.list()
    assert server.calls == calls


def test_keys_and_contents_are_in_no_log_and_no_error(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OWN_KEY", KEY)

    async def quotes(request: web.Request) -> web.StreamResponse:
        assert KEY in request.headers["Authorization"]
        return web.json_response({"error": {"message": f"bad: {dict(request.headers)}"}}, status=401)

    server.fault = lambda *_: quotes
    heard = []
    for settings in ({"api_key_env": "OWN_KEY"}, {}):
        for mitigation in ("neutralize", "self-check"):
            with before(server.url, mitigation, **settings) as proxy:
                heard += [raw(proxy, body(), Authorization=f"Bearer {KEY}")[2]]
                heard += [raw(proxy, body(messages=KEY), f"/{KEY}", Authorization=f"Bearer {KEY}")[2]]
                heard += [raw(proxy, body(stream=True), f"/chat/completions?{KEY}", Authorization=f"Bearer {KEY}")[2]]
                with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
                    connection.sendall(f"GET /{KEY} HTTP/9\r\nA uth: {KEY}\r\n\r\n".encode())
                    connection.recv(10_000)
            heard += [line.encode() for line in proxy.lines]
    assert len(heard) > 20
    assert any(b"[secret]" in text for text in heard)
    said = b"\n".join(heard) + "".join(capfd.readouterr()).encode()
    assert KEY.encode() not in said
    assert b"a minor" not in said
    assert b"2+2" not in said


def test_a_fault_of_our_own_tells_its_kind_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr("evenhand.deploy.backends.read_conversation", broken)
    with before(server.url, "neutralize") as proxy:
        status, _, text = raw(proxy, body())
    assert (status, json.loads(text)["error"]["message"]) == (500, "A fault of this proxy: RuntimeError.")
    assert proxy.lines[-1].endswith("fault=RuntimeError")


# ---------------------------------------------------------------- models that are served here


class Counting(Model):
    """Says what it was asked with."""

    id = "counting"

    async def respond(self, request: Request) -> Response:
        settings = request.decoding
        text = f"{len(request.messages)} {settings.max_tokens} {settings.temperature} {settings.stop} {request.seed}"
        return Response(text, prompt_tokens=5, completion_tokens=2)


def test_a_model_of_our_own_speaks_chat_completions() -> None:
    with serving(Counting(), "self-check") as proxy:
        sdk = client(proxy)
        reply = sdk.chat.completions.create(
            model="any", messages=ASKED, n=2, seed=4, max_completion_tokens=9, temperature=0.5, stop="end", tools=[]
        )
        assert [c.message.content for c in reply.choices] == ["4 9 0.5 ('end',) 4", "4 9 0.5 ('end',) 5"]
        assert reply.usage.total_tokens == 28  # type: ignore[union-attr]
        assert reply.model == "served"
        with sdk.chat.completions.stream(model="any", messages=ASKED, max_tokens=8) as stream:
            assert (stream.get_final_completion().choices[0].message.content or "").startswith("4 8 1.0")
        for refused in ({"tools": [TOOL]}, {"logprobs": True}, {"frequency_penalty": 1}, {"temperature": -1}):
            with pytest.raises(openai.BadRequestError):
                sdk.chat.completions.create(model="any", messages=ASKED, **refused)  # type: ignore[call-overload]
        with pytest.raises(openai.BadRequestError, match="reads texts alone"):
            picture: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
            sdk.chat.completions.create(model="any", messages=picture)
        assert [model.id for model in sdk.models.list()] == ["served"]
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("other")


def test_a_model_that_fails_is_no_answer() -> None:
    class Failing(Counting):
        async def respond(self, request: Request) -> Response:
            raise CallError("too long")

    with serving(Failing(), "neutralize") as proxy:
        status, _, text = raw(proxy, body())
    assert status == 502
    assert b"too long" in text
    with serving(Counting(), "neutralize", strict=True) as proxy:
        assert raw(proxy, body(messages=ASKED[1:]))[0] == 422


@pytest.mark.model
def test_a_local_model_with_a_mitigation_inside(tmp_path: Path, smollm2_folder: Path) -> None:
    tiny_llama(tmp_path, smollm2_folder)
    asked: Any = {"model": "any", "messages": ASKED, "max_tokens": 8, "seed": 1, "temperature": 0}
    found = {}
    for mitigation in ("none", "contrast:1", "contrast:0"):
        with serving(make_model(f"hf:{tmp_path}"), mitigation) as proxy:
            reply = client(proxy).chat.completions.with_raw_response.create(**asked)
            found[mitigation] = reply.parse().choices[0].message.content
            assert reply.headers["x-evenhand-acted"] == ("no" if mitigation == "none" else "yes")
    with serving(make_model(f"hf:{tmp_path}"), "none") as proxy:
        nobody = client(proxy).chat.completions.create(**{**asked, "messages": NEUTRAL}).choices[0].message.content
    assert found["contrast:0"] == found["none"] != found["contrast:1"] == nobody


# ---------------------------------------------------------------- the command


@contextmanager
def command(*arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``evenhand deploy`` as its own process, and the address that it says."""
    line = [sys.executable, "-m", "evenhand.cli.main", "deploy", "--port", "0", *arguments]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    assert process.stderr is not None
    try:
        said = ""
        while "Base URL" not in said:
            said = process.stderr.readline()
            assert said, "it ended"
        yield process, said.split()[4]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_answers_under_way_come(server: Server, how: signal.Signals) -> None:
    server.delay_s = 1.0
    with command("--mitigation", "neutralize", "--base-url", server.url) as (process, address):
        found: list[Any] = []
        sdk = OpenAI(base_url=address, api_key=KEY, max_retries=0)
        thread = threading.Thread(target=lambda: found.append(sdk.chat.completions.create(model="m", messages=ASKED)))
        thread.start()
        wait_for(lambda: server.in_flight)
        process.send_signal(how)
        thread.join(20)
        assert found[0].choices[0].message.content
        assert process.wait(20) == 0
        assert process.stderr is not None
        said = process.stderr.read()
    assert "200" in said
    assert "Traceback" not in said
    assert KEY not in said


def test_what_cannot_be_served_is_refused_at_the_start(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["deploy", *arguments])
        assert isinstance(done.exception, EvenhandError), done.output
        return str(done.exception)

    monkeypatch.delenv("EVENHAND_DEPLOY_TOKEN", raising=False)
    there = ("--base-url", server.url)
    assert "works inside the model" in refused("--mitigation", "contrast", *there)
    assert "EVENHAND_DEPLOY_TOKEN" in refused("--mitigation", "neutralize", *there, "--host", "0.0.0.0")
    assert "--base-url URL or --model" in refused("--mitigation", "neutralize")
    assert "--from STUDY" in refused(*there)
    assert "neutralize" in refused("--mitigation", "neutralise", *there)
    assert "holds a key" in refused("--mitigation", "neutralize", "--base-url", "http://h/v1?api_key=abc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "cannot be used" in refused("--mitigation", "neutralize", *there, "--port", port)


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def settle(what: Callable[[], int]) -> int:
    """A count once it stands still."""
    last, since = what(), time.monotonic()
    while not last or time.monotonic() - since < 0.5:
        time.sleep(0.02)
        if (now := what()) != last:
            last, since = now, time.monotonic()
    return last

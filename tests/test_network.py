"""Servers and proxies between: what they may send, where keys go, and what is said of a handshake that fails."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
import time
import zlib
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from evenhand.errors import ModelError, SpecError
from evenhand.models import CallError, ModelOptions, make_model
from evenhand.models import http as http_module
from evenhand.models.addresses import Proxies, checked_address, handshake_problem
from evenhand.models.http import HttpClient, RetryableError, _retry_after
from evenhand.types import Decoding, Message, Request
from tests.server import Server

KEY = "sk-planted-7f3a9c5e1b"
ASKED = Request((Message("user", "Hello."),), Decoding(), seed=1)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


def ask(reference: str, address: str, times: int = 1, **options: Any) -> str:
    async def answers() -> str:
        model = make_model(reference, ModelOptions(base_url=address, **{"max_attempts": 1, **options}))
        await model.start()
        try:
            return [(await model.respond(ASKED)).text for _ in range(times)][-1]
        finally:
            await model.aclose()

    return asyncio.run(answers())


def endpoint(folder: Path, url: str, headers: str = "") -> str:
    """The reference of an assistant of one's own at an address."""
    file = folder / "own.toml"
    file.write_text(
        f'[headers]\n{headers}\n[[call]]\nurl = "{url}"\nbody = {{ model = "m", messages = "{{messages}}" }}\n'
        'answer = "choices.0.message.content"\n'
    )
    return f"http:{file}"


@pytest.mark.parametrize(
    ("reference", "status"),
    [*(("openai:m", status) for status in (301, 302, 303, 307, 308)), ("anthropic:m", 307), ("gemini:m", 307)],
)
def test_no_key_and_no_question_follows_a_redirection(reference: str, status: int) -> None:
    with Server() as other:
        to = f"http://localhost:{other.port}/v1/chat/completions?key={KEY}"

        def elsewhere(*_: object) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": to})

        with Server(fault=elsewhere) as server, pytest.raises((ModelError, CallError)) as found:
            ask(reference, server.url, extra_headers={"X-Own": "$OPENAI_API_KEY"})
        assert other.calls == 0 and other.headers == []
    assert KEY not in str(found.value)
    if reference == "openai:m":
        assert f"redirects to http://localhost:{other.port}/v1/chat/completions" in str(found.value)


def test_a_redirection_after_answers_is_a_fault_of_the_server() -> None:
    away = web.Response(status=302, headers={"Location": "http://[bad"})
    with Server(fault=lambda n, _: away if n == 2 else None) as server:
        assert ask("openai:m", server.url, times=2, max_attempts=3)
        assert server.calls == 3


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_unpacked_has_a_limit(coding: str, chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "MAX_BODY", 1 << 20)
    pack = gzip.compress if coding == "gzip" else zlib.compress
    bomb = pack(b"[" * (16 << 20))

    async def packed(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Encoding": coding})
        if not chunked:
            reply.content_length = len(bomb)
        await reply.prepare(request)
        await reply.write(bomb)
        return reply

    with Server(fault=lambda *_: packed) as server, pytest.raises(CallError, match="longer than 1 MiB"):
        ask("openai:m", server.url)


def test_a_packed_answer_is_read() -> None:
    async def packed(request: web.Request) -> web.StreamResponse:
        body = b'{"choices": [{"message": {"content": "Packed."}, "finish_reason": "stop"}]}'
        return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})

    with Server(fault=lambda *_: packed) as server:
        assert ask("openai:m", server.url) == "Packed."


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("3", 3), ("1e99", 120), ("inf", 120), ("nan", 0), ("-5", 0), ("-inf", 0), ("31536000", 120), ("9" * 5000, 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2999 07:28:00 GMT", 120), ("soon", 0), ("", 0), (None, 0),
        ("Wed, 99 Oct 9999999 07:28:00 GMT", 0), ("0x10", 0),
    ],
)  # fmt: skip
def test_a_wait_is_neither_past_nor_long(said: str | None, seconds: float) -> None:
    assert _retry_after(said) == seconds


def test_a_date_is_waited_for() -> None:
    assert 25 < _retry_after(formatdate(time.time() + 30, usegmt=True)) <= 30


@pytest.mark.parametrize(
    "address",
    [
        "http://user:sk-secret@h/v1", "https://sk-secret@h/v1", "http://h/v1?key=sk-secret", "http://h/v1?api-key=sk-secret",
        "http://h/v1?a=1&access_token=sk-secret", "http://h/v1?subscription-key=sk-secret", "http://h?X-Goog-Signature=sk-secret",
        "http://h/v1?APIKEY=sk-secret", "http://h/v1?code=sk-secret", "http://:sk-secret@h", "ftp://h/sk-secret@x",
        "http://h:99999999/?token=sk-secret", "http://[sk-secret", "http://?key=sk-secret",
    ],
)  # fmt: skip
@pytest.mark.parametrize("reference", ["openai:m", "openai-batch:m", "azure:m", "anthropic:m", "gemini:m", "bedrock:m"])
def test_an_address_with_a_key_is_refused_and_not_repeated(reference: str, address: str) -> None:
    with pytest.raises(SpecError) as found:
        make_model(reference, ModelOptions(base_url=address))
    assert "sk-secret" not in str(found.value) or "://" not in address or address.startswith(("ftp", "http://["))


def test_a_key_in_an_address_is_named_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_KEY", "gate-planted-5521")
    seen: list[str] = []

    async def quoting(request: web.Request) -> web.StreamResponse:
        seen.append(request.query["key"])
        return web.json_response({"error": {"message": f"no such thing: {request.url}"}}, status=400)

    with Server(fault=lambda *_: quoting) as server, pytest.raises(CallError) as found:
        ask("openai:m", f"{server.url}?key=$GATE_KEY")
    assert seen == ["gate-planted-5521"]
    assert "gate-planted" not in str(found.value) and "[secret]" in str(found.value)
    with pytest.raises(ModelError, match="NO_SUCH_KEY is not set"):
        ask("openai:m", "http://127.0.0.1:1/v1?key=$NO_SUCH_KEY")


def test_a_key_in_an_endpoints_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_KEY", "gate-planted-5521")
    with Server() as server:
        reference = endpoint(tmp_path, f"{server.url}/chat/completions?key=${{GATE_KEY}}&user={{user}}")
        model = make_model(reference, ModelOptions())
        assert "gate-planted" not in str(model.settings())
        assert ask(reference, "")
    with pytest.raises(SpecError, match="holds a key"):
        make_model(endpoint(tmp_path, "http://h/?token=abc"), ModelOptions())


def test_a_question_names_no_variable(tmp_path: Path) -> None:
    """Else a question could send what the environment holds."""
    seen: list[str] = []

    async def noting(request: web.Request) -> web.StreamResponse:
        seen.append(request.query["q"])
        return web.json_response({"choices": [{"message": {"content": "Yes."}}]})

    async def asks(reference: str) -> None:
        model = make_model(reference, ModelOptions())
        await model.start()
        await model.respond(Request((Message("user", "$OPENAI_API_KEY ${OPENAI_API_KEY}"),), Decoding(), 1))
        await model.aclose()

    with Server(fault=lambda *_: noting) as server:
        asyncio.run(asks(endpoint(tmp_path, f"{server.url}/chat/completions?q={{user}}")))
    assert seen == ["$OPENAI_API_KEY ${OPENAI_API_KEY}"]


def test_nothing_of_a_netrc_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-planted\ndefault login a password b\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("OPENAI_API_KEY")
    with Server() as proxy:
        # With a proxy in the environment aiohttp used to read it.
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert ask("openai:m", "http://gateway.example/v1")
        assert "Authorization" not in proxy.headers[0] and "Proxy-Authorization" not in proxy.headers[0]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert ask("openai:m", proxy.url)
        assert "Authorization" not in proxy.headers[1]


def test_a_proxy_gets_its_own_password_and_the_server_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:pass@127.0.0.1:{proxy.port}")
        assert ask("openai:m", "http://gateway.example/v1")
        login = proxy.headers[0]["Proxy-Authorization"]
        assert base64.b64decode(login.split()[1]) == b"me:pass"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert ask("openai:m", proxy.url)
        assert "Proxy-Authorization" not in proxy.headers[1]


def test_a_tunnel_is_asked_for_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def ask_through() -> None:
        serving = await asyncio.start_server(proxy, "127.0.0.1", 0)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{serving.sockets[0].getsockname()[1]}")
        model = make_model("openai:m", ModelOptions(base_url="https://gateway.example/v1", max_attempts=1))
        await model.start()
        with pytest.raises((CallError, ModelError)) as found:
            await model.respond(ASKED)
        assert "pass" not in str(found.value) and KEY not in str(found.value)
        await model.aclose()
        serving.close()

    asyncio.run(ask_through())
    assert heard[0].startswith(b"CONNECT gateway.example:443") and KEY.encode() not in heard[0]
    assert b"Proxy-Authorization: Basic " in heard[0]


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1", "http://", "http://[x", "::::"])
def test_a_proxy_that_is_none_is_said(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(ModelError, match="HTTPS_PROXY is no address of an HTTP proxy"):
        Proxies().way(URL("https://h/v1"))
    assert Proxies().way(URL("http://h/v1")).proxy is None


def failed(code: int) -> Exception:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    told = RuntimeError("handshake")
    told.certificate_error = error  # type: ignore[attr-defined]
    return told


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (failed(18), "SSL_CERT_FILE"), (failed(19), "SSL_CERT_FILE"), (failed(20), "SSL_CERT_FILE"),
        (failed(10), "Renew"), (failed(9), "clock"), (failed(62), "name"), (failed(64), "name"),
        (RuntimeError("[SSL: WRONG_VERSION_NUMBER]"), "http://"), (RuntimeError("\x1b[2Jodd"), "SSL_CERT_FILE"),
    ],
)  # fmt: skip
def test_a_handshake_that_fails_says_what_to_do(error: Exception, todo: str) -> None:
    problem, fix = handshake_problem(URL("https://h:1"), error)
    assert todo in fix and "https://h:1" in problem and "\x1b" not in problem


async def test_plain_http_behind_https_is_said(server: Server) -> None:
    client = HttpClient(ModelOptions(max_attempts=1), 1)
    client.open({})
    try:
        with pytest.raises(RetryableError) as found:
            await client.post(f"https://127.0.0.1:{server.port}/", b"{}")
        assert "does not speak TLS" in str(found.value)
    finally:
        await client.aclose()


def test_addresses_without_keys_stay() -> None:
    for good in (
        "http://h/v1",
        "https://h/openai?api-version=1",
        "http://[::1]:8000/v1",
        "http://h/v1?monkey=1&tokens=5",
    ):
        assert checked_address(good, "--base-url", "x") == good

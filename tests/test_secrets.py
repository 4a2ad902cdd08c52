"""Keys stay in the environment, and connections are encrypted to whom they should be."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.server import Handler, Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
KEY = "sk-planted-7f3a9c5e1b"
ENV = {"OPENAI_API_KEY": KEY, "ASSISTANT_TOKEN": KEY}


def quote(status: int) -> Handler:
    """An error that quotes every header it was sent, as debugging proxies do."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert KEY in request.headers["Authorization"]
        return web.json_response({"error": {"message": f"bad request: {dict(request.headers)}"}}, status=status)

    return handler


def nowhere(folder: Path, *processes: subprocess.CompletedProcess[str]) -> None:
    """The key is in no file and in nothing that was said."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert files
    for file in files:
        assert KEY.encode() not in file.read_bytes(), file
    for process in processes:
        assert KEY not in process.stdout + process.stderr


def arguments(server: Server, out: Path, *more: str) -> list[str]:
    return [
        "run", "--model", "openai:fake", "--base-url", server.url, "--suite", "starter-safety", "--identities", "age",
        "--limit", "4", "--max-attempts", "2", "--out", str(out), *more,
    ]  # fmt: skip


def test_a_planted_key_is_in_nothing_that_evenhand_writes_or_says(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "study"
    faults = {3: quote(400), 7: quote(500), 8: quote(500), 9: quote(500), 10: quote(422)}
    with Server(fault=lambda number, _: faults.get(number)) as server:
        said = [cli(*arguments(server, out), env=ENV)]
        assert said[0].returncode == 1, said[0].stderr
        said.append(cli(*arguments(server, out), env=ENV))
        assert said[1].returncode == 0, said[1].stderr
        assert {KEY in headers["Authorization"] for headers in server.headers} == {True}
    said.append(cli("analyze", str(out), "--format", "json", env=ENV))
    said.append(cli("report", str(out), env=ENV))
    said.append(cli("status", str(out), "--format", "json", env=ENV))
    said += [
        cli("export", str(out), "--to", to, "--out", str(tmp_path / to), env=ENV) for to in ("csv", "json", "parquet")
    ]
    assert [process.returncode for process in said[2:]] == [0] * 6
    nowhere(tmp_path, *said)


def test_a_refusal_that_quotes_the_key(cli: Cli, tmp_path: Path) -> None:
    with Server(fault=lambda number, _: quote(401)) as server:
        done = cli(*arguments(server, tmp_path / "study"), env=ENV)
    assert done.returncode == 4
    assert "[secret]" in done.stderr
    nowhere(tmp_path, done)


def test_a_key_with_white_space_around_it(cli: Cli, tmp_path: Path) -> None:
    with Server() as server:
        done = cli(*arguments(server, tmp_path / "study"), env={"OPENAI_API_KEY": f" {KEY}\n"})
        assert done.returncode == 0, done.stderr
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    nowhere(tmp_path, done)


def test_a_traceback_of_our_own_mistake_shows_no_key(cli: Cli, tmp_path: Path) -> None:
    patch = "import evenhand.models.openai as m\ndef broken(*a): raise RuntimeError('boom')\n"
    patch += "m.completions.read = broken\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    with Server() as server:
        done = cli(*arguments(server, tmp_path / "study"), env={**ENV, "PYTHONPATH": str(tmp_path)})
    assert done.returncode != 0
    assert "boom" in done.stderr
    nowhere(tmp_path, done)


def test_a_header_of_an_endpoint(cli: Cli, tmp_path: Path) -> None:
    with Server(fault=lambda number, _: quote(400) if number == 2 else None) as server:
        (tmp_path / "own.toml").write_text(
            '[headers]\nAuthorization = "token ${ASSISTANT_TOKEN}"\n[[call]]\n'
            f'url = "{server.url}/chat/completions"\nbody = {{ model = "m", messages = "{{messages}}" }}\n'
            'answer = "choices.0.message.content"\n'
        )
        done = cli(
            "run", "--model", f"http:{tmp_path / 'own.toml'}", "--suite", "starter-safety", "--identities", "age",
            "--limit", "2", "--max-attempts", "2", "--out", str(tmp_path / "study"), env=ENV,
        )  # fmt: skip
        assert server.calls >= 12, done.stderr
    nowhere(tmp_path, done)


class EncryptedServer(Server):
    """Behind TLS, with a certificate that nobody but its maker knows."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def site(self, runner: web.AppRunner) -> Any:
        return web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._context)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(cli: Cli, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    with EncryptedServer(certificate, key) as server:
        done = cli(*arguments(server, tmp_path / "study"), env=ENV)
        assert done.returncode != 0
        assert "certificate" in done.stderr.lower()
        assert server.calls == 0
        done = cli(*arguments(server, tmp_path / "study"), env={**ENV, "SSL_CERT_FILE": str(certificate)})
        assert done.returncode == 0, done.stderr
        assert server.calls == 24

"""Assistants of one's own: a Python function, or an HTTP endpoint with memory."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evenhand.study import Store
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]

ENDPOINT = """
[headers]
X-Token = "token ${ASSISTANT_TOKEN}"

[[call]]
url = "URL/sessions/{session}/memory"
body = { remember = "{system}" }
when = "system"

[[call]]
url = "URL/sessions/{session}/chat"
body = { message = "{user}", limits = { tokens = "{max_tokens}" }, tags = ["test", "seed {seed}"] }
answer = "replies.0.text"
"""

FUNCTIONS = """
def careful(messages, max_tokens):
    assert max_tokens == 7
    assert messages[-1]["role"] == "user"
    if "a minor" in messages[0]["content"]:
        raise RuntimeError("no minors,\\n please")
    return "I'm sorry, but I can't help with that."

async def slow(messages):
    return "I'm sorry, but I can't help with that."

def silent(messages):
    return None
"""


class MemoryAssistant(Server):
    """An assistant that remembers, per session, what it was told about the user."""

    def __init__(self, broken: int = 0) -> None:
        super().__init__()
        self.memory: dict[str, list[str]] = defaultdict(list)
        self.chats: list[tuple[str, dict[str, Any]]] = []
        self.broken = broken  # how many chats fail first

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/sessions/{session}/memory", self._remember)
        app.router.add_post("/v1/sessions/{session}/chat", self._chat)

    async def _remember(self, request: web.Request) -> web.Response:
        self.memory[request.match_info["session"]].append((await request.json())["remember"])
        return web.json_response({})

    async def _chat(self, request: web.Request) -> web.Response:
        session, payload = request.match_info["session"], await request.json()
        self.headers.append(dict(request.headers))
        if self.broken:
            self.broken -= 1
            return web.json_response({"error": "busy"}, status=503)
        self.chats.append((session, payload))
        refuses = any("a minor" in told for told in self.memory[session])
        text = "I'm sorry, but I can't help with that." if refuses else "Sure! First, do this."
        return web.json_response({"replies": [{"text": text}]})


def run_endpoint(
    cli: Cli, server: Server, tmp_path: Path, text: str = ENDPOINT, attempts: str = "4"
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "helper.toml").write_text(text.replace("URL", server.url))
    return cli(
        "run", "--model", f"http:{tmp_path / 'helper.toml'}", "--suite", "starter-safety", "--limit", "6",
        "--identities", "a minor,an adult", "--personalizer", "I am {identity}.", "--baseline", "bare",
        "--max-attempts", attempts, "--out", str(tmp_path / "study"), env={"ASSISTANT_TOKEN": "s3cret-token"},
    )  # fmt: skip


def test_an_assistant_with_memory_is_told_who_the_user_is(cli: Cli, tmp_path: Path) -> None:
    with MemoryAssistant() as server:
        done = run_endpoint(cli, server, tmp_path)
    assert done.returncode == 0, done.stderr
    sessions = [session for session, _ in server.chats]
    assert len(set(sessions)) == len(sessions) == 18  # no memory leaks from one trial into another
    assert (
        sorted(told for s in sessions for told in server.memory.get(s, ()))
        == ["I am a minor."] * 6 + ["I am an adult."] * 6
    )
    _, payload = server.chats[0]
    assert payload["limits"] == {"tokens": 300}
    assert payload["tags"][1].removeprefix("seed ").isdigit()
    assert server.headers[0]["X-Token"] == "token s3cret-token"
    assert all(b"s3cret" not in f.read_bytes() for f in (tmp_path / "study").iterdir())
    found = json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)
    assert {i["identity"]: i["safety"] for i in found["identities"]} == {"a minor": 100, "an adult": 0, "bare": 0}
    with Store.open(tmp_path / "study") as store:
        assert store.totals()["calls"] == 12 + 18


def test_a_failed_attempt_starts_again_in_a_new_session(cli: Cli, tmp_path: Path) -> None:
    with MemoryAssistant(broken=3) as server:
        done = run_endpoint(cli, server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(server.chats) == 18
    assert all(len(server.memory.get(session, ())) <= 1 for session, _ in server.chats)


def test_an_answer_that_is_not_where_it_should_be_fails(cli: Cli, tmp_path: Path) -> None:
    with MemoryAssistant() as server:
        done = run_endpoint(cli, server, tmp_path, ENDPOINT.replace("replies.0.text", "replies.7"), "1")
    assert done.returncode == 1
    assert "18 calls failed with: the answer has no replies.7 (1 attempts)" in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (('answer = "replies.0.text"', ""), 2, "does not say where its answer stands"),
        (("ASSISTANT_TOKEN", "NOT_THERE"), 4, "NOT_THERE is not set"),
        (("URL/sessions/{session}/chat", "URL/nowhere"), 4, "HTTP 404"),
        (("URL/sessions/{session}/chat", "ftp://x"), 2, "not an http"),
        (('when = "system"', 'when = "person"'), 2, "there is no 'person'"),
        (('when = "system"', "wen = 1"), 2, "no field 'call.0.wen'"),
        (("[headers]", "[headers"), 2, "not a readable TOML"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_said(
    cli: Cli, tmp_path: Path, change: tuple[str, str], code: int, message: str
) -> None:
    with MemoryAssistant() as server:
        text = ENDPOINT.replace(*change)
        done = run_endpoint(cli, server, tmp_path, text)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_changed_endpoint_is_another_assistant(cli: Cli, tmp_path: Path) -> None:
    with MemoryAssistant() as server:
        assert run_endpoint(cli, server, tmp_path).returncode == 0
        done = run_endpoint(cli, server, tmp_path, ENDPOINT.replace("test", "other"))
    assert done.returncode == 5
    assert "must not mix" in done.stderr


def run_function(cli: Cli, tmp_path: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    return cli(
        "run", "--model", f"python:{tmp_path / 'mine.py'}:{name}", "--suite", "starter-safety", "--limit", "3",
        "--identities", "a minor,an adult", "--max-tokens", "7", "--out", str(tmp_path / name), *more,
    )  # fmt: skip


def test_a_function_answers_and_what_it_raises_fails_that_call_only(cli: Cli, tmp_path: Path) -> None:
    done = run_function(cli, tmp_path, "careful")
    assert done.returncode == 1
    assert "3 failed" in done.stderr
    status = json.loads(cli("status", str(tmp_path / "careful"), "--format", "json").stdout)
    assert status["answered"] == 6
    assert status["failure_reasons"] == {"RuntimeError: no minors, please": 3}
    assert run_function(cli, tmp_path, "slow").returncode == 0
    assert "returned NoneType" in run_function(cli, tmp_path, "silent").stderr


def test_what_is_wrong_with_a_function_is_said(cli: Cli, tmp_path: Path) -> None:
    for name, code, message in (("absent", 4, "no function 'absent'"), ("", 2, "names no function")):
        done = run_function(cli, tmp_path, name)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    done = run_function(cli, tmp_path, "careful", "--suite", "starter-utility:knowledge+logprobs")
    assert done.returncode == 4
    assert "log-probabilities" in done.stderr

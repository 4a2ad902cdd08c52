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

import evenhand
from evenhand.errors import ModelError, SpecError, StoreError
from evenhand.models import CallError, ModelOptions, make_model
from evenhand.study import Store
from evenhand.types import Decoding, Message, Request, Response
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
    assert all(b"s3cret" not in f.read_bytes() for f in (tmp_path / "study").rglob("*") if f.is_file())
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


async def answer(spec: Path, *messages: Message, **options: Any) -> Response:
    model = make_model(f"http:{spec}", ModelOptions(**options))
    await model.start()
    try:
        return await model.respond(Request(messages or (Message("user", "Hello"),), Decoding(), seed=1))
    finally:
        await model.aclose()


SIMPLE = """
[[call]]
url = "URL/sessions/{session}/chat"
body = { message = "{user}", system = "{system}", nested = [{ history = "{history}" }] }
answer = "replies.0.text"
finish_reason = "end"
reasoning = "thoughts"
prompt_tokens = "usage.input_tokens"
completion_tokens = "usage.output_tokens"
"""


class CountingAssistant(MemoryAssistant):
    """Tells tokens, thoughts and how the answer ended."""

    async def _chat(self, request: web.Request) -> web.Response:
        self.chats.append((request.match_info["session"], await request.json()))
        usage = {"input_tokens": 11, "output_tokens": 5}
        reply = {"replies": [{"text": "Cut h"}], "end": "max_tokens", "thoughts": "Hm.", "usage": usage}
        return web.json_response(reply)


def simple(tmp_path: Path, server: Server, *change: str) -> Path:
    path = tmp_path / "simple.toml"
    path.write_text((SIMPLE.replace(*change) if change else SIMPLE).replace("URL", server.url))
    return path


async def test_an_endpoint_tells_tokens_thoughts_and_the_end_and_empty_fields_are_left_out(tmp_path: Path) -> None:
    with CountingAssistant() as server:
        found = await answer(simple(tmp_path, server))
        assert (found.text, found.finish_reason, found.reasoning) == ("Cut h", "length", "Hm.")
        assert (found.prompt_tokens, found.completion_tokens) == (11, 5)
        await answer(simple(tmp_path, server), Message("system", "I am old."), Message("user", "Hello"))
    assert [payload for _, payload in server.chats] == [
        {"message": "Hello", "nested": [{}]},
        {"message": "Hello", "system": "I am old.", "nested": [{}]},
    ]


@pytest.mark.parametrize("path", ["replies.7", "reply.text", "replies", "usage.input_tokens"])
async def test_a_wrong_path_ends_the_run_at_once_and_shows_what_the_reply_has(tmp_path: Path, path: str) -> None:
    with CountingAssistant() as server:
        with pytest.raises(ModelError, match=r"has replies\.0\.text, end, thoughts, usage\.input_tokens"):
            await answer(simple(tmp_path, server, "replies.0.text", path))
        assert len(server.chats) == 1


async def test_who_the_user_is_must_not_be_left_out_in_silence(tmp_path: Path) -> None:
    with CountingAssistant() as server:
        path = simple(tmp_path, server, ', system = "{system}"', "")
        with pytest.raises(ModelError, match="not told the system text"):
            await answer(path, Message("system", "I am old."), Message("user", "Hello"))
        assert not server.chats
        await answer(path)


def test_a_budget_needs_an_assistant_that_tells_tokens(tmp_path: Path) -> None:
    study = {"model": "", "suites": ["starter-safety"], "identities": ["age"], "limit": 1}
    with CountingAssistant() as server:
        path = simple(tmp_path, server, 'completion_tokens = "usage.output_tokens"', "")
        with pytest.raises(SpecError, match="does not say how many tokens"):
            evenhand.run({**study, "model": f"http:{path}", "budget": {"max_total_tokens": 9}}, tmp_path / "a")
        assert not server.chats
        told = {**study, "model": f"http:{simple(tmp_path, server)}", "budget": {"max_total_tokens": 40}}
        assert evenhand.run(told, tmp_path / "b").out_of_budget


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (('answer = "replies.0.text"', ""), 2, "does not say where its answer stands"),
        (("ASSISTANT_TOKEN", "NOT_THERE"), 4, "NOT_THERE is not set"),
        (("URL/sessions/{session}/chat", "URL/nowhere"), 4, "HTTP 404"),
        (("URL/sessions/{session}/chat", "ftp://x"), 2, "not an http"),
        (('when = "system"', 'when = "person"'), 2, "there is no 'person'"),
        (('when = "system"', "wen = 1"), 2, "no field 'call.0.wen'"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{user}", "{usr}"), "call 2: there is no placeholder {usr}. Did you mean user?"),
        (("{user}", "{ user }"), "no placeholder { user }. Did you mean user?"),
        (("seed {seed}", "{user.name}"), "no placeholder {user.name}"),
        (("{session}/chat", "{sesion}/chat"), "no placeholder {sesion}. Did you mean session?"),
        (("{user}", "hello"), "no call sends the question"),
        (("${ASSISTANT_TOKEN}", "{session}"), "{session} in the header X-Token would be sent as it stands"),
        (("[headers]", "[headers"), "not a readable TOML"),
    ],
)
def test_a_file_that_would_send_something_else_is_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "helper.toml"
    path.write_text(ENDPOINT.replace(*change).replace("URL", "http://127.0.0.1"))
    with pytest.raises(SpecError) as error:
        make_model(f"http:{path}", ModelOptions())
    assert message in str(error.value)


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
    assert status["failure_reasons"] == {f"RuntimeError: no minors, please ({tmp_path / 'mine.py'}, line 6)": 3}
    assert run_function(cli, tmp_path, "slow").returncode == 0
    assert "returned NoneType" in run_function(cli, tmp_path, "silent").stderr


def test_what_is_wrong_with_a_function_is_said(cli: Cli, tmp_path: Path) -> None:
    for name, code, message in (("absent", 4, "no function 'absent'"), ("", 2, "names no function")):
        done = run_function(cli, tmp_path, name)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    done = run_function(cli, tmp_path, "careful", "--suite", "starter-utility:knowledge+logprobs")
    assert done.returncode == 4
    assert "log-probabilities" in done.stderr


CALLABLES = """
import functools

class Assistant:
    async def __call__(self, messages):
        print("thinking")
        return "later"

async def later(messages, mood):
    return mood

def promised(messages):
    return later(messages, "promised")

def broken(messages):
    return len(None)

waits = Assistant()
partial = functools.partial(later, mood="partial")
"""


@pytest.mark.parametrize(("name", "text"), [("waits", "later"), ("partial", "partial"), ("promised", "promised")])
async def test_whatever_can_be_awaited_is_and_prints_go_to_stderr(
    tmp_path: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "callables.py").write_text(CALLABLES)
    model = make_model(f"python:{tmp_path / 'callables.py'}:{name}", ModelOptions())
    await model.start()
    found = await model.respond(Request((Message("user", "Hello"),), Decoding(), seed=1))
    print("mine")
    await model.aclose()
    said = capsys.readouterr()
    assert (found.text, said.out) == (text, "mine\n")
    assert said.err == ("thinking\n" if name == "waits" else "")


async def test_a_mistake_in_a_function_is_said_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "callables.py").write_text(CALLABLES)
    model = make_model(f"python:{tmp_path / 'callables.py'}:broken", ModelOptions())
    with pytest.raises(CallError, match=r"TypeError: .*callables\.py, line 16\)"):
        await model.respond(Request((Message("user", "Hello"),), Decoding(), seed=1))
    (tmp_path / "callables.py").write_text("x = 1\nx.y\n")
    with pytest.raises(ModelError, match=r"AttributeError: .*callables\.py, line 2\)"):
        make_model(f"python:{tmp_path / 'callables.py'}:broken", ModelOptions())


def test_an_edited_function_is_another_model(tmp_path: Path) -> None:
    file = tmp_path / "callables.py"
    study = {"model": f"python:{file}:promised", "suites": ["starter-safety"], "identities": ["age"], "limit": 1}
    file.write_text(CALLABLES)
    evenhand.run(study, tmp_path / "study")
    evenhand.run({**study, "limit": 2}, tmp_path / "study")
    file.write_text(CALLABLES.replace('"promised"', '"other"'))
    with pytest.raises(StoreError, match="must not mix"):
        evenhand.run({**study, "limit": 3}, tmp_path / "study")

"""Providers through their own libraries, against loopback servers that behave as they do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evenhand.errors import ModelError, SpecError
from evenhand.models import CallError, Model, ModelOptions, make_model, respond_all
from evenhand.study import Store
from evenhand.types import Decoding, Message, Request, Response
from tests.providers import (
    KEY,
    MODULES,
    SERVERS,
    AzureServer,
    ProviderServer,
    anthropic_message,
    azure_answer,
    bedrock_answer,
    environment,
    gemini_answer,
)

Cli = Callable[..., subprocess.CompletedProcess[str]]


def installed(kind: str) -> bool:
    try:
        return find_spec(MODULES[kind]) is not None
    except ModuleNotFoundError:
        return False


KINDS = [pytest.param(k, marks=pytest.mark.skipif(not installed(k), reason=f"needs {MODULES[k]}")) for k in SERVERS]
every_provider = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    yield


def model_of(server: ProviderServer, **options: Any) -> Model:
    given = {"base_url": server.url, "max_attempts": 3, "timeout_s": 5.0, **options}
    return make_model(server.reference, ModelOptions(**given))


def question(system: str = "You are a helpful assistant.", **decoding: Any) -> Request:
    asked = [Message("system", system)] if system else []
    return Request((*asked, Message("user", "What is a lathe?")), Decoding(**decoding), seed=5)


def ask(server: ProviderServer, request: Request | None = None, **options: Any) -> Response:
    (found,) = asyncio.run(respond_all(model_of(server, **options), [request or question()]))
    if isinstance(found, CallError):
        raise found
    return found


def answered(out: Path) -> int:
    with Store.open(out) as store:
        return store.count_trials()


def command(server: ProviderServer, out: Path, *more: str) -> list[str]:
    return [
        "run", "--model", server.reference, "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,an adult", "--limit", "10", "--out", str(out), *more,
    ]  # fmt: skip


# What answers hold. The bodies are the providers' own, as their references show them.

THOUGHTS: dict[str, Any] = {
    "anthropic": anthropic_message(
        [{"type": "thinking", "thinking": "Hm. I can't.", "signature": "s"}, {"type": "text", "text": "A machine."}],
        output_tokens=90, cache_read_input_tokens=40, cache_creation_input_tokens=3,
        output_tokens_details={"thinking_tokens": 80},
    ),
    "gemini": gemini_answer(
        [{"text": "Hm. I can't.", "thought": True}, {"text": "A machine."}],
        thoughtsTokenCount=83, promptTokenCount=54, cachedContentTokenCount=40,
    ),
    "bedrock": bedrock_answer(
        [{"reasoningContent": {"reasoningText": {"text": "Hm. I can't.", "signature": "s"}}}, {"text": "A machine."}],
        outputTokens=90, cacheReadInputTokens=40, cacheWriteInputTokens=3,
    ),
    "azure": {
        **azure_answer("A machine.", reasoning_content="Hm. I can't."),
        "usage": {
            "prompt_tokens": 54, "completion_tokens": 90, "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 80},
        },
    },
}  # fmt: skip


@every_provider
def test_thoughts_are_told_from_answers_and_counted(kind: str) -> None:
    with SERVERS[kind](THOUGHTS[kind]) as server:
        found = ask(server)
    assert (found.text, found.reasoning, found.finish_reason) == ("A machine.", "Hm. I can't.", "stop")
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (54, 90, 40)
    assert found.reasoning_tokens == {"gemini": 83, "bedrock": None}.get(kind, 80)


DECLINED = [
    ("anthropic", anthropic_message([], "refusal"), "refusal"),
    (
        "anthropic",
        anthropic_message([], "refusal") | {"stop_details": {"type": "refusal", "category": "bio"}},
        "bio",
    ),
    ("gemini", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "prohibited_content"),
    (
        "gemini",
        {
            "promptFeedback": {
                "blockReason": "SAFETY",
                "safetyRatings": [
                    {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True},
                    {"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "LOW"},
                ],
            }
        },
        "harassment",
    ),
    *(
        ("gemini", {"candidates": [{"index": 0, "finishReason": reason}]}, reason.lower())
        for reason in ("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION")
    ),
    ("bedrock", bedrock_answer([{"text": "Blocked by policy."}], "guardrail_intervened"), "guardrail_intervened"),
    ("bedrock", bedrock_answer([], "content_filtered"), "content_filtered"),
    ("azure", azure_answer(None, "content_filter"), ""),
    ("azure", azure_answer(None, refusal="I can't help with that."), "refusal"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "said", "category"), DECLINED)
def test_what_a_provider_declines_is_an_answer(kind: str, said: dict[str, Any], category: str) -> None:
    if not installed(kind):
        pytest.skip(f"needs {MODULES[kind]}")
    with SERVERS[kind](said) as server:
        found = ask(server)
        assert server.calls == 1
    assert (found.finish_reason, found.filtered) == ("content_filter", category)
    assert not found.is_cut


@every_provider
def test_a_prompt_that_a_filter_refuses_is_an_answer(kind: str) -> None:
    with SERVERS[kind]() as server:
        server.fault = lambda n, _: server.error(400, "Output blocked by content filtering policy")
        found = ask(server)
        assert (found.finish_reason, server.calls) == ("content_filter", 1)


CUT: dict[str, Any] = {
    "anthropic": anthropic_message([{"type": "thinking", "thinking": "Let me think", "signature": ""}], "max_tokens"),
    "gemini": gemini_answer([{"text": "Let me think", "thought": True}], "MAX_TOKENS"),
    "bedrock": bedrock_answer([{"reasoningContent": {"reasoningText": {"text": "Let me think"}}}], "max_tokens"),
    "azure": azure_answer("", "length", reasoning_content="Let me think"),
}


@every_provider
def test_an_answer_cut_while_thinking_is_cut(kind: str) -> None:
    with SERVERS[kind](CUT[kind]) as server:
        found = ask(server)
    assert (found.text, found.finish_reason, found.reasoning) == ("", "length", "Let me think")
    assert found.is_cut


# What is sent.

SETTINGS = {"temperature": 0.5, "top_p": 0.9, "top_k": 10, "max_tokens": 2000, "stop": ("END",)}
SENT: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "anthropic": lambda p: [
        p["system"], p["messages"], p["temperature"], p["top_p"], p["top_k"], p["max_tokens"], p["stop_sequences"],
    ],
    "gemini": lambda p: [
        p["systemInstruction"]["parts"][0]["text"],
        [{"role": c["role"], "content": c["parts"][0]["text"]} for c in p["contents"]],
        *(p["generationConfig"][k] for k in ("temperature", "topP", "topK", "maxOutputTokens", "stopSequences")),
    ],
    "bedrock": lambda p: [
        p["system"][0]["text"],
        [{"role": m["role"], "content": m["content"][0]["text"]} for m in p["messages"]],
        p["inferenceConfig"]["temperature"], p["inferenceConfig"]["topP"], p["additionalModelRequestFields"]["top_k"],
        p["inferenceConfig"]["maxTokens"], p["inferenceConfig"]["stopSequences"],
    ],
    "azure": lambda p: [
        p["messages"][0]["content"], p["messages"][1:], p["temperature"], p["top_p"], p["top_k"], p["max_tokens"],
        p["stop"],
    ],
}  # fmt: skip


@every_provider
def test_every_setting_reaches_the_provider(kind: str) -> None:
    with SERVERS[kind]() as server:
        ask(server, question(**SETTINGS))
        (payload,) = server.payloads
    turns = [{"role": "user", "content": "What is a lathe?"}]
    assert SENT[kind](payload) == ["You are a helpful assistant.", turns, 0.5, 0.9, 10, 2000, ["END"]]


@every_provider
def test_without_a_system_text_none_is_sent(kind: str) -> None:
    with SERVERS[kind]() as server:
        ask(server, question(system=""))
        assert not {"system", "systemInstruction"} & server.payloads[0].keys()
        assert "You are" not in json.dumps(server.payloads)


@every_provider
def test_a_parameter_that_is_refused_is_left_out_and_told(kind: str) -> None:
    def refuse(number: int, payload: dict[str, Any]) -> web.Response | None:
        if "temperature" not in json.dumps(payload):
            return None
        return server.error(400, "temperature is not supported for this model")

    with SERVERS[kind]() as server:
        server.fault = refuse
        model = model_of(server)
        found = asyncio.run(respond_all(model, [question(), question()]))
        assert all(isinstance(f, Response) and f.text for f in found)
        assert "temperature is not supported" in model.adjustments()["temperature"]
        assert ("seed" in model.adjustments()) == (kind in ("anthropic", "bedrock"))
        before = server.calls
        again = model_of(server)
        again.adjust(model.adjustments())  # the next run of the study knows
        asyncio.run(respond_all(again, [question()]))
        assert server.calls == before + 1


@every_provider
def test_a_refused_system_text_goes_into_the_users_turn(kind: str) -> None:
    def refuse(number: int, payload: dict[str, Any]) -> web.Response | None:
        first = SENT[kind](payload | defaults)[0] if {"system", "systemInstruction"} & payload.keys() else ""
        with_role = kind == "azure" and payload["messages"][0]["role"] == "system"
        return server.error(400, "This model does not support system messages") if first or with_role else None

    nothing: dict[str, Any] = {"temperature": 0, "top_p": 0, "top_k": 0, "max_tokens": 0, "stop_sequences": []}
    defaults: dict[str, Any] = {
        "anthropic": nothing,
        "gemini": {
            "generationConfig": dict.fromkeys(("temperature", "topP", "topK", "maxOutputTokens", "stopSequences"))
        },
        "bedrock": {
            "additionalModelRequestFields": {"top_k": 0},
            "inferenceConfig": dict.fromkeys(("temperature", "topP", "maxTokens", "stopSequences")),
        },
        "azure": {},
    }[kind]
    with SERVERS[kind]() as server:
        server.fault = refuse
        model = model_of(server)
        (found,) = asyncio.run(respond_all(model, [question()]))
        assert isinstance(found, Response)
        assert "system" in model.adjustments()
        assert "You are a helpful assistant.\\n\\nWhat is a lathe?" in json.dumps(server.payloads[-1])


def effort_of(kind: str, payload: dict[str, Any]) -> Any:
    if kind == "gemini":
        return payload["generationConfig"]["thinkingConfig"]
    if kind == "bedrock":
        return payload["additionalModelRequestFields"]["thinking"], payload.get("outputConfig")
    return payload["thinking"], payload.get("output_config")


ADAPTIVE = ({"type": "adaptive", "display": "summarized"}, {"effort": "medium"})
BUDGET = ({"type": "enabled", "budget_tokens": 2048}, None)
EFFORTS: dict[str, tuple[Any, str, Any, Any]] = {
    "anthropic": (ADAPTIVE, "adaptive thinking is not supported on this model", BUDGET, ({"type": "disabled"}, None)),
    "bedrock": (ADAPTIVE, "adaptive thinking is not supported on this model", BUDGET, ({"type": "disabled"}, None)),
    "gemini": (
        {"thinking_level": "MEDIUM", "include_thoughts": True},
        "Thinking level is not supported for this model.",
        {"thinking_budget": 2048, "include_thoughts": True},
        {"thinking_budget": 0},
    ),
}


@pytest.mark.parametrize("kind", [k for k in KINDS if k.values[0] != "azure"])
def test_an_effort_is_asked_as_the_model_knows_it(kind: str) -> None:
    newer, complaint, older, off = EFFORTS[kind]
    with SERVERS[kind]() as server:
        server.fault = lambda n, payload: server.error(400, complaint) if n == 1 else None
        model = model_of(server)
        asyncio.run(respond_all(model, [question(reasoning_effort="medium", max_tokens=4096)]))
        assert [effort_of(kind, p) for p in server.payloads] == [newer, older]
        assert complaint in model.adjustments()["reasoning_effort"]
        with pytest.raises(ModelError, match="more than 1,024 tokens"):
            asyncio.run(respond_all(model, [question(reasoning_effort="medium", max_tokens=900)]))
        ask(server, question(reasoning_effort="none"))
        assert effort_of(kind, server.payloads[-1]) == off


@pytest.mark.parametrize("kind", [k for k in KINDS if k.values[0] in ("anthropic", "bedrock")])
def test_a_long_system_text_is_marked_for_the_cache(kind: str) -> None:
    with SERVERS[kind]() as server:
        ask(server, question(system="You are a helpful assistant."))
        ask(server, question(system="I like lathes. " * 400))
        marks = ["ephemeral" in json.dumps(p) or "cachePoint" in json.dumps(p) for p in server.payloads]
        assert marks == [False, True]


@every_provider
def test_more_fields_and_headers_are_sent(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "hidden-55501234")
    fields = {"guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"}} if kind == "bedrock" else {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    }  # fmt: skip
    with SERVERS[kind]() as server:
        server.fault = lambda n, _: server.error(418, "no: hidden-55501234") if n == 2 else None
        headers = {"X-Team": "lab", "X-Token": "$TEAM_TOKEN"}
        ask(server, extra_body=fields, extra_headers=headers)
        assert fields.items() <= server.payloads[0].items()
        assert (server.headers[0]["X-Team"], server.headers[0]["X-Token"]) == ("lab", "hidden-55501234")
        with pytest.raises(CallError, match=r"\[secret\]"):
            ask(server, extra_headers=headers)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.values[0] == "anthropic"])
def test_cached_tokens_are_priced_apart(kind: str, cli: Cli, tmp_path: Path) -> None:
    prices = ("--price-in", "1", "--price-out", "0", "--price-cached", "0.1", "--format", "json")
    with SERVERS[kind](THOUGHTS[kind]) as server:
        done = cli(*command(server, tmp_path / "study", *prices), env=environment())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cached_tokens"] == 30 * 40
    assert found["cost"] == pytest.approx(30 * (14 * 1 + 40 * 0.1) / 1e6)
    assert "1,200 of its prompt tokens from the cache" in done.stderr


# What goes wrong.


@every_provider
@pytest.mark.parametrize("fault", ["429", "500", "529", "malformed", "shape", "drop", "empty"])
def test_a_passing_fault_is_tried_again_once(kind: str, fault: str) -> None:
    def once(number: int, payload: dict[str, Any]) -> web.StreamResponse | str | None:
        if number > 1:
            return None
        if fault in ("429", "500", "529"):
            return server.error(int(fault), "slow down", **{"Retry-After": "1.5"})
        special: dict[str, web.StreamResponse | str] = {
            "malformed": web.Response(text='{"content": [', content_type="application/json"),
            "shape": web.json_response({"surprise": 1}),
            "drop": "drop",
            "empty": web.Response(text="", content_type="application/json"),
        }
        return special[fault]

    with SERVERS[kind]() as server:
        server.fault = once
        model = model_of(server)
        started = time.perf_counter()
        (found,) = asyncio.run(respond_all(model, [question()]))
        assert isinstance(found, Response), found
        assert found.text
        # One policy: the library makes no attempts of its own.
        assert (server.calls, model.retries) == (2, 1)
        if fault in ("429", "500", "529"):
            assert time.perf_counter() - started >= 1.5


@every_provider
def test_a_lasting_fault_is_a_failed_call(kind: str) -> None:
    with SERVERS[kind]() as server:
        server.fault = lambda n, _: server.error(503, f"overloaded, said {KEY}")
        with pytest.raises(CallError, match=r"HTTP 503.*\[secret\].*2 attempts"):
            ask(server, max_attempts=2)
        assert server.calls == 2


@every_provider
def test_a_server_that_hangs_is_given_up(kind: str) -> None:
    with SERVERS[kind]() as server:
        server.fault = lambda n, _: "hang" if n == 1 else None
        assert ask(server, timeout_s=1.0).text
        assert server.calls == 2


@every_provider
@pytest.mark.parametrize(("status", "said"), [(401, "invalid key"), (403, "no access"), (404, "no model m")])
def test_a_wrong_key_or_model_stops_the_run(kind: str, status: int, said: str) -> None:
    with SERVERS[kind]() as server:
        server.fault = lambda n, _: server.error(status, f"{said} ({KEY})")
        with pytest.raises(ModelError, match=said) as caught:
            ask(server)
        assert server.calls == 1
    assert KEY not in str(caught.value)


@every_provider
def test_log_probabilities_are_not_promised(kind: str) -> None:
    if kind == "azure":
        pytest.skip("OpenAI's API has them")
    with SERVERS[kind]() as server, pytest.raises(ModelError, match="log-probabilities"):
        ask(server, Request((Message("user", "A or B?"),), Decoding(), 1, choices=("A", "B")))


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "azure"])
def test_no_key_is_said_before_anything_is_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed(kind):
        pytest.skip(f"needs {MODULES[kind]}")
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://nobody.invalid")
    with pytest.raises(ModelError, match="No API key: the environment variable"):
        asyncio.run(respond_all(make_model(f"{kind}:m"), [question()]))


@pytest.mark.parametrize("kind", [k for k in SERVERS if k != "azure"])
def test_a_missing_library_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("anthropic", "google", "google.genai", "aiobotocore.config"):
        monkeypatch.setitem(sys.modules, name, None)
    extra = "google" if kind == "gemini" else kind
    with pytest.raises(ModelError, match=rf"pip install 'evenhand\[{extra}\]'"):
        asyncio.run(respond_all(make_model(f"{kind}:m"), [question()]))


def test_anthropic_cannot_do_without_a_limit() -> None:
    with pytest.raises(SpecError, match="max_tokens"):
        make_model("anthropic:m", ModelOptions(drop=("max_tokens",)))


# Azure's addresses.


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("", "/openai/v1/chat/completions"),
        ("/openai/v1/", "/openai/v1/chat/completions"),
        ("?api-version=2026-01-01", "/openai/deployments/m/chat/completions?api-version=2026-01-01"),
        ("/openai?api-version=2026-01-01", "/openai/deployments/m/chat/completions?api-version=2026-01-01"),
        (
            "/openai/deployments/m/chat/completions?api-version=2026-01-01",
            "/openai/deployments/m/chat/completions?api-version=2026-01-01",
        ),
    ],
)
def test_azures_addresses(given: str, called: str) -> None:
    with AzureServer() as server:
        model = make_model("azure:m", ModelOptions(base_url=server.url + given))
        (found,) = asyncio.run(respond_all(model, [question()]))
        assert isinstance(found, Response)
        assert server.addresses == [called]
        assert server.headers[0]["api-key"] == KEY
        assert "Authorization" not in server.headers[0]


def test_azures_address_and_version_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with AzureServer() as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
        monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2026-01-01")
        asyncio.run(respond_all(make_model("azure:m"), [question()]))
        assert server.addresses == ["/openai/deployments/m/chat/completions?api-version=2026-01-01"]


def test_azure_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    with pytest.raises(SpecError, match="AZURE_OPENAI_ENDPOINT"):
        make_model("azure:m")


# Whole studies.


@every_provider
def test_a_study_with_faults_and_filters(kind: str, cli: Cli, tmp_path: Path) -> None:
    def fault(number: int, payload: dict[str, Any]) -> web.Response | None:
        if number == 3:
            return server.error(429, f"slow down, {KEY}", **{"Retry-After": "0.1"})
        return server.error(400, "blocked by our content filter policy") if "a minor" in json.dumps(payload) else None

    out = tmp_path / "study"
    with SERVERS[kind]() as server:
        server.fault = fault
        done = cli(*command(server, out), env=environment())
        assert done.returncode == 0, done.stderr
        assert (server.calls, answered(out)) == (31, 30)
        again = cli(*command(server, out), env=environment())
        assert (again.returncode, server.calls) == (0, 31)
    with sqlite3.connect(out / "study.sqlite") as store:
        rows = store.execute("SELECT identity, finish_reason FROM trials").fetchall()
    assert {r[0] for r in rows if r[1] == "content_filter"} == {"a minor"}
    for file in out.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


@every_provider
def test_kill_9_loses_at_most_what_was_in_flight(kind: str, cli: Cli, tmp_path: Path) -> None:
    out, concurrency = tmp_path / "study", 3
    with SERVERS[kind](delay_s=0.05) as server:
        more = ("--repeats", "3", "--concurrency", str(concurrency))
        line = [sys.executable, "-m", "evenhand.cli.main", *command(server, out, *more)]
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, env={**os.environ, **environment()})
        while server.calls < 25:
            time.sleep(0.01)
            assert process.poll() is None, "the run ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        lost = server.calls - answered(out)
        assert 0 <= lost <= 2 * concurrency
        before = server.calls
        assert cli(*command(server, out, *more), env=environment()).returncode == 0
        assert (answered(out), server.calls) == (90, before + 90 - (before - lost))

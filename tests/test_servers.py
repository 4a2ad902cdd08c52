"""Servers that think, filter, refuse parameters or know no system role: the numbers stay right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import evenhand
from evenhand.cli.main import main
from evenhand.models import ModelOptions, completions, make_model, respond_all, responses
from evenhand.models.complaints import complaint_of
from evenhand.models.endings import declined_category, ending
from evenhand.study import Store
from evenhand.types import Decoding, Message, Request, Response
from tests.server import Server, completion

Cli = Callable[..., subprocess.CompletedProcess[str]]
REQUEST = Request((Message("system", "You are a helpful assistant."), Message("user", "Hello?")), Decoding(), 1)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in this process: a new one would take longer than the study."""

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        for name, value in {"COLUMNS": "500", **(env or {})}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["evenhand", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return call


def arguments(server: Server, out: Path, *more: str) -> list[str]:
    return [
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "starter-safety", "--identities", "age",
        "--limit", "12", "--out", str(out), *more,
    ]  # fmt: skip


def ask(server: Server, request: Request = REQUEST, **options: Any) -> Response:
    import asyncio

    model = make_model("openai:m", ModelOptions(base_url=server.url, max_attempts=2, **options))
    (answer,) = asyncio.run(respond_all(model, [request]))
    if isinstance(answer, Exception):
        raise answer
    return answer


def says(message: dict[str, Any], finish: str = "stop", **usage: Any) -> Callable[[int, dict[str, Any]], web.Response]:
    def fault(number: int, payload: dict[str, Any]) -> web.Response:
        body = completion("x", payload, finish)
        body["choices"][0].pop("logprobs", None)
        body["choices"][0]["message"] = {"role": "assistant", **message}
        body["usage"] |= usage
        return web.json_response(body)

    return fault


def refuses(status: int, **error: Any) -> web.Response:
    return web.json_response({"error": error}, status=status)


# Reasoning


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>no?</think>Yes."},
        {"content": "no?\n</think>\nYes."},
        {"content": "Yes.", "reasoning_content": "no?"},
        {"content": "Yes.", "reasoning": "no?"},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "no?"}]},
                {"type": "text", "text": "Yes."},
            ]
        },
        {"content": "Yes.", "thinking": "no?"},
    ],
)
def test_thoughts_come_in_many_places(message: dict[str, Any]) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 5}, "prompt_tokens_details": {"cached_tokens": 8}}
    with Server(fault=says(message, **details)) as server:
        answer = ask(server)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Yes.", "no?", "stop")
    assert (answer.completion_tokens, answer.reasoning_tokens, answer.cached_tokens) == (7, 5, 8)


def thinker(payload: dict[str, Any]) -> str:
    """Thinks aloud of refusing a minor, and answers everybody alike."""
    refuse = "I'm sorry, but I can't help with that. " * 20
    trace = refuse if "a minor" in json.dumps(payload["messages"]) else "They want steps."
    return f"<think>{trace}</think>Sure! Here is how you do it: first, take the lid off."


def test_what_is_thought_makes_no_bias(cli: Cli, tmp_path: Path) -> None:
    with Server(thinker) as server:
        done = cli(*arguments(server, tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    assert "thinks before it answers" in done.stderr
    pb = evenhand.analyze(tmp_path / "study").pb["safety"]
    assert pb is not None and pb.plugin == 0
    frames = evenhand.load(tmp_path / "study")
    assert not frames.trials["response"].str.contains("think|sorry").any()
    assert frames.trials["reasoning"].str.contains("sorry").any()


def test_answers_cut_while_thinking_are_missing_and_asked_again_under_a_higher_limit(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "study"

    def slow(number: int, payload: dict[str, Any]) -> web.Response | None:
        if payload["max_tokens"] > 300 or number % 3:
            return None
        return web.json_response(completion("<think>I'm sorry, but I can't help with", payload, "length"))

    with Server(lambda _: "<think>Hm.</think>Sure! First, take", fault=slow) as server:
        assert cli(*arguments(server, out)).returncode == 0
        first = evenhand.analyze(out)
        assert first.missing_reasons == {"judge: cut": 24}
        assert first.pb["safety"] is not None and first.pb["safety"].plugin == 0
        lower = cli(*arguments(server, out, "--max-tokens", "200"))
        assert lower.returncode == 2 and "200 is lower" in lower.stderr
        server.calls = 0
        again = cli(*arguments(server, out, "--max-tokens", "4000"))
        assert again.returncode == 0, again.stderr
        assert server.calls == 24
        assert cli(*arguments(server, out, "--max-tokens", "4000")).returncode == 0
        assert server.calls == 24
    analysis = evenhand.analyze(out)
    assert analysis.trials["missing"] == 0
    assert "max_tokens was raised from 300 to 4,000: 24 answers" in analysis.notes[0]
    with Store.open(out) as store:
        assert store.totals()["completion_tokens"] == 7 * (72 + 24)


def test_a_trace_that_the_template_opens_is_no_answer_when_it_is_cut(cli: Cli, tmp_path: Path) -> None:
    def cut(number: int, payload: dict[str, Any]) -> web.Response | None:
        text = "The user asks. I'm sorry, but I can't"
        return web.json_response(completion(text, payload, "length")) if number % 4 == 0 else None

    with Server(lambda _: "Hm.\n</think>\n\nSure! First, take", fault=cut) as server:
        assert cli(*arguments(server, tmp_path / "study")).returncode == 0
    analysis = evenhand.analyze(tmp_path / "study")
    assert analysis.missing_reasons == {"judge: cut": 18}
    assert analysis.pb["safety"] is not None and analysis.pb["safety"].plugin == 0


def test_a_run_that_only_thinks_stops_early(cli: Cli, tmp_path: Path) -> None:
    with Server(fault=says({"content": None, "reasoning_content": "Hm."}, "length")) as server:
        done = cli(*arguments(server, tmp_path / "study", "--concurrency", "2"))
    assert done.returncode == 4
    assert "were all cut at 300 tokens" in done.stderr and "--max-tokens" in done.stderr
    assert server.calls <= 24


def test_effort_is_sent_and_makes_room(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "study"
    with Server() as server:
        assert cli(*arguments(server, out, "--reasoning-effort", "low")).returncode == 0
        assert {(p["reasoning_effort"], p["max_tokens"]) for p in server.payloads} == {("low", 4096)}
        other = cli(*arguments(server, out, "--reasoning-effort", "high"))
    assert other.returncode == 2
    assert "decoding.reasoning_effort" in other.stderr


def test_a_name_that_is_known_to_think_is_warned_of_before_the_first_call(cli: Cli, tmp_path: Path) -> None:
    with Server() as server:
        command = [a.replace("openai:m", "openai:o3-mini") for a in arguments(server, tmp_path / "study")]
        assert "may think before it answers" in cli(*command).stderr
        assert "may think" not in cli(*command, "--max-tokens", "4000").stderr


# Refusals by the provider

AZURE = {
    "code": "content_filter",
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "param": "prompt",
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"hate": {"filtered": False}, "violence": {"filtered": True, "severity": "high"}},
    },
}
DECLINED = [
    (400, {"error": AZURE}, "violence"),
    (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}, ""),
    (400, {"error": {"code": "content_policy_violation", "message": "Your request was rejected."}}, ""),
    (
        400,
        {
            "error": {
                "code": "invalid_prompt",
                "message": "Your prompt was flagged as potentially violating our usage policy.",
            }
        },
        "",
    ),
    (
        403,
        {"error": {"message": "Input was flagged", "code": 403, "metadata": {"reasons": ["harassment"]}}},
        "harassment",
    ),
    (400, {"message": "Blocked by guardrail: topic policy"}, ""),
    (
        400,
        {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}},
        "",
    ),
    (422, {"detail": "The prompt was blocked by our safety system"}, ""),
    (400, {"error": {"message": "Request blocked: PROHIBITED_CONTENT", "status": "INVALID_ARGUMENT"}}, ""),
]
OTHER_ERRORS = [
    (400, {"error": {"message": "This model's maximum context length is 4096 tokens, however you requested 5000."}}),
    (403, {"error": {"message": "Your account was flagged for violating our usage policies."}}),
    (403, {"error": {"message": "Country, region, or territory not supported"}}),
    (401, {"error": {"message": "content filter"}}),
    (500, {"error": {"message": "content_filter"}}),
    (400, {"error": {"message": "Invalid content type: expected a string"}}),
    (400, {"error": {"message": "temperature must be between 0 and 2"}}),
]


@pytest.mark.parametrize(("status", "body", "category"), DECLINED)
def test_what_a_provider_declines_is_an_answer_and_is_not_asked_again(
    status: int, body: dict[str, Any], category: str
) -> None:
    with Server(fault=lambda *_: web.json_response(body, status=status)) as server:
        answer = ask(server)
        assert server.calls == 1
    assert (answer.text, answer.finish_reason, answer.filtered) == ("", "content_filter", category)


@pytest.mark.parametrize(("status", "body"), OTHER_ERRORS)
def test_other_errors_are_not_taken_for_a_filter(status: int, body: dict[str, Any]) -> None:
    assert declined_category(status, json.dumps(body).encode()) is None


@pytest.mark.parametrize(
    ("choice", "text", "category"),
    [
        ({"message": {"content": None}, "finish_reason": "content_filter"}, "", ""),
        ({"message": {"content": ""}, "finish_reason": "SAFETY"}, "", "safety"),
        (
            {"message": {"content": None}, "finish_reason": "content_filter: PROHIBITED_CONTENT"},
            "",
            "prohibited_content",
        ),
        ({"message": {"content": None, "refusal": "I can't."}, "finish_reason": "stop"}, "I can't.", "refusal"),
        ({"message": {"content": "x"}, "finish_reason": "guardrail_intervened"}, "x", "guardrail_intervened"),
        (
            {
                "message": {"content": None},
                "finish_reason": "content_filter",
                "content_filter_results": {"self_harm": {"filtered": True}, "hate": {"filtered": False}},
            },
            "",
            "self_harm",
        ),
    ],
)
def test_answers_that_a_filter_stopped(choice: dict[str, Any], text: str, category: str) -> None:
    found = completions.read({"choices": [choice]}, REQUEST, 0.0)
    assert (found.text, found.finish_reason, found.filtered) == (text, "content_filter", category)


@pytest.mark.parametrize(
    ("word", "found"),
    [("stop", "stop"), (None, "stop"), ("end_turn", "stop"), ("MAX_TOKENS", "length"), ("length", "length"),
     ("FINISH_REASON_SAFETY", "content_filter"), ("tool_calls", "tool_calls")],
)  # fmt: skip
def test_servers_have_their_own_words_for_an_end(word: str | None, found: str) -> None:
    assert ending(word)[0] == found


def test_a_filter_that_stops_one_identity_is_seen_as_its_refusals(cli: Cli, tmp_path: Path) -> None:
    def filters(number: int, payload: dict[str, Any]) -> web.Response | None:
        said = json.dumps(payload["messages"])
        # Six of the twelve items, by what they ask.
        return web.json_response({"error": AZURE}, status=400) if "a minor" in said and len(said) % 2 else None

    with Server(lambda _: "Sure! Here is how you do it: first,", fault=filters) as server:
        done = cli(*arguments(server, tmp_path / "study"))
        asked = sum("a minor" in json.dumps(p) and len(json.dumps(p["messages"])) % 2 for p in server.payloads)
    assert done.returncode == 0, done.stderr
    analysis = evenhand.analyze(tmp_path / "study")
    assert analysis.trials["failed"] == analysis.trials["missing"] == 0
    assert analysis.suites[0].labels["filtered"] == asked > 0
    minor = next(r for r in analysis.identities if r.identity == "a minor")
    assert minor.safety == pytest.approx(100 * asked / 12)


# Parameters

COMPLAINTS = [
    ("temperature", {"message": "Unsupported value: 'temperature' does not support 0.5. Only the default (1) "
                     "value is supported.", "param": "temperature", "code": "unsupported_value"}),
    ("temperature", {"message": "`temperature` is deprecated for this model."}),
    ("seed", {"message": "Unrecognized request argument supplied: seed"}),
    ("seed", {"message": "property 'seed' is unsupported"}),
    ("top_k", {"message": "Unknown name \"top_k\": Cannot find field."}),
    ("top_p", {"message": "temperature and top_p cannot both be specified; top_p is not supported", "param": "top_p"}),
    ("max_tokens", {"message": "Extra inputs are not permitted: max_tokens"}),
    ("stop", {"message": "Unsupported parameter: 'stop' is not supported with this model.", "param": "stop"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "error"), COMPLAINTS)
def test_a_parameter_that_the_server_does_not_know_is_left_out_said_once_and_recorded(
    cli: Cli, tmp_path: Path, name: str, error: dict[str, str]
) -> None:
    def fault(number: int, payload: dict[str, Any]) -> web.Response | None:
        return refuses(400, **error) if name in payload else None

    out = tmp_path / "study"
    more = ("--temperature", "0.5", "--top-k", "5", "--top-p", "0.9", "--stop", "###", "--limit", "3")
    with Server(fault=fault) as server:
        done = cli(*arguments(server, out, *more, "--concurrency", "4"))
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("does not take") == 1
        assert name not in server.payloads[-1]
        refused = sum(name in p for p in server.payloads)
        assert 1 <= refused <= 4
        more_items = cli(*arguments(server, out, *more, "--limit", "5"))
        assert more_items.returncode == 0
        assert sum(name in p for p in server.payloads) == refused
    assert name in evenhand.analyze(out).notes[0]


@pytest.mark.parametrize(
    "message",
    [
        "temperature must be at most 1",
        "max_tokens is too large: 300. This model supports at most 100 completion tokens",
        "This model's maximum context length is 100 tokens; reduce max_tokens",
        "The prompt is not supported",
    ],
)
def test_a_value_that_is_wrong_is_the_users_to_mend(message: str) -> None:
    raw = json.dumps({"error": {"message": message}}).encode()
    assert complaint_of(raw).about(["temperature", "max_tokens", "seed"]) is None


def test_validators_and_plain_text_are_understood() -> None:
    detail = {
        "detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]
    }
    assert complaint_of(json.dumps(detail).encode()).about(["top_k", "seed"]) == "top_k"
    assert complaint_of(b"unknown field: topK").about(["top_k"]) == "top_k"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
        (400, "System role not supported"),
        (500, "Jinja Exception: System role not supported"),
        (400, "Developer instruction is not enabled for models/m"),
        (422, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Only 'user' and 'assistant' roles are supported!"),
    ],
)
def test_a_server_without_system_messages_gets_them_in_the_users_turn(
    cli: Cli, tmp_path: Path, status: int, message: str
) -> None:
    def fault(number: int, payload: dict[str, Any]) -> web.Response | None:
        return refuses(status, message=message) if payload["messages"][0]["role"] == "system" else None

    with Server(fault=fault) as server:
        done = cli(*arguments(server, tmp_path / "study", "--limit", "2"))
        assert done.returncode == 0, done.stderr
        asked = [p["messages"] for p in server.payloads if p["messages"][0]["role"] != "system"]
    assert all([m["role"] for m in messages] == ["user"] for messages in asked)
    told = [m["content"] for (m,) in asked if m["content"].startswith("You are a helpful assistant. I am ")]
    assert told
    assert all("\n\n" in content for content in told)
    assert "no system message" in evenhand.analyze(tmp_path / "study").notes[0]


def test_parameters_are_left_out_and_added_on_request(cli: Cli, tmp_path: Path) -> None:
    more = (
        "--drop",
        "temperature,seed,system",
        "--param",
        "top_a=0.1",
        "--extra-body",
        '{"provider": {"sort": "price"}}',
    )
    headers = ("--extra-header", "api-key=$AZURE_KEY", "--extra-header", "X-Title=study")
    with Server() as server:
        out = tmp_path / "study"
        done = cli(*arguments(server, out, *more, *headers, "--limit", "2"), env={"AZURE_KEY": "sk-very-secret"})
        assert done.returncode == 0, done.stderr
        sent, got = server.payloads[-1], server.headers[-1]
        assert not {"temperature", "seed"} & sent.keys()
        assert [m["role"] for m in sent["messages"]] == ["user"]
        assert (sent["top_a"], sent["provider"]) == (0.1, {"sort": "price"})
        assert (got["api-key"], got["X-Title"]) == ("sk-very-secret", "study")
        other = cli(*arguments(server, out, "--limit", "2"))
        assert other.returncode == 2 and "options.drop" in other.stderr
    for file in filter(Path.is_file, out.rglob("*")):
        assert b"sk-very-secret" not in file.read_bytes()
    literal = cli(*arguments(server, out, "--extra-header", "api-key=sk-very-secret"))
    assert literal.returncode == 2 and "$VARIABLE" in literal.stderr


def test_a_query_in_the_address_stays_a_query() -> None:
    model = make_model(
        "openai:m", ModelOptions(base_url="https://x.azure.com/openai/deployments/m?api-version=2024-10-21")
    )
    address = model.address("chat/completions")  # type: ignore[attr-defined]
    assert str(address) == "https://x.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21"


# The Responses API


class OnlyResponses(Server):
    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        app.router.add_post("/v1/responses", self.respond)

    async def respond(self, request: web.Request) -> web.Response:
        payload = await request.json()
        self.payloads.append(payload)
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
        message = {"type": "message", "content": [{"type": "output_text", "text": "Sure! First, take"}]}
        usage = {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}}
        return web.json_response({"status": "completed", "output": [thought, message], "usage": usage})


def test_a_model_that_only_the_responses_api_serves_is_asked_through_it(cli: Cli, tmp_path: Path) -> None:
    def only(number: int, payload: dict[str, Any]) -> web.Response:
        return refuses(404, message="This model is only supported in v1/responses and not in v1/chat/completions.")

    with OnlyResponses(fault=only) as server:
        done = cli(*arguments(server, tmp_path / "study", "--reasoning-effort", "low"))
        assert done.returncode == 0, done.stderr
        sent = server.payloads[-1]
    assert (sent["reasoning"], sent["max_output_tokens"], sent["store"]) == ({"effort": "low"}, 4096, False)
    trials = evenhand.load(tmp_path / "study").trials
    assert trials["reasoning"].unique().to_list() == ["Hm."]
    assert trials["reasoning_tokens"].sum() == 3 * 72
    assert "Responses API" in evenhand.analyze(tmp_path / "study").notes[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []},
            ("", "length", ""),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []},
            ("", "content_filter", ""),
        ),
        (
            {
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}],
            },
            ("No.", "content_filter", "refusal"),
        ),
    ],
)
def test_how_responses_end(body: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = responses.read(body, 0.0)
    assert (found.text, found.finish_reason, found.filtered) == expected


def test_a_server_that_drops_log_probabilities_is_found_out_early(cli: Cli, tmp_path: Path) -> None:
    with Server(fault=says({"content": "B"})) as server:
        command = [
            a.replace("starter-safety", "starter-utility:logprobs") for a in arguments(server, tmp_path / "study")
        ]
        done = cli(*command, "--concurrency", "2")
    assert done.returncode == 4
    assert "no log-probability" in done.stderr and "without ':logprobs'" in done.stderr
    assert server.calls < 72

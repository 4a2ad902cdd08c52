"""What a newcomer types first: names without their kind, addresses that are no root, Tab, -h, a narrow terminal."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tenacity import RetryCallState
from typer.testing import CliRunner

from evenhand.cli import completion, listing
from evenhand.cli.main import app
from evenhand.errors import ModelError, SpecError
from evenhand.judges import JUDGES
from evenhand.models import CallError, ModelOptions, make_model
from evenhand.models.http import HttpClient
from evenhand.models.references import root_hint
from evenhand.suites import SUITES
from evenhand.types import Decoding, Message, Request
from tests.server import Server

ASKED = Request((Message("user", "Hello."),), Decoding(), seed=1)


@pytest.mark.parametrize(
    ("written", "base_url", "meant"),
    [
        ("gpt-4o-mini", None, "write openai:gpt-4o-mini"),
        ("o3", None, "write openai:o3"),
        ("openai/gpt-4o", None, "Write openai:gpt-4o."),
        ("openai/gpt-4o", "http://h/v1", "Write openai:gpt-4o (or openai:openai/gpt-4o,"),
        ("vllm/meta/Llama", None, "Write vllm:meta/Llama."),
        ("llama3.2:3b", None, "write openai:llama3.2:3b"),
        ("org/Model-7B", None, "write hf:org/Model-7B"),
        ("org/Model-7B", "http://h/v1", "write openai:org/Model-7B"),
        ("opnai:gpt-4o", None, "Did you mean openai:gpt-4o?"),
        ("OpenAI:gpt-4o", None, "Did you mean openai:gpt-4o?"),
        ("smolm2", None, "Did you mean smollm2?"),
        ("bot.py:answer", None, "write python:bot.py:answer"),
        ("bot.toml", None, "write http:bot.toml"),
        ("tests", None, "write hf:tests"),
    ],
)
def test_a_model_without_its_kind(
    written: str, base_url: str | None, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(SpecError) as found:
        make_model(written, ModelOptions(base_url=base_url))
    assert found.value.problem == f"There is no model called '{written}'."
    assert meant in found.value.fix


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/v1/responses", "http://h/v1"),
        ("http://h/chat/completions", "http://h/v1"),
        ("http://h:11434/api/chat", "http://h:11434/v1"),
        ("http://h/proxy/v1/completions?key=a", "http://h/proxy/v1?key=a"),
        ("http://h/v1", ""),
        ("http://h/api/v1/", ""),
        ("http://h/v1beta/openai", ""),
        ("https://h/openai/deployments/gpt-4o?api-version=1", ""),
    ],
)
def test_an_address_that_is_not_the_root(address: str, root: str) -> None:
    assert root_hint(address) == (f"--base-url is the API's root. Write --base-url {root}." if root else "")


async def answer(reference: str, options: ModelOptions) -> str:
    model = make_model(reference, options)
    await model.start()
    try:
        return (await model.respond(ASKED)).text
    finally:
        await model.aclose()


@pytest.mark.parametrize("behind", ["", "/v1/chat/completions"])
async def test_where_nothing_is_found_the_root_is_named(behind: str, server: Server) -> None:
    root = server.url.removesuffix("/v1")
    with pytest.raises(ModelError) as found:
        await answer("openai:m", ModelOptions(base_url=root + behind))
    assert "HTTP 404" in found.value.problem
    assert found.value.fix.endswith(f"Write --base-url {server.url}.")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wait behind each attempt (also where none follows), which is not waited."""
    waits: list[float] = []
    wait = HttpClient._wait

    def none(client: HttpClient, state: RetryCallState) -> float:
        waits.append(wait(client, state))
        return 0.0

    monkeypatch.setattr(HttpClient, "_wait", none)
    return waits


async def test_nothing_listens(at_once: list[float]) -> None:
    port = free_port()
    with pytest.raises(ModelError) as found:
        await answer("openai:m", ModelOptions(base_url=f"http://127.0.0.1:{port}/v1"))
    assert str(found.value) == (
        f"Nothing listens at http://127.0.0.1:{port}. Is the server running? Check host and port."
    )
    assert len(at_once) == 3
    assert sum(at_once[:2]) <= 3  # seconds


async def test_no_tls(at_once: list[float], server: Server) -> None:
    with pytest.raises(ModelError, match="does not speak TLS"):
        await answer("openai:m", ModelOptions(base_url=server.url.replace("http:", "https:")))


async def test_a_server_that_answered_once_is_waited_for(at_once: list[float]) -> None:
    with Server() as running:
        model = make_model("openai:m", ModelOptions(base_url=running.url))
        await model.start()
        assert (await model.respond(ASKED)).text
    try:
        with pytest.raises(CallError, match=r"\(8 attempts\)"):
            await model.respond(ASKED)
    finally:
        await model.aclose()
    assert len(at_once) == 8


MIGRANTS = ("migrant worker", "migrant in an irregular situation")


@pytest.mark.parametrize(
    ("complete", "typed", "offered"),
    [
        (completion.models, "op", ["openai:", "openai-batch:"]),
        (completion.models, "sm", ["smollm2"]),
        (completion.suites, "starter-s", ["starter-safety"]),
        (completion.suites, "starter-translated:f", ["starter-translated:fr"]),
        (completion.suites, "mmlu,gs", ["mmlu,gsm8k"]),
        (completion.suites, "starter-safety,starter-u", ["starter-safety,starter-utility"]),
        (completion.suites, "lm", ["lm-eval:"]),
        (completion.judges, "refusal", ["refusal-classifier", "refusal-rules"]),
        (completion.judges, "llm-st", ["llm-strongreject:"]),
        (completion.suite_is_judge, "gsm", ["gsm8k="]),
        (completion.suite_is_judge, "gsm8k=num", ["gsm8k=number"]),
        (completion.identities, "age,a mi", [f"age,a {n}" for n in ("minor", "middle-aged person", *MIGRANTS)]),
        (completion.identities, "pap", ["paper"]),
        (completion.baselines, "pl", ["plain"]),
        (completion.personalizers, "pro", ["profile"]),
        (completion.mitigations, "neu", ["neutral-draft", "neutralize", "neutralize-llm"]),
        (completion.mitigations, "defense:fairness-", ["defense:fairness-first"]),
        (completion.biases, "verb", ["verbosity"]),
        (completion.presets, "", ["paper", "memory"]),
    ],
)
def test_the_shell_is_told_what_there_is(complete: Callable[[str], list[str]], typed: str, offered: list[str]) -> None:
    assert sorted(complete(typed)) == sorted(offered)


@pytest.mark.parametrize(
    ("words", "offered"),
    [("run --suite gsm", "gsm8k"), ("run --model op", "openai:"), ("judge audit --judge comp", "compliance-rules")],
)
def test_completion_reaches_the_command(words: str, offered: str) -> None:
    shell = {"_EVENHAND_COMPLETE": "complete_bash", "COMP_WORDS": f"evenhand {words}", "COMP_CWORD": "3"}
    shell["COMP_CWORD"] = str(len(words.split()))
    done = CliRunner().invoke(app, [], env=shell, prog_name="evenhand")
    assert offered in done.stdout.split()


@pytest.mark.parametrize("command", [[], ["run"], ["judge"], ["judge", "audit"], ["list"]])
def test_h_is_help(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "-h"])
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


def test_csv_is_offered_where_there_are_rows() -> None:
    for command in (["status"], ["check"], ["plan"], ["compare"], ["judge", "validate"]):
        assert "csv" not in CliRunner().invoke(app, [*command, "--help"]).stdout.split("--format")[1]
    for command in (["analyze"], ["list"]):
        assert "csv" in CliRunner().invoke(app, [*command, "--help"]).stdout.split("--format")[1]


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("kind", list(listing.Kind))
def test_no_name_is_cut(kind: listing.Kind, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "terminal_width", lambda: width)
    rows, columns = listing._LISTS[kind]()
    console = Console(width=width, legacy_windows=False)
    with console.capture() as captured:
        console.print(listing._table(columns, rows))
    shown = captured.get()
    assert "…" not in shown
    lines = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in shown.splitlines()]
    first = "".join(cells[0] for cells in lines if cells)
    assert all("".join(row[0].split()) in "".join(first.split()) for row in rows)
    if width >= 80:
        assert {row[0] for row in rows} <= {cells[0] for cells in lines if cells}
        if kind is listing.Kind.suites:
            judges = {cells[3] for cells in lines if cells}
            assert {SUITES.get(name).judge for name in SUITES.names()} <= judges
            assert "refusal-classifier" in JUDGES.names()

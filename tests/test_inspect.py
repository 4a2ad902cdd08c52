"""Inspect AI: its providers as models, our studies as its logs, our suites as its tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand import api
from evenhand.errors import SpecError
from evenhand.personalizers.record import ProfileBlock
from tests.people import write_people
from tests.server import Server

inspect_ai = pytest.importorskip("inspect_ai")

Cli = Callable[..., subprocess.CompletedProcess[str]]


def run_study(cli: Cli, server: Server, out: Path, model: str, *more: str) -> None:
    done = cli(
        "run", "--model", model, "--base-url", server.url, "--suite", "starter-safety", "--identities",
        "a minor,an adult", "--limit", "8", "--out", str(out), *more, env={"FAKE_API_KEY": "k"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_provider_of_inspect_answers_a_study(cli: Cli, server: Server, tmp_path: Path) -> None:
    run_study(
        cli, server, tmp_path / "study", "inspect:openai-api/fake/m", "--max-tokens", "33", "--temperature", "0.5"
    )
    assert server.calls == 24
    told = [m["content"] for p in server.payloads for m in p["messages"] if m["role"] != "user"]
    assert sum("I am a minor." in text for text in told) == 8
    assert {p.get("max_tokens") or p.get("max_completion_tokens") for p in server.payloads} == {33}
    assert {p["temperature"] for p in server.payloads} == {0.5}
    assert len({p["seed"] for p in server.payloads}) == 24
    status = json.loads(cli("status", str(tmp_path / "study"), "--format", "json").stdout)
    assert (status["answered"], status["prompt_tokens"]) == (24, 24 * 11)


def test_a_call_that_fails_is_counted(cli: Cli, tmp_path: Path) -> None:
    from aiohttp import web

    def fault(number: int, payload: dict[str, object]) -> web.Response | None:
        return web.json_response({"error": {"message": "too odd"}}, status=400) if "minor" in str(payload) else None

    with Server(fault=fault) as server:
        done = cli(
            "run", "--model", "inspect:openai-api/fake/m", "--base-url", server.url, "--suite", "starter-safety",
            "--identities", "a minor,an adult", "--limit", "3", "--max-attempts", "1", "--out", str(tmp_path / "s"),
            env={"FAKE_API_KEY": "k"},
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "3 failed" in done.stderr
    assert "too odd" in done.stderr


def test_what_inspect_says_is_shown_without_its_markup(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "run", "--model", "inspect:nobody/m", "--suite", "starter-safety", "--limit", "2", "--out", str(tmp_path / "s")
    )
    assert done.returncode == 4, done.stderr
    assert "inspect:nobody/m cannot be used: " in done.stderr
    assert "[bold]" not in done.stderr
    assert "Traceback" not in done.stderr


def test_logs_are_read_by_inspect_with_the_identity_as_a_column(
    cli: Cli, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspect_ai.analysis import samples_df
    from inspect_ai.log import read_eval_log

    run_study(cli, server, tmp_path / "study", "openai:m")
    done = cli("export", str(tmp_path / "study"), "--to", "inspect", "--out", str(tmp_path / "logs"))
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "logs").glob("*.eval")
    log = read_eval_log(str(file))
    assert log.status == "success"
    assert len(log.samples) == 24
    found = json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)
    (scores,) = log.results.scores
    for identity in found["identities"]:
        assert scores.metrics[identity["identity"]].value * 100 == pytest.approx(identity["safety"])
    frame = samples_df(str(tmp_path / "logs"))
    assert set(frame["metadata_identity"]) == {"a minor", "an adult", "plain"}
    means = frame.groupby("metadata_identity")["score_evenhand"].mean() * 100
    assert means["a minor"] == pytest.approx(
        next(i["safety"] for i in found["identities"] if i["identity"] == "a minor")
    )
    assert "" not in {sample.output.completion.replace("(withheld)", "") for sample in log.samples}
    monkeypatch.setattr("evenhand.integrations.inspect_logs.is_withheld", lambda suite: True)
    for asked in (False, True):
        (file,) = api.export_study(tmp_path / "study", tmp_path / str(asked), "inspect", withheld=asked)
        samples = read_eval_log(str(file)).samples
        assert ({sample.output.completion for sample in samples} == {"(withheld)"}) is not asked


def test_suites_are_tasks(server: Server, tmp_path: Path, data_dir: Path) -> None:
    from inspect_ai.log import read_eval_log

    command = [
        str(Path(sys.executable).parent / "inspect"), "eval", "evenhand/do_not_answer", "--model", "openai-api/fake/m",
        "--model-base-url", server.url, "-T", "identities=a minor,an adult", "-T", f"data_dir={data_dir}",
        "--log-dir", str(tmp_path / "logs"), "--display", "none",
    ]  # fmt: skip
    environment = {**os.environ, "FAKE_API_KEY": "k", "EVENHAND_DATA_DIR": str(data_dir)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (file,) = (tmp_path / "logs").glob("*.eval")
    log = read_eval_log(str(file))
    assert log.status == "success", log.error
    assert len(log.samples) == 12 * 3
    metrics = {name: m.value for score in log.results.scores for name, m in score.metrics.items()}
    refused = [s.scores["verdict"].value for s in log.samples if s.metadata["identity"] == "a minor"]
    assert metrics["a minor"] == pytest.approx(sum(refused) / len(refused))
    assert metrics["a minor"] > metrics["an adult"]  # so answers the stand-in


def test_a_task_asks_as_people_and_refuses_what_must_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.integrations.inspect_tasks import suite_task

    people = [str(write_people(tmp_path / "people.jsonl"))]
    made = suite_task("fit-recall", ["a minor"], ["plain"], ["profile"], 4, people=people)
    assert any("Keeps" in str(sample.input) for sample in made.dataset)
    monkeypatch.setattr(ProfileBlock, "learns", True)
    with pytest.raises(SpecError, match="learns from the model"):
        suite_task("fit-recall", ["a minor"], ["plain"], ["profile"], 4, people=people)


def test_abilities_of_household_tasks_are_tasks(real_data: Path) -> None:
    from evenhand.integrations import inspect_tasks

    for ability in ("goal_interpretation", "action_sequencing", "subgoal_decomposition", "transition_modeling"):
        assert hasattr(inspect_tasks, f"embodied_{ability}")
    made = inspect_tasks.embodied_subgoal_decomposition(identities="a minor", limit_items=2, data_dir=str(real_data))
    assert [sample.metadata["identity"] for sample in made.dataset].count("a minor") == 2

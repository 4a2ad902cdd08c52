"""The action, the workflow, the hook: valid where they will be read, and their shell steps do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenhand.cli.check import check
from tests.server import Server

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
STUDY = """model = "openai:m"
suites = ["starter-safety"]
identities = ["a woman", "a man"]
limit = {limit}

[options]
base_url = "{url}"
"""


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", "examples/github-workflow.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_for_others_are_what_their_readers_ask_for(schema: str, file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "file"),
    [("validate-manifest", ".pre-commit-hooks.yaml"), ("validate-config", "examples/pre-commit-config.yaml")],
)
def test_hooks_are_what_pre_commit_asks_for(command: str, file: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", command, str(ROOT / file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_gives_the_action_what_it_takes() -> None:
    (job,) = yaml.safe_load((EXAMPLES / "github-workflow.yml").read_text())["jobs"].values()
    (used,) = [step for step in job["steps"] if "evenhand@" in step.get("uses", "")]
    needed = {name for name, about in ACTION["inputs"].items() if about.get("required")}
    assert needed <= used["with"].keys() <= ACTION["inputs"].keys()
    assert all(isinstance(value, str) for value in used["with"].values())


def test_every_limit_of_the_gate_is_an_input() -> None:
    import inspect

    limits = {name for name in inspect.signature(check).parameters if name.startswith(("max_", "min_"))}
    assert {name.replace("_", "-") for name in limits} <= ACTION["inputs"].keys()


def test_no_input_is_pasted_into_a_script_and_no_key_is_an_input() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == ("shell" in step)
    assert not [name for name in ACTION["inputs"] if re.search("key|token|secret", name)]


class Runner:
    """Does an action's shell steps as GitHub's runner does, with what it gives them; what others do is left out.

    Args:
        workspace: where the steps run.
        given: inputs.
    """

    def __init__(self, workspace: Path, **given: str) -> None:
        self.workspace, self.outputs, self.said = workspace, dict[str, dict[str, str]](), ""
        defaults = {name: about.get("default", "") for name, about in ACTION["inputs"].items()}
        self.inputs = defaults | {name.replace("_", "-"): value for name, value in given.items()}
        self.temporary = workspace / "temporary"
        self.temporary.mkdir()
        self.summary = self.temporary / "summary.md"

    def value(self, text: str) -> str:
        """A text with its expressions worked out: inputs, outputs of steps, the action's folder."""

        def found(match: re.Match[str]) -> str:
            kind, *parts = match[1].strip().split(".")
            if kind == "inputs":
                return self.inputs[parts[0]]
            if kind == "steps":
                return self.outputs.get(parts[0], {}).get(parts[2], "")
            assert (kind, *parts) == ("github", "action_path")
            return str(ROOT)

        return re.sub(r"\$\{\{(.*?)\}\}", found, str(text))

    def run(self) -> int:
        """All steps but the installation, up to the first that fails; the exit code."""
        for step in ACTION["runs"]["steps"]:
            if "run" in step and step["name"] != "Install" and (code := self.step(step)):
                return code
        return 0

    def step(self, step: dict[str, Any], **more: str) -> int:
        told = self.temporary / "output"
        told.write_text("")
        env = {
            **os.environ, "PATH": PATH, "RUNNER_TEMP": str(self.temporary), "GITHUB_OUTPUT": str(told),
            "GITHUB_STEP_SUMMARY": str(self.summary), "OPENAI_API_KEY": "k",
            **{name: self.value(value) for name, value in step.get("env", {}).items()}, **more,
        }  # fmt: skip
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            script, cwd=self.workspace, env=env, capture_output=True, text=True, timeout=240, check=False
        )
        self.said += done.stdout + done.stderr
        pairs = dict(line.split("=", 1) for line in told.read_text().splitlines())
        self.outputs[step.get("id", step["name"])] = pairs
        return done.returncode


def fair(payload: dict[str, Any]) -> str:
    return "I'm sorry, but I can't help with that."


def unfair(payload: dict[str, Any]) -> str:
    return fair(payload) if "a woman" in str(payload["messages"]) else "Sure! Here is how you do it: first, take"


@pytest.mark.parametrize(
    ("answer", "limit", "given", "decision", "code"),
    [
        (fair, 20, {"max_pb": "20", "min_safety": "50", "max_calls": "400"}, "pass", 0),
        (unfair, 40, {"max_pb": "3"}, "fail", 1),
        (fair, 4, {"max_pb": "3", "allow_too_little_data": "true"}, "not enough data", 0),
    ],
)
def test_the_steps_of_the_action(
    answer: Any, limit: int, given: dict[str, str], decision: str, code: int, tmp_path: Path
) -> None:
    with Server(answer) as server:
        (tmp_path / "study.toml").write_text(STUDY.format(limit=limit, url=server.url))
        runner = Runner(tmp_path, study="study.toml", **given)
        assert runner.run() == code, runner.said
    assert runner.outputs["gate"]["decision"] == decision, runner.said
    assert "<testsuite" in Path(runner.outputs["gate"]["junit"]).read_text()
    assert "max_pb" in runner.summary.read_text() or "PB" in runner.summary.read_text()
    page = Path(runner.outputs["report"]["path"]).read_text()
    assert "This copy is for others" in page and "transcripts-data" not in page
    assert f"evenhand: {decision}" in runner.said


@pytest.mark.parametrize(
    ("decision", "allowed", "code"),
    [
        ("pass", "false", 0),
        ("fail", "false", 1),
        ("fail", "true", 1),
        ("not enough data", "false", 1),
        ("not enough data", "true", 0),
        ("", "true", 1),
    ],
)
def test_the_verdict(decision: str, allowed: str, code: int, tmp_path: Path) -> None:
    (verdict,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Verdict"]
    runner = Runner(tmp_path, study="s", allow_too_little_data=allowed)
    runner.outputs["gate"] = {"decision": decision}
    assert runner.step(verdict) == code


def test_a_mistake_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('model = "openai:m"\nsuites = ["starter-savety"]\nidentities = ["age"]\n')
    runner = Runner(tmp_path, study="study.toml", max_pb="3")
    assert runner.run() == 2
    assert "Did you mean 'starter-safety'" in runner.said or "starter-safety" in runner.said
    assert "gate" not in runner.outputs
    with Server(fair) as server:
        (tmp_path / "study.toml").write_text(STUDY.format(limit=4, url=server.url))
        (tmp_path / "again").mkdir()
        shutil.copy(tmp_path / "study.toml", tmp_path / "again")
        without = Runner(tmp_path / "again", study="study.toml")
        assert without.run() == 2
    assert "No limit was given" in without.said and "decision" not in without.outputs["gate"]


def test_what_the_action_installs(tmp_path: Path) -> None:
    (install,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Install"]
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
    python.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    told = []
    for n, given in enumerate(({}, {"extras": "local,hub"}, {"package": "evenhand==0.1.0", "extras": "hub"})):
        (tmp_path / str(n)).mkdir()
        runner = Runner(tmp_path / str(n), study="s", **given)
        assert runner.step(install, PATH=path) == 0
        told.append(runner.said)
    assert told == [
        f"[-m][pip][install][--quiet][{ROOT}]",
        f"[-m][pip][install][--quiet][{ROOT}[local,hub]]",
        "[-m][pip][install][--quiet][evenhand==0.1.0[hub]]",
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A repository of somebody's, with the hook as the example shows it."""
    place = tmp_path / "theirs"
    place.mkdir()
    shutil.copy(EXAMPLES / "pre-commit-config.yaml", place / ".pre-commit-config.yaml")
    shutil.copy(EXAMPLES / "gate.sh", place / "gate.sh")
    for command in (["init", "--quiet"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", *command], cwd=place, check=True)
    return place


def pushed(repository: Path, cache: Path, **limits: str) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    env = {
        **os.environ, "PATH": PATH, "OPENAI_API_KEY": "k", "PRE_COMMIT_HOME": str(cache), **limits,
    }  # fmt: skip
    command = [sys.executable, "-m", "pre_commit", "run", "--hook-stage", "pre-push", "--all-files", "--verbose"]
    return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, timeout=240, check=False)


def test_the_hook_stops_a_push_and_asks_nothing_twice(repository: Path, tmp_path: Path) -> None:
    with Server(fair) as server:
        (repository / "study.toml").write_text(STUDY.format(limit=132, url=server.url))
        (repository / "prompts").mkdir()
        (repository / "prompts" / "system.txt").write_text("Be helpful.")
        (repository / ".gitignore").write_text("studies/\n")
        passes = pushed(repository, tmp_path / "cache", MAX_PB="8", MIN_SAFETY="80")
        assert passes.returncode == 0, passes.stdout + passes.stderr
        assert "Pass." in passes.stdout
        asked = server.calls
        assert asked == 3 * 132
        fails = pushed(repository, tmp_path / "cache", MAX_PB="0.5", MIN_SAFETY="80")
        assert fails.returncode == 1 and "Not enough data." in fails.stdout
        assert server.calls == asked
        # Another prompt is another assistant, and another study.
        (repository / "prompts" / "system.txt").write_text("Be brief.")
        pushed(repository, tmp_path / "cache", MAX_PB="8", MIN_SAFETY="80")
        assert server.calls == 2 * asked
        assert len(list((repository / "studies").iterdir())) == 2

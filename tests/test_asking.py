"""``evenhand run`` without arguments asks on a terminal; its help names every kind of model."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pexpect
import pytest
from typer.testing import CliRunner

from evenhand.cli.main import app
from evenhand.models import MODELS
from evenhand.study import Store, StudySpec
from tests.server import Server


class Person:
    """Somebody at a terminal of 120 columns, in a directory of their own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.seen = io.StringIO()
        environment = {**os.environ, "TERM": "dumb", "OPENAI_API_KEY": "k"}
        environment.pop("OPENAI_BASE_URL", None)
        command = ["-m", "evenhand", "run", *arguments]
        self.terminal = pexpect.spawn(
            sys.executable, command, cwd=str(directory), env=environment, encoding="utf-8", dimensions=(40, 120),
            timeout=60, logfile=self.seen,
        )  # fmt: skip

    def answers(self, asked: str, typed: str) -> None:
        self.terminal.expect_exact(asked)
        self.terminal.sendline(typed)

    def waits(self) -> int:
        self.terminal.expect(pexpect.EOF)
        self.terminal.close()
        return int(self.terminal.exitstatus or 0)


def test_four_answers_are_a_study_that_runs(tmp_path: Path, server: Server) -> None:
    person = Person(tmp_path)
    person.answers("1. Which model?", "gpt-4o")
    person.answers("write openai:gpt-4o", "openai:m")
    person.answers("At which address?", server.url)
    person.answers("2. Whom", "agee")
    person.answers("2. Whom", "age")
    person.answers("3. What is it asked?", "starter-savety")
    person.answers("starter-safety", "starter-safety")
    person.answers("4. How many", "many")
    person.answers("4. How many", "3")
    person.answers("Run it now?", "y")
    assert person.waits() == 0, person.seen.getvalue()
    said = person.seen.getvalue()
    assert "Written: study/study.toml" in said
    assert "18 new answers" in said
    spec = StudySpec.from_toml(tmp_path / "study" / "study.toml")
    assert (spec.model, spec.suites, spec.identities, spec.limit) == ("openai:m", ("starter-safety",), ("age",), 3)
    with Store.open(tmp_path / "study") as store:
        assert store.count_trials() == 18


def test_what_was_written_is_what_run_takes(tmp_path: Path, server: Server) -> None:
    (tmp_path / "study").mkdir()
    person = Person(tmp_path)
    person.answers("1. Which model?", "openai:m")
    person.answers("At which address?", server.url)
    person.answers("2. Whom", "")
    person.answers("3. What is it asked?", "")
    person.answers("4. How many", "2")
    person.answers("Run it now?", "n")
    assert person.waits() == 0
    file = tmp_path / "study-2" / "study.toml"
    assert f"go on with it: evenhand run {file.relative_to(tmp_path)}" in person.seen.getvalue()
    assert StudySpec.from_toml(file).identities == ("paper",)
    assert server.calls == 0
    done = CliRunner().invoke(app, ["run", str(file)], env={"OPENAI_API_KEY": "k"})
    assert done.exit_code == 0, done.output
    assert server.calls == 2 * 2 * 32  # items x suites x (31 identities and the baseline)


def test_who_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    person = Person(tmp_path)
    person.terminal.expect_exact("1. Which model?")
    person.terminal.sendintr()
    assert person.waits() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('model = "openai:m"\n')
    person = Person(tmp_path, "--out", ".")
    assert person.waits() == 2
    assert "evenhand run study.toml" in person.seen.getvalue()
    assert (tmp_path / "study.toml").read_text() == 'model = "openai:m"\n'


@pytest.mark.parametrize("arguments", [[], ["--limit", "3"]])
def test_where_nobody_sits_nobody_is_asked(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["run", *arguments], input="openai:m\n")
    assert "No model was given." in str(done.exception)


def test_who_gives_a_setting_is_told_what_lacks(tmp_path: Path) -> None:
    person = Person(tmp_path, "--limit", "3")
    assert person.waits() == 2
    assert "No model was given." in person.seen.getvalue()


def test_the_help_names_every_kind_of_model() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).stdout
    told = shown.split("--model")[1].split("--suite")[0]
    kinds = [name for name in MODELS.names() if name != "imported"]  # which cannot be asked
    assert len(kinds) > 10
    assert all(f" {kind}:" in told or f" {kind}," in told for kind in kinds), told

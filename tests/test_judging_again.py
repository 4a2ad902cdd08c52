"""Judging a study again: a judge for the other axis, and a model that says nothing a judge could say."""

from __future__ import annotations

import gc
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.errors import ModelError, SpecError
from evenhand.judges import base, make_judge
from evenhand.models import ModelOptions
from evenhand.runner import rejudge
from evenhand.runner.progress import Silent
from evenhand.study import Store
from evenhand.types import Verdict
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
RUBRIC = 'name = "n"\ntask = "Judge it."\ngood = "high"\naxis = "safety"\n[scale]\n1 = "bad"\n5 = "fine"\n'


def study(folder: Path, server: Server, **fields: Any) -> Path:
    given = {
        "model": "openai:m", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 30,
        "options": {"base_url": server.url}, **fields,
    }  # fmt: skip
    evenhand.run(given, folder)
    return folder


@pytest.mark.parametrize(
    ("judge", "suite", "axis", "fits"),
    [
        ("refusal-classifier", "xstest-safe", "utility", False),
        ("compliance-rules", "starter-safety", "safety", False),
        ("llm-actions:openai:m", "xstest-safe", "utility", False),
        ("hf:LibrAI/longformer-action-ro", "xstest-safe", "utility", False),
        ("ensemble:refusal-rules+llm-actions:openai:m", "xstest-safe", "utility", False),
        ("hf:x?good=LABEL_1", "xstest-safe", "utility", True),
        ("compliance-classifier", "xstest-safe", "utility", True),
        ("llm-strongreject:openai:m", "strongreject", "safety", True),
        ("choice", "own", "safety", True),
    ],
)
def test_a_judge_for_the_other_axis_is_refused(judge: str, suite: str, axis: Any, fits: bool) -> None:
    member = make_judge(judge)
    if fits:
        member.check_suite(suite, axis)
        return
    with pytest.raises(SpecError, match=f"the suite {suite} measures {axis}") as raised:
        member.check_suite(suite, axis)
    wanted = "compliance-classifier" if axis == "utility" else "refusal-classifier"
    assert wanted in raised.value.fix


def test_a_rubric_says_which_axis_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(RUBRIC)
    member = make_judge(f"rubric:{tmp_path / 'r.toml'}:openai:m")
    member.check_suite("starter-safety", "safety")
    with pytest.raises(SpecError, match='Write axis = "utility" in '):
        member.check_suite("starter-utility", "utility")


def test_the_axis_is_checked_by_run_and_by_judge_again(tmp_path: Path, server: Server, cli: Cli) -> None:
    with pytest.raises(SpecError, match="measures safety"):
        study(tmp_path / "wrong", server, judges={"starter-safety": "compliance-rules"})
    folder = study(tmp_path / "study", server)
    done = cli("judge", "again", str(folder), "--judge", "starter-safety=compliance-classifier")
    assert done.returncode == 2
    problem, fix = done.stderr.strip().splitlines()
    assert "the suite starter-safety measures safety" in problem
    assert fix == "Use refusal-classifier or refusal-rules."


def test_a_judge_that_answers_rubbish_stops_early(tmp_path: Path, server: Server) -> None:
    folder = study(tmp_path / "study", server)
    judge = "llm-actions:openai:judge"
    with Server(lambda _: "I like turtles.") as rubbish:
        with pytest.raises(ModelError, match=r"The first 20 answers of the judge .* 'I like turtles\.'"):
            rejudge(folder, {"starter-safety": judge}, ModelOptions(base_url=rubbish.url))
        assert rubbish.calls < 150
    with Store.open(folder) as store:
        assert store.judges_in_use() == {"starter-safety": "action-classifier"}
        assert store.count_unjudged("starter-safety", judge, make_judge(judge).version) == store.count_trials()


def test_few_answers_all_unreadable_are_said_first_and_fail(tmp_path: Path, server: Server, cli: Cli) -> None:
    folder = study(tmp_path / "study", server, limit=2)
    arguments = (
        "judge",
        "again",
        str(folder),
        "--judge",
        "starter-safety=llm-actions:openai:judge",
        "--format",
        "json",
    )
    with Server(lambda _: "I like turtles.") as rubbish:
        done = cli(*arguments, "--base-url", rubbish.url, env={"OPENAI_API_KEY": "k"})
    assert done.returncode == 1, done.stderr
    assert "None of the 6 answers of the judge could be read" in done.stderr
    assert "I like turtles." in done.stderr
    assert json.loads(done.stdout)["unreadable"] == 6
    with Store.open(folder) as store:
        assert store.judges_in_use() == {"starter-safety": "action-classifier"}


def test_some_unreadable_answers_are_counted_and_missing(tmp_path: Path, server: Server) -> None:
    folder = study(tmp_path / "study", server)
    (tmp_path / "r.toml").write_text(RUBRIC)

    def answer(payload: dict[str, Any]) -> str:
        return "Hm." if "I'm sorry" in payload["messages"][-1]["content"] else "Score: 1"

    with Server(answer) as judge:
        done = rejudge(
            folder, {"starter-safety": f"rubric:{tmp_path / 'r.toml'}:openai:j"}, ModelOptions(base_url=judge.url)
        )
    with Store.open(folder) as store:
        scores = [row[8] for row in store.scores()]
        declined = [row for row in store.scores() if row[9] == "unreadable-judge"]
    assert 0 < done.unreadable == len(declined) < done.new == len(scores)
    assert set(scores) == {None, 0.0}


def test_a_run_whose_judge_answers_rubbish_stops_and_keeps_its_answers(tmp_path: Path, server: Server) -> None:
    with Server(lambda _: "I like turtles.") as rubbish:
        fields = {
            "judges": {"starter-safety": "llm-actions:openai:judge"},
            "judge_options": {"base_url": rubbish.url},
            "limit": 60,
            "options": {"base_url": server.url, "concurrency": 4},
        }
        with pytest.raises(ModelError, match="The first 20 answers of the judge"):
            study(tmp_path / "study", server, **fields)
    with Store.open(tmp_path / "study") as store:
        assert 20 <= store.count_trials() < 60


def test_a_run_shows_the_user_to_a_rubric_that_may_see_them(tmp_path: Path, server: Server) -> None:
    (tmp_path / "r.toml").write_text("sees_user = true\n" + RUBRIC)
    with Server(lambda _: "Score: 5") as judge:
        fields = {
            "judges": {"starter-safety": f"rubric:{tmp_path / 'r.toml'}:openai:judge"},
            "judge_options": {"base_url": judge.url},
            "limit": 2,
        }
        folder = study(tmp_path / "study", server, **fields)
        seen = [payload["messages"][-1]["content"] for payload in judge.payloads]
        (tmp_path / "r.toml").write_text("sees_user = true\n" + RUBRIC.replace("fine", "splendid"))
        before = judge.calls
        rejudge(folder, {}, ModelOptions(base_url=judge.url))
        again = [payload["messages"][-1]["content"] for payload in judge.payloads[before:]]
    assert any("a woman" in text for text in seen)
    assert {text.replace("splendid", "fine") for text in again} == set(seen)


class Alive(Silent):
    """Counts the verdicts that are there when the last answer is judged."""

    def __init__(self, last: int) -> None:
        self.left, self.verdicts = last, 0

    def advance(self, *, failed: bool, retries: int) -> None:
        self.left -= 1
        if self.left == 0:
            gc.collect()
            self.verdicts = sum(isinstance(known, Verdict) for known in gc.get_objects())


def test_judging_millions_holds_no_verdicts(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_REMEMBERED", 50)
    folder = study(tmp_path / "study", server, identities=[], limit=1)
    with Store.create(folder) as store, store.transaction():
        columns = [row[1] for row in store._db.execute("PRAGMA table_info(trials)")]
        own = {"id": "1000 + n", "repeat": "1000 + n", "response": "'No. ' || n"}
        selected = ", ".join(own.get(column, column) for column in columns)
        store._db.execute(
            f"""WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2999)
            INSERT INTO trials SELECT {selected} FROM trials, numbers WHERE id = 1"""
        )
    watched = Alive(3000)
    assert rejudge(folder, {"starter-safety": "refusal-rules"}, progress=watched).new == 3000
    # Those of the page that is being judged, and those of the package.
    assert 0 < watched.verdicts < 1000

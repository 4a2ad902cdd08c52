"""A study of all abilities with household tasks: what is planted for one identity is found, and what cannot be seen
is said first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.household import WORSE, answers, planted_pb, worse_for_one
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
TWELVE = "age,sexuality,disability"


def run(cli: Cli, server: Server, data: Path, out: Path, suite: str, *more: str) -> None:
    done = cli(
        "run", "--model", "openai:robot", "--base-url", server.url, "--data-dir", str(data), "--suite", suite,
        "--identities", TWELVE, "--max-tokens", "1600", "--temperature", "0", "--out", str(out), *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_four_abilities_by_twelve_identities_find_what_was_planted(cli: Cli, real_data: Path, tmp_path: Path) -> None:
    share = 0.5
    with Server(worse_for_one(answers(real_data, published=False), share)) as server:
        run(cli, server, real_data, tmp_path / "study", "embodied", "--limit", "10")
        assert server.calls == 4 * 10 * 13
    found = json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)
    low, high = found["pb"]["utility"]["ci"]
    assert 0 < low <= planted_pb(100 * share, 12) <= high
    scores = {one["identity"]: one["utility"] for one in found["identities"]}
    assert min(scores, key=lambda name: scores[name]) == WORSE
    assert {scores[name] for name in scores if name != WORSE} == {100.0}
    abilities = {suite["suite"]: suite for suite in found["suites"]}
    assert set(abilities["embodied:subgoal-decomposition"]["identity_labels"][WORSE]) == {"goal reached", "hedge"}
    shown = cli("report", str(tmp_path / "study"), "--out", str(tmp_path / "report.html"))
    assert shown.returncode == 0, shown.stderr
    assert "embodied:subgoal-decomposition" in (tmp_path / "report.html").read_text()


def test_where_nothing_can_be_read_that_is_said_before_all_else(cli: Cli, real_data: Path, tmp_path: Path) -> None:
    with Server(lambda payload: '{"output": [{"output": [') as server:
        run(cli, server, real_data, tmp_path / "study", "embodied:transition-modeling", "--limit", "4")
    shown = cli("analyze", str(tmp_path / "study")).stdout
    assert shown.startswith("No answer could be read: nothing can be seen of bias")
    assert shown.splitlines()[1].startswith(
        "Note: None of the 52 answers on utility could be read, and every one scores 0"
    )
    assert "(the rule of three)" in shown.partition("Personalization bias")[0]
    gated = cli("check", str(tmp_path / "study"), "--max-pb", "99")
    assert "not enough data" in gated.stdout

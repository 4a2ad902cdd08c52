"""A study on a local Ray cluster of two workers, one of which dies in the middle."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.errors import ModelError
from evenhand.models import ModelOptions, make_model
from evenhand.study import Store

ray = pytest.importorskip("ray")

Cli = Callable[..., subprocess.CompletedProcess[str]]

# Notes each call with its process; the worker that makes the tenth call dies with it, once.
FUNCTION = """
import os, pathlib, time

LOG = pathlib.Path("LOGFILE")

def answer(messages, seed):
    with LOG.open("a") as file:
        file.write(f"{os.getpid()} {seed}\\n")
    if len(LOG.read_text().splitlines()) >= 10:
        try:  # made by one call alone: two workers that both looked for it first would both die
            with LOG.with_suffix(".crashed").open("x") as crashed:
                crashed.write(str(os.getpid()))
            os._exit(1)
        except FileExistsError:
            pass
    time.sleep(0.05)
    return "I'm sorry, but I can't help with that."
"""


def test_a_worker_dies_and_no_trial_is_lost_or_counted_twice(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "calls.txt"
    (tmp_path / "mine.py").write_text(FUNCTION.replace("LOGFILE", str(log)))
    command = (
        "run", "--model", f"python:{tmp_path / 'mine.py'}:answer", "--suite", "starter-safety", "--limit", "12",
        "--identities", "a minor,an adult", "--executor", "ray", "--workers", "2", "--concurrency", "3",
        "--out", str(tmp_path / "study"),
    )  # fmt: skip
    done = cli(*command, env={"RAY_DEDUP_LOGS": "0"})
    assert done.returncode == 0, done.stderr
    dead = log.with_suffix(".crashed").read_text()
    calls = [line.split() for line in log.read_text().splitlines()]
    assert len({process for process, _ in calls}) >= 3  # two workers, and the one that took the dead one's place
    assert dead in {process for process, _ in calls}
    made = Counter(seed for _, seed in calls)
    assert len(made) == 36
    assert sum(made.values()) - 36 <= 3  # only what was in flight on the dead worker was asked again
    with Store.open(tmp_path / "study") as store:
        assert store.count_trials() == 36
        assert store.runs()[-1]["settings"]["workers"] == 2
    before = len(calls)
    again = cli(*command)
    assert again.returncode == 0, again.stderr
    assert len(log.read_text().splitlines()) == before
    found = json.loads(cli("analyze", str(tmp_path / "study"), "--format", "json").stdout)
    assert found["trials"]["done"] == 36


def test_a_cluster_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "run", "--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--suite", "starter-safety", "--limit",
        "2", "--executor", "ray", "--ray-address", "127.0.0.1:1", "--out", str(tmp_path / "study"),
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "no Ray cluster at 127.0.0.1:1" in done.stderr


async def test_a_cluster_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray does

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fails)
    model = make_model("openai:m", ModelOptions(executor="ray", base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelError, match="Ray cannot be used: The current node timed out"):
        await model.start()

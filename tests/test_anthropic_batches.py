"""Anthropic's batches through its own library: what was sent is paid for once, whatever happens to the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.providers import AnthropicBatchServer, AnthropicServer, environment
from tests.test_batches import Cli, answered, scores
from tests.test_providers import command

pytest.importorskip("anthropic")


def test_a_study_is_a_batch(cli: Cli, tmp_path: Path) -> None:
    with AnthropicBatchServer() as server:
        done = cli(*command(server, tmp_path / "batch"), env=environment())
        assert done.returncode == 0, done.stderr
        assert (len(server.batches), server.calls, answered(tmp_path / "batch")) == (1, 30, 30)
    with AnthropicServer() as plain:
        assert cli(*command(plain, tmp_path / "plain"), env=environment()).returncode == 0
    assert scores(cli, tmp_path / "batch") == scores(cli, tmp_path / "plain")  # each answer belongs to its question


def test_a_killed_run_takes_up_its_batch(cli: Cli, tmp_path: Path) -> None:
    with AnthropicBatchServer(patience=10**9) as server:
        line = [sys.executable, "-m", "evenhand.cli.main", *command(server, tmp_path / "study")]
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL, env={**os.environ, **environment()})
        while not server.looked:
            time.sleep(0.05)
            assert process.poll() is None, "the run ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert answered(tmp_path / "study") == 0
        server.patience = 1
        done = cli(*command(server, tmp_path / "study"), env=environment())
        assert done.returncode == 0, done.stderr
        assert (len(server.batches), server.calls) == (1, 30)
    assert answered(tmp_path / "study") == 30


def test_a_batch_that_was_made_but_not_noted_is_found(cli: Cli, tmp_path: Path) -> None:
    with AnthropicBatchServer(broken="after making") as server:
        done = cli(*command(server, tmp_path / "study"), env=environment())
        assert done.returncode == 4
        assert "Run again" in done.stderr
        assert cli(*command(server, tmp_path / "study"), env=environment()).returncode == 0
        assert (len(server.batches), server.calls) == (1, 30)
    assert answered(tmp_path / "study") == 30


@pytest.mark.parametrize(("broken", "said"), [("every third", "no luck"), ("some expire", "the request expired")])
def test_what_a_batch_could_not_answer_is_asked_again_by_the_next_run(
    broken: str, said: str, cli: Cli, tmp_path: Path
) -> None:
    with AnthropicBatchServer(broken=broken) as server:
        done = cli(*command(server, tmp_path / "study"), env=environment())
        assert done.returncode == 1
        assert f"10 calls failed with: {said}" in done.stderr
        assert cli(*command(server, tmp_path / "study"), env=environment()).returncode == 0
        assert [len(asked) for asked in server.asked.values()] == [30, 10]
    assert answered(tmp_path / "study") == 30


def test_a_parameter_that_a_batch_refuses_is_left_out(cli: Cli, tmp_path: Path) -> None:
    with AnthropicBatchServer(broken="temperature") as server:
        done = cli(*command(server, tmp_path / "study"), env=environment())
        assert done.returncode == 0, done.stderr
        assert len(server.batches) == 2
    assert answered(tmp_path / "study") == 30

"""A run through every fault ends as a run without any: nothing that was paid for lost, nothing twice.

``EVENHAND_KILLS=50 python -m pytest tests/test_chaos.py`` kills a run at fifty random points.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.study import Store
from tests.chaos import FAULTS, chaos, half_a_character, odd_answer
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]
KILLS = int(os.environ.get("EVENHAND_KILLS", "6"))
CONCURRENCY = 8


def arguments(server: Server, out: Path, *more: str) -> list[str]:
    return [
        "run", "--model", "openai:fake", "--base-url", server.url, "--suite", "starter-safety", "--identities", "age",
        "--limit", "12", "--repeats", "3", "--timeout", "1.5", "--concurrency", str(CONCURRENCY), "--out", str(out),
        *more,
    ]  # fmt: skip


def results(cli: Cli, out: Path) -> dict[str, Any]:
    """What an analysis says, without what only tells how the run went."""
    found = json.loads(cli("analyze", str(out), "--format", "json").stdout)
    return {key: value for key, value in found.items() if key not in ("study", "path", "runs", "cost", "seconds")}


def cells(out: Path) -> list[tuple[Any, ...]]:
    """Every trial's cell and answer, in order."""
    frame = evenhand.load(out).trials.sort("suite", "item", "identity", "repeat")
    return frame.select("suite", "item", "identity", "repeat", "response", "score").rows()


@pytest.fixture
def calm(cli: Cli, tmp_path: Path) -> Path:
    """The same study, run without faults."""
    with Server(odd_answer) as server:
        done = cli(*arguments(server, tmp_path / "calm"))
        assert done.returncode == 0, done.stderr
    return tmp_path / "calm"


def test_every_fault_and_kill_9_at_random_points(cli: Cli, calm: Path, tmp_path: Path) -> None:
    out, draw = tmp_path / "study", random.Random(KILLS)
    planned = len(cells(calm))
    with Server(odd_answer, fault=chaos(1), delay_s=0.01) as server:
        command = [sys.executable, "-m", "evenhand.cli.main", *arguments(server, out)]
        kills = 0
        for _ in range(KILLS):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            target = server.calls + draw.randint(0, 2 * planned // KILLS)
            while server.calls < target and process.poll() is None:
                time.sleep(0.002)
            time.sleep(draw.random() * 0.05)
            kills += process.poll() is None
            process.kill()
            process.wait()
        assert kills, "nothing was killed"
        for _ in range(5):  # calls that failed for good are asked again by the next run
            done = cli(*arguments(server, out))
            assert "Traceback" not in done.stderr
            if done.returncode == 0:
                break
        assert done.returncode == 0, done.stderr
        answered = sum(server.answered.values())
        assert server.calls > answered, "there were faults"
        assert planned <= answered <= planned + kills * CONCURRENCY, "only calls in flight were lost"
    assert cells(out) == cells(calm)
    assert results(cli, out) == results(cli, calm)
    with Store.open(out) as store:
        assert store.count_trials() == planned
    assert cli("doctor", str(out)).returncode == 0


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_alone_is_overcome(kind: str, cli: Cli, tmp_path: Path) -> None:
    with Server(odd_answer, fault=lambda number, _: FAULTS[kind]() if number in (2, 5) else None) as server:
        done = cli(*arguments(server, tmp_path / "study", "--limit", "2", "--repeats", "1"))
        assert done.returncode == 0, done.stderr
        assert sum(server.answered.values()) == 12
        assert server.calls == 14
    assert len(cells(tmp_path / "study")) == 12


def test_half_a_character_is_an_answer(cli: Cli, tmp_path: Path) -> None:
    with Server(fault=lambda number, payload: half_a_character(payload)) as server:
        done = cli(*arguments(server, tmp_path / "study", "--limit", "2", "--repeats", "1"))
        assert done.returncode == 0, done.stderr
        assert server.calls == 12
    texts = evenhand.load(tmp_path / "study").trials["response"].to_list()
    assert all("\ufffd" in text and "\x00" in text for text in texts)
    report = cli("report", str(tmp_path / "study"))
    assert report.returncode == 0, report.stderr


def test_clocks_may_jump(cli: Cli, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(-1e9, 4e9))
    with Server(odd_answer) as server:
        study = {
            "model": "openai:fake", "suites": ["starter-safety"], "identities": ["age"], "limit": 12, "repeats": 3,
            "options": {"base_url": server.url},
        }  # fmt: skip
        evenhand.run(study, tmp_path / "study")
    monkeypatch.undo()
    assert cells(tmp_path / "study") == cells(calm)
    assert cli("status", str(tmp_path / "study")).returncode == 0
    assert cli("report", str(tmp_path / "study")).returncode == 0


needs_mounts = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="needs a mount namespace",
)


def on_its_own_disk(command: list[str], disk: Path, options: str, keep: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with a small file system at ``disk``, whose files are copied to ``keep`` afterwards."""
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && shift 0 && "$@"; code=$?; cp -r "$0"/. "{keep}"; exit $code'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(disk), *command], capture_output=True, text=True, timeout=120
    )


@needs_mounts
def test_a_full_disk_loses_nothing_that_was_kept(cli: Cli, calm: Path, tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    with Server(odd_answer, delay_s=0.005) as server:
        command = [sys.executable, "-m", "evenhand.cli.main", *arguments(server, disk / "study")]
        done = on_its_own_disk(command, disk, "size=420k", kept)
        assert done.returncode == 5, done.stderr
        assert "Traceback" not in done.stderr
        assert "disk" in done.stderr
        shutil.rmtree(disk)
        with Store.open(kept / "study") as store:
            before = store.count_trials()
        answered = sum(server.answered.values())
        assert answered - before <= CONCURRENCY
        done = cli(*arguments(server, kept / "study"))
        assert done.returncode == 0, done.stderr
    assert cells(kept / "study") == cells(calm)


@needs_mounts
def test_an_import_on_a_full_disk_is_whole_or_not_there(cli: Cli, tmp_path: Path) -> None:
    """Where its log has room and the file has not: SQLite says nothing of that when it closes."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    rows = [
        {"identity": who, "item": f"q{n}", "prompt": f"Question {n}?", "response": f"{who}: {n}.", "score": n % 2}
        for n in range(120)
        for who in ("a minor", "an adult")
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    line = ["import", str(tmp_path / "answers.jsonl"), "--axis", "safety", "--suite", "own", "--out"]
    done = on_its_own_disk(
        [sys.executable, "-m", "evenhand.cli.main", *line, str(disk / "study")], disk, "size=320k", kept
    )
    assert (done.returncode, (kept / "study").exists()) == (5, False), done.stderr
    assert "disk is full" in done.stderr
    assert cli(*line, str(kept / "study")).returncode == 0
    assert len(cells(kept / "study")) == 240


@needs_mounts
def test_a_read_only_directory_is_said_in_one_line(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    with Server() as server:
        command = [sys.executable, "-m", "evenhand.cli.main", *arguments(server, disk / "study")]
        done = on_its_own_disk(command, disk, "ro,size=100k", kept)
        assert done.returncode == 5, done.stderr
        assert "Traceback" not in done.stderr
        assert server.calls == 0


def test_an_interrupt_by_the_system_is_a_kill(cli: Cli, tmp_path: Path) -> None:
    """SIGTERM, as a cluster sends it before it takes a machine away."""
    with Server(delay_s=0.02) as server:
        process = subprocess.Popen([sys.executable, "-m", "evenhand.cli.main", *arguments(server, tmp_path / "study")])
        while server.calls < 20:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert cli(*arguments(server, tmp_path / "study")).returncode == 0
        assert sum(server.answered.values()) <= 216 + CONCURRENCY


def test_a_kill_while_memories_are_learned_loses_at_most_the_calls_in_flight(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "own_memory.py"

    def answer(payload: dict[str, Any]) -> str:
        return "The answer is (A)." if "(A)" in str(payload) else f"Noted {len(str(payload))}."

    with Server(answer, delay_s=0.02) as server:
        command = [sys.executable, str(example), "openai:fake", str(tmp_path / "study"), server.url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.calls < 40:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        twice = [key for key, count in server.answered.items() if count > 1 and "one line on what" in key]
        assert len(twice) <= server.most_in_flight
        assert max(server.answered.values()) <= 2
    with Store.open(tmp_path / "study") as store:
        assert all(len(content["notes"]) == 6 for _, content in store.memories())
        assert store.count_trials() == store.planned()

"""Adaptive runs stop when they are precise enough, cover the truth, and resume."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenhand import api
from evenhand.analysis.sequential import FIRST_LOOK, look
from evenhand.errors import SpecError
from tests.server import Server


def adaptively(table: np.ndarray, target: float) -> tuple[int, tuple[float, float]]:
    """Run the looks on prefixes of a table that already exists."""
    items, pool = FIRST_LOOK, table.shape[1]
    while True:
        found = look(table[:, :items], target, pool, draws=500, seed=items)
        if found.next_items == items:
            return items, found.ci
        items = found.next_items


@pytest.mark.simulation
def test_stopping_on_the_width_keeps_the_coverage_and_saves_calls() -> None:
    rng = np.random.default_rng(0)
    pool, pb, target = 939, 1.5, 0.5
    used, covered = [], []
    for _ in range(100):
        effect = rng.normal(size=31)
        effect = (effect - effect.mean()) / effect.std() * pb / 100
        # Items like Do-Not-Answer's: mostly safe, a few hard ones.
        ease = np.where(rng.random(pool) < 0.85, 1.0, 0.65)
        ease[ease == 1.0] = 0.94
        table = (rng.random((31, pool)) < ease + effect[:, None]) * 100.0
        items, ci = adaptively(table, target)
        used.append(items)
        covered.append(ci[0] <= pb <= ci[1])
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)
    assert np.mean(used) < pool, "it stops before the pool is used up"
    assert 3 * pool / np.mean(used) > 3


def test_a_look_projects_where_to_look_next() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(50, 30, (10, 60))
    far = look(table, 0.5, 1000)
    assert not far.precise
    assert far.next_items == 120
    assert look(table, 0.5, 70).next_items == 70
    near = look(table, 50.0, 1000)
    assert near.precise
    assert near.next_items == near.items == 60
    assert near.halfwidth == pytest.approx((near.ci[1] - near.ci[0]) / 2)


def test_adaptive_runs_spend_calls_where_they_are_needed(tmp_path: Path, data_dir: Path) -> None:
    """One suite answers everybody alike and is settled at the first look; the other is noisy and goes on."""
    rows = ["id,risk_area,types_of_harm,question"] + [f"{n},a,h{n % 3},Bad thing {n}?" for n in range(150)]
    (data_dir / "do_not_answer_en.csv").write_text("\n".join(rows) + "\n")
    for subject in ("anatomy", "virology"):
        lines = [f"What is {subject} {n}?,one,two,three,four,B" for n in range(75)]
        (data_dir / "mmlu_dev" / f"{subject}_dev.csv").write_text("\n".join(lines) + "\n")

    def answer(payload: dict) -> str:
        if "Bad thing" in str(payload):
            return "I'm sorry, but I can't help with that."
        return f"The answer is ({'AB'[zlib.crc32(str(payload['messages']).encode()) % 2]})."

    with Server(answer=answer) as server:
        study = {
            "model": "openai:fake", "suites": ["do-not-answer", "mmlu"], "data_dir": data_dir, "baselines": ["plain"],
            "identities": ["age"], "options": {"base_url": server.url},
        }  # fmt: skip
        found = api.run_to_precision(study, tmp_path / "s", target=3.0)
        assert found.looks["do-not-answer"].items == FIRST_LOOK
        assert found.looks["do-not-answer"].precise
        assert found.looks["mmlu"].items > FIRST_LOOK
        assert server.calls == found.new == 6 * sum(x.items for x in found.looks.values())
        calls = server.calls
        again = api.run_to_precision(study, tmp_path / "s", target=3.0)
        assert again.new == 0
        assert server.calls == calls
        assert again.looks == found.looks

        held = api.run_to_precision(study, tmp_path / "t", target=0.1, budget=6 * 100)
        assert held.new <= 6 * 100
        assert not held.precise
        with pytest.raises(SpecError, match="too small"):
            api.run_to_precision(study, tmp_path / "u", target=0.1, budget=10)


def test_adaptive_runs_on_the_command_line(
    cli: Callable[..., subprocess.CompletedProcess[str]], server: Server, data_dir: Path, tmp_path: Path
) -> None:
    line = [
        "run",
        "--model",
        "openai:fake",
        "--base-url",
        server.url,
        "--suite",
        "do-not-answer",
        "--identities",
        "age",
    ]
    line += ["--data-dir", str(data_dir), "--out", str(tmp_path / "s")]
    done = cli(*line, "--target-halfwidth", "40")
    assert done.returncode == 0, done.stderr
    assert "half-width" in done.stderr
    assert "times as many" in done.stderr
    assert cli(*line, "--budget", "40").returncode == 2


def test_a_target_on_a_study_whose_limit_is_reached(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "s"
    with Server() as server:
        line = ["run", "--model", "openai:fake", "--base-url", server.url, "--suite", "starter-safety"]
        line += ["--identities", "a minor,a man", "--limit", "20", "--out", str(out)]
        assert cli(*line).returncode == 0
        calls = server.calls
        onward = ("run", str(out / "study.toml"), "--target-halfwidth", "0.1")
        refused = cli(*onward)
        assert refused.returncode == 2
        assert "all 20 items" in refused.stderr
        assert "--budget" in refused.stderr
        assert server.calls == calls
        cut = cli(*onward, "--limit", "30")
        assert cut.returncode == 0, cut.stderr
        assert server.calls == calls + 10 * 3
        assert "limit of 30 items ended starter-safety" in cut.stderr
        beyond = cli(*onward, "--budget", "150")
        assert beyond.returncode == 0, beyond.stderr
        assert "Going beyond 30 items" in beyond.stderr
        assert server.calls == 150


@pytest.mark.simulation
@pytest.mark.parametrize("identities", [5, 12])
def test_a_suite_at_the_ceiling_does_not_stop_because_it_met_nothing(identities: int) -> None:
    """PB 1 by one identity, the others never fail: a width of 0.00 is no precision."""
    rng = np.random.default_rng(identities)
    low = identities / np.sqrt(identities - 1)  # points below the others that make a PB of 1
    chance = np.where(np.arange(identities) == 0, 1 - low / 100, 1.0)[:, None]
    used, looked = [], []
    for _ in range(40):
        table = (rng.random((identities, 2000)) < chance) * 100.0
        items, ci = adaptively(table, 0.5)
        used.append(items)
        looked.append(ci)
    assert min(used) > 100
    assert np.mean([high > 0 for _, high in looked]) > 0.95
    assert not look(np.full((identities, 40), 100.0), 0.5, 2000).precise


def test_an_adaptive_study_keeps_its_error(tmp_path: Path, server: Server) -> None:
    study = {
        "model": "openai:fake", "suites": ["starter-safety"], "identities": ["a minor", "a man"],
        "options": {"base_url": server.url},
    }  # fmt: skip
    api.run_to_precision(study, tmp_path / "s", target=5.0)
    found = api.analyze(tmp_path / "s")
    assert found.level == pytest.approx(0.955)
    assert any("stopped when it was precise enough" in note for note in found.notes)
    assert api.check(tmp_path / "s", max_pb=30).checks[0].error[0] <= 0.0225


def test_one_item_shows_no_width(tmp_path: Path, server: Server) -> None:
    spec = {
        "model": "openai:m", "options": {"base_url": server.url}, "suites": ["starter-safety"], "limit": 1,
        "identities": ["a man", "a woman"],
    }  # fmt: skip
    with pytest.raises(SpecError, match="one item"):
        api.run_to_precision(spec, tmp_path / "study", 1.0)
    assert server.calls == 0
    with pytest.raises(ValueError, match="too few items"):
        look(np.array([[0.0], [100.0]]), 1.0, 10)

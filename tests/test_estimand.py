"""What numbers are about: these items, or items like these."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import evenhand
from evenhand.analysis import Analysis, Settings, summarize
from evenhand.analysis.estimand import Pool, noise_scale
from evenhand.analysis.marginals import suite_marginals
from evenhand.errors import SpecError
from evenhand.types import ScoreRow
from tests.made_up_scores import suite_of


def analysis_of(table: np.ndarray, pool: Pool, **settings: object) -> Analysis:
    """The analysis of an identity x item x repeat table of scores in [0, 1]."""
    rows = [
        ScoreRow("s", "safety", "g", f"i{i:03}", "system", f"u{u}", "c", r, float(x), "x", "stop")
        for (u, i, r), x in np.ndenumerate(table)
    ]
    chosen = Settings(300, 200, estimand="these-items", **settings)  # type: ignore[arg-type]
    people = [(f"u{u}", "c") for u in range(len(table))]
    return summarize(rows, people, planned=len(rows), failed=0, settings=chosen, pools={"s": pool})


def test_a_greedy_study_of_the_whole_pool_is_exact() -> None:
    table = (np.random.default_rng(0).random((6, 40, 1)) < 0.7).astype(float)
    found = analysis_of(table, Pool(40, greedy=True))
    true = 100 * table.mean(axis=(1, 2))
    pb = found.pb["safety"]
    assert pb
    assert pb.corrected == pytest.approx(true.std())
    assert pb.ci == pytest.approx((true.std(), true.std()), abs=1e-6)
    assert pb.noise_floor == 0
    assert found.axes["safety"].lowest.ci == pytest.approx((true.min(), true.min()))
    assert found.axes["safety"].gap.ci == pytest.approx((np.ptp(true), np.ptp(true)))
    assert "these items" in found.estimand
    assert "0% for s" in found.estimand


def test_half_of_the_pool_leaves_half_of_the_variance() -> None:
    scores = suite_of((np.random.default_rng(1).random((1, 5, 30, 1)) < 0.5) * 100.0)
    assert noise_scale(scores, Pool(60, greedy=True)) ** 2 == pytest.approx(0.5)
    assert noise_scale(scores, Pool(30, greedy=True)) == 0
    # Sampled answers, asked once: what is within items cannot be told from what is between them.
    assert noise_scale(scores, Pool(30, greedy=False)) == 1
    # A pool that nobody counted is without end.
    assert noise_scale(scores, Pool(0, greedy=True)) == 1


def test_noise_within_items_stays_and_is_what_repeats_say() -> None:
    """All differences are within items: asking every item takes nothing away. None are: it takes all."""
    rng = np.random.default_rng(2)
    sampled = suite_of((rng.random((1, 6, 400, 3)) < 0.5) * 100.0)
    assert noise_scale(sampled, Pool(400, greedy=False)) ** 2 == pytest.approx(1, abs=0.06)
    fixed = suite_of(np.repeat((rng.random((1, 6, 400, 1)) < 0.5) * 100.0, 3, axis=3))
    assert noise_scale(fixed, Pool(400, greedy=False)) == 0
    mixed = suite_of(fixed.cells / 2 + sampled.cells / 2)
    within = suite_marginals(sampled).correction / 4
    expected = within / suite_marginals(mixed).correction
    assert noise_scale(mixed, Pool(400, greedy=False)) ** 2 == pytest.approx(expected, abs=0.06)


def test_without_being_asked_for_items_are_samples(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    study = {
        "model": "echo", "suites": ["starter-safety"], "identities": ["a man", "a minor"], "limit": 6,
        "decoding": {"temperature": 0},
    }  # fmt: skip
    evenhand.run(study, tmp_path / "s", model=lambda messages: "No." if "minor" in str(messages) else "Sure, do it.")
    usual = evenhand.analyze(tmp_path / "s", {"draws": 200, "permutations": 200})
    assert "items like these" in usual.estimand
    these = evenhand.analyze(tmp_path / "s", {"draws": 200, "permutations": 200, "estimand": "these-items"})
    assert "these items" in these.estimand
    limits = {"max_pb": 99.0}
    assert "these items" in evenhand.check(tmp_path / "s", **limits, estimand="these-items").estimand
    for command in (["analyze"], ["check", "--max-pb", "99"], ["report"]):
        done = cli(command[0], str(tmp_path / "s"), *command[1:], "--estimand", "these-items")
        assert done.returncode in (0, 6), done.stderr
        told = (tmp_path / "s" / "report.html").read_text() if command == ["report"] else done.stdout
        assert "about these items" in " ".join(told.split())
    with pytest.raises(SpecError, match="estimand"):
        evenhand.analyze(tmp_path / "s", {"estimand": "all"})


@pytest.mark.simulation
@pytest.mark.parametrize(("repeats", "asked"), [(1, 120), (1, 200), (3, 200)])
def test_the_known_bias_of_these_items_is_covered(repeats: int, asked: int) -> None:
    """A pool of 200 with its own PB; greedy answers (one repeat) or sampled ones (three)."""
    rng, covered, studies = np.random.default_rng(3), 0, 100
    for seed in range(studies):
        chance = rng.beta(1, 1, (8, 200))
        pool = chance if repeats > 1 else (rng.random(chance.shape) < chance).astype(float)
        true = 100 * pool.mean(axis=1).std()
        drawn = pool[:, rng.choice(200, asked, replace=False)]
        table = (rng.random((*drawn.shape, repeats)) < drawn[..., None]).astype(float)
        pb = analysis_of(table, Pool(200, repeats == 1), seed=seed).pb["safety"]
        assert pb
        covered += pb.ci[0] - 1e-6 <= true <= pb.ci[1] + 1e-6
    assert covered / studies > 0.95 - 3 * np.sqrt(0.95 * 0.05 / studies)

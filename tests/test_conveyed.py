"""Identities conveyed in several ways: what a way of conveying does is not a difference between identities."""

from __future__ import annotations

import numpy as np
import pytest

from evenhand.analysis import Settings, summarize, tabulate
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.marginals import marginals, suite_marginals
from evenhand.analysis.scores import SuiteScores
from evenhand.types import ScoreRow
from tests.made_up_scores import suite_of


def half_also_by_name(rng: np.random.Generator, people: int = 12, items: int = 150, lower: float = 8.0) -> SuiteScores:
    """No bias; half of the identities are also conveyed in a way that lowers everybody."""
    chance = rng.uniform(0.3, 0.9, items)
    cells = np.full((2, people, items, 1), np.nan)
    cells[0, ..., 0] = (rng.random((people, items)) < chance) * 100.0
    cells[1, : people // 2, :, 0] = (rng.random((people // 2, items)) < chance - lower / 100) * 100.0
    return suite_of(cells)


def test_a_way_that_lowers_everybody_it_conveys_is_no_bias() -> None:
    """Without chance: exactly 0, where the means over whatever was asked differ by half of what the way lowers."""
    item = np.linspace(20, 80, 10)
    cells = np.full((2, 4, 10, 1), np.nan)
    cells[0, ..., 0] = item
    cells[1, :2, :, 0] = item - 8
    scores = suite_of(cells)
    assert np.ptp(np.nanmean(scores.y, axis=1)) == pytest.approx(4)
    fit = suite_marginals(scores)
    assert np.ptp(fit.mean) == pytest.approx(0, abs=1e-9)
    assert (fit.items, fit.clusters) == (10, 10)


def test_a_complete_design_gives_what_the_means_over_its_ways_give() -> None:
    rng = np.random.default_rng(0)
    scores = suite_of(rng.integers(0, 2, (3, 5, 30, 2)) * 100.0)
    fit, means = suite_marginals(scores), marginals(scores.y)
    np.testing.assert_allclose(fit.mean, means.mean)
    np.testing.assert_allclose(fit.influence, means.influence[np.argsort(np.argsort(scores.items))], atol=1e-9)
    assert fit.correction == pytest.approx(means.correction)


def test_identities_that_share_no_way_are_still_compared_and_it_is_said() -> None:
    rows = [
        ScoreRow("s", "safety", "g", f"i{i}", f"w{u}", f"u{u}", "c", 0, float((i + u) % 3 > 0), "x", "stop")
        for u in range(2)
        for i in range(12)
    ]
    found = summarize(rows, [("u0", "c"), ("u1", "c")], planned=24, failed=0, settings=Settings(100, 100))
    assert found.pb["safety"]
    assert any("conveyed in no way that the others were" in note for note in found.notes)
    (alone,) = tabulate(rows[:12], [])
    assert alone.blocks.shape == (1, 12)


@pytest.mark.simulation
def test_the_test_and_the_interval_hold_when_half_are_also_conveyed_otherwise() -> None:
    rng, studies = np.random.default_rng(1), 150
    found = []
    for seed in range(studies):
        pb = BiasEstimator([half_also_by_name(rng)], draws=400, permutations=200, seed=seed).axis("safety")
        assert pb
        found.append(pb)
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert np.mean([e.ci[0] > 0 for e in found]) < limit
    assert np.mean([e.p_value <= 0.05 for e in found]) < limit
    squared = np.array([e.corrected_squared for e in found])
    assert abs(squared.mean()) < 3 * squared.std() / np.sqrt(studies)

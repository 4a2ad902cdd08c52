"""Tests of bias: size where nothing is planted, agreement with intervals, and who is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from evenhand.analysis import SuiteScores, estimate_pb
from evenhand.analysis.breakdown import by_group, categories
from evenhand.analysis.comparison import compare
from evenhand.analysis.deviations import from_mean
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.simultaneous import max_t


def suite(table: np.ndarray, groups: list[str] | None = None) -> SuiteScores:
    identities, items = table.shape
    return SuiteScores(
        "s", "safety", tuple(f"p{n}" for n in range(identities)), (), tuple(f"i{n:04d}" for n in range(items)),
        tuple(groups or ["g"] * items), ("w",), table[None, :, :, None], np.empty((0, items)),
    )  # fmt: skip


def reversed_one(rng: np.random.Generator) -> np.ndarray:
    chance = np.tile(np.where(rng.random(60) < 0.5, 0.95, 0.05), (12, 1))
    chance[0] = 1 - chance[0]
    return 100.0 * (rng.random(chance.shape) < chance)


def blocks(rng: np.random.Generator) -> np.ndarray:
    shared = np.repeat(rng.normal(0, 30, (6, 60)), 10, axis=0)
    return np.asarray(50 + shared + rng.normal(0, 15, shared.shape))


def ceiling(rng: np.random.Generator) -> np.ndarray:
    return 100.0 * (rng.random((12, 60)) < 0.97)


@pytest.mark.simulation
@pytest.mark.parametrize("simulate", [reversed_one, blocks, ceiling])
def test_the_test_of_no_bias_keeps_its_size_and_agrees_with_the_interval(
    simulate: Callable[[np.random.Generator], np.ndarray],
) -> None:
    studies, rejected, named = 150, 0, 0
    for seed in range(studies):
        table = simulate(np.random.default_rng((seed, 3)))
        found = estimate_pb(table, draws=300, permutations=1, seed=seed)
        assert (found.ci[0] > 0) == (found.p_value <= 0.05)
        rejected += found.p_value <= 0.05
        fit = marginals(table)
        contrasts = from_mean([fit], [noise_draws(fit, 300, np.random.default_rng(seed))])
        named += any(c.q_value <= 0.05 for c in contrasts)
    usual = binom.ppf(0.9999, studies, 0.05)
    assert rejected <= usual
    assert named <= usual


@pytest.mark.simulation
def test_one_identity_of_many_is_found_where_the_sum_of_squares_drowns_it() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng((seed, 4))
        table = 100.0 * (rng.random((31, 150)) < 0.6)
        table[7] = 100.0 * (rng.random(150) < 0.43)
        found.append(estimate_pb(table, draws=300, permutations=1, seed=seed))
    together = sum(e.p_value <= 0.05 for e in found)
    assert together > sum(e.test.p_sum <= 0.05 for e in found) + 5
    assert any(e.test.decided_by == "largest" for e in found)
    assert all((e.ci[0] > 0) == (e.p_value <= 0.05) for e in found)


def test_adjusted_p_values_by_hand() -> None:
    noise = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])  # every draw is one standard error long
    np.testing.assert_allclose(max_t(np.array([2.0, 0.5]), noise), [1 / 4, 1.0])
    assert np.isnan(max_t(np.array([np.nan, 2.0]), noise)[0])
    np.testing.assert_allclose(max_t(np.array([np.nan, 2.0]), noise)[1], 1 / 4)


def test_a_cell_far_below_is_flagged_among_372() -> None:
    rng = np.random.default_rng(11)
    groups = [f"{n % 12:02d}" for n in range(120)]
    chance = np.full((31, 120), 0.95)
    chance[4, [g == "03" for g in groups]] = 0.08
    found = by_group(suite(100.0 * (rng.random(chance.shape) < chance), groups), draws=1000, permutations=0)
    flagged = {(g, n) for g, row in found.deviations.items() for n, c in row.items() if c.q_value <= 0.05}
    assert flagged == {("03", "p4")}


def test_an_identity_without_variance_has_an_interval_of_some_width() -> None:
    for table in (np.full((4, 20), 100.0), np.vstack([np.full((3, 20), 100.0), np.tile([0.0, 100.0], 10)])):
        fit = marginals(table)
        for contrast in from_mean([fit], [noise_draws(fit, 200, np.random.default_rng(0))]):
            assert contrast.ci[0] < contrast.value < contrast.ci[1]


def test_an_outlier_speaks_for_itself_and_drags_no_category() -> None:
    rng = np.random.default_rng(2)
    table = 50 + rng.normal(0, 10, (12, 80))
    table[11] -= 60
    names = [f"p{n}" for n in range(12)]
    members = {name: f"k{n // 3}" for n, name in enumerate(names)}
    fit = marginals(table)
    found = categories(members, names, [fit], [noise_draws(fit, 1000, rng)])
    assert found.apart == ("p11",)
    assert all(abs(c.value) < 3 and c.q_value > 0.05 for c in found.effects.values())
    table[9:11] -= 60
    fit = marginals(table)
    found = categories(members, names, [fit], [noise_draws(fit, 1000, rng)])
    assert found.apart == ()
    assert found.effects["k3"].value == pytest.approx(-60, abs=5)
    assert [name for name, c in found.effects.items() if c.q_value <= 0.05] == ["k3"]


@pytest.mark.simulation
def test_equal_bias_against_others_is_no_change_of_size_but_tells_for_whom() -> None:
    rejected, studies = 0, 150
    effect = np.linspace(-1, 1, 8) / np.linspace(-1, 1, 8).std() * 6
    for seed in range(studies):
        rng = np.random.default_rng((seed, 5))
        before, after = (suite(50 + rng.permutation(effect)[:, None] + rng.normal(0, 25, (8, 100))) for _ in range(2))
        change = compare([before], [after], draws=400, seed=seed).pb["safety"]
        assert (change.p_value <= 0.05) == (change.ci[0] > 0 or change.ci[1] < 0)
        rejected += change.p_value <= 0.05
    assert rejected <= binom.ppf(0.9999, studies, 0.05)


def test_for_whom_two_studies_differ() -> None:
    rng = np.random.default_rng(6)
    before = suite(50 + rng.normal(0, 5, (6, 80)))
    cells = before.cells.copy()
    cells[0, 2] -= 30
    changes = compare([before], [replace(before, cells=cells + rng.normal(0, 5, cells.shape))]).changes["safety"]
    assert changes["p2"].value == pytest.approx(-25, abs=2)
    assert max(changes, key=lambda name: abs(changes[name].value)) == "p2"
    assert changes["p2"].q_value < 0.05
    assert changes["p2"].ci[1] < 0

"""Known answers and properties of the bias estimators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evenhand.analysis import SuiteScores, estimate_pb, tabulate
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import from_baseline, from_mean
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws


def suite(name: str, axis: str, table: np.ndarray) -> SuiteScores:
    people = tuple(f"p{n}" for n in range(table.shape[0]))
    items = tuple(f"i{n}" for n in range(table.shape[1]))
    cells = table[None, :, :, None]
    return SuiteScores(
        name, axis, people, (), items, ("g",) * len(items), ("system",), cells, np.empty((0, len(items)))
    )  # type: ignore[arg-type]


def test_pb_of_a_hand_computed_example() -> None:
    """Three identities with means 50, 75, 100: mean 75, deviations -25, 0, 25, so PB = sqrt(1250 / 3)."""
    table = np.array([[100, 0, 100, 0], [100, 100, 100, 0], [100, 100, 100, 100]], float)
    estimate = estimate_pb(table)
    assert estimate.plugin == pytest.approx(np.sqrt(1250 / 3))
    # Residuals Y[u,i] - Y[.,i] - Y[u,.] + Y[.,.] by hand: item means 100, 66.67, 100, 33.33.
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    s2 = (residual**2).sum() / (2 * 3)
    assert s2 == pytest.approx(25000 / 18)
    assert estimate.corrected_squared == pytest.approx(1250 / 3 - (2 / 3) * s2 / 4)


def test_joint_pb_squared_is_the_sum_over_the_axes() -> None:
    rng = np.random.default_rng(0)
    tables = [suite("s", "safety", rng.random((6, 30)) * 100), suite("u", "utility", rng.random((6, 20)) * 100)]
    estimator = BiasEstimator(tables, draws=200, permutations=200, seed=0)
    safety, utility, joint = estimator.axis("safety"), estimator.axis("utility"), estimator.joint()
    assert safety and utility and joint
    assert joint.plugin**2 == pytest.approx(safety.plugin**2 + utility.plugin**2)
    assert joint.corrected_squared == pytest.approx(safety.corrected_squared + utility.corrected_squared)
    # By the definition: the mean squared distance of the vectors of axis scores from their mean.
    f = np.stack([t.y.mean(axis=1) for t in tables], axis=1)
    assert joint.plugin == pytest.approx(np.sqrt(((f - f.mean(0)) ** 2).sum(1).mean()))


def test_an_axis_score_is_the_mean_of_its_suites() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.random((5, 40)) * 100, rng.random((5, 10)) * 100
    both = BiasEstimator([suite("a", "safety", one), suite("b", "safety", two)], draws=200, permutations=0, seed=0)
    score = (one.mean(1) + two.mean(1)) / 2
    found = both.axis("safety")
    assert found and found.plugin == pytest.approx(score.std())
    assert both.axis("utility") is None
    assert both.joint() is None


def test_baselines_are_not_part_of_pb_and_missing_is_not_zero() -> None:
    def row(identity: str, category: str, item: str, score: float | None) -> tuple[object, ...]:
        return ("s", "safety", "g", item, "system", identity, category, 0, score, "x", "stop", None)

    rows = [row("a", "age", "1", 1.0), row("a", "age", "2", 0.0), row("b", "age", "1", 1.0), row("b", "age", "2", None)]
    rows += [row("plain", "baseline", "1", 0.0), row("plain", "baseline", "2", 0.0)]
    (table,) = tabulate(rows, ["a", "b", "plain"])
    assert table.identities == ("a", "b")
    assert table.baselines == ("plain",)
    assert np.isnan(table.y[1, 1])
    assert table.y[0].tolist() == [100.0, 0.0]
    # On the only item both were scored on, they are alike: a hole must not look like a difference.
    assert estimate_pb(table.y).plugin == pytest.approx(0.0)


@given(st.integers(2, 6), st.integers(3, 12), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_a_complete_table_gives_plain_means_and_the_two_way_residual(users: int, items: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 2, (users, items)) * 100.0
    fit = marginals(table)
    np.testing.assert_allclose(fit.mean, table.mean(axis=1), atol=1e-9)
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    s2 = (residual**2).sum() / ((users - 1) * (items - 1))
    assert fit.correction == pytest.approx((users - 1) / users * s2 / items, abs=1e-9)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_pb_ignores_order_and_shifts_of_items(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.random((5, 20)) * 100
    table[rng.random(table.shape) < 0.1] = np.nan
    shuffled = table[rng.permutation(5)][:, rng.permutation(20)]
    one = estimate_pb(table, draws=200, permutations=0)
    other = estimate_pb(shuffled, draws=200, permutations=0)
    shifted = estimate_pb(table + rng.random(20) * 50, draws=200, permutations=0)
    assert one.plugin == pytest.approx(other.plugin)
    assert one.corrected_squared == pytest.approx(other.corrected_squared)
    assert one.plugin == pytest.approx(shifted.plugin)


def test_holes_that_depend_on_difficulty_do_not_bias_the_means() -> None:
    """Identity 0 misses the hard items; the plain means would favour it, the adjusted ones do not."""
    rng = np.random.default_rng(3)
    difficulty = rng.random(400) * 100
    table = difficulty + rng.normal(0, 1, (4, 400))
    table[0, difficulty < 50] = np.nan
    assert np.nanmean(table, axis=1)[0] - np.nanmean(table, axis=1)[1] > 20
    fit = marginals(table)
    assert np.ptp(fit.mean) < 1.0


def test_identities_without_a_common_item_are_refused() -> None:
    table = np.array([[1.0, 2.0, np.nan, np.nan], [1.0, 3.0, np.nan, np.nan], [np.nan, np.nan, 4.0, 5.0]])
    with pytest.raises(ValueError, match="common"):
        marginals(table)


def test_deviations_agree_with_the_paired_t_test_for_two_identities() -> None:
    rng = np.random.default_rng(5)
    table = rng.random((2, 400)) * 100 + np.array([[4.0], [0.0]])
    fit = marginals(table)
    first, second = from_mean([fit], [noise_draws(fit, 4000, rng)])
    expected = stats.ttest_rel(table[0], table[1])
    assert first.value == pytest.approx((table[0] - table[1]).mean() / 2)
    assert first.value == pytest.approx(-second.value)
    assert first.p_value == pytest.approx(expected.pvalue, abs=0.03)
    low, high = expected.confidence_interval()
    assert first.ci == pytest.approx((low / 2, high / 2), abs=0.3)


def test_an_identity_without_any_success_is_not_taken_for_certain() -> None:
    """0 of 40 where the others have 4 %: the t-test over items would call that significant."""
    rng = np.random.default_rng(8)
    table = (rng.random((31, 40)) < 0.04) * 100.0
    table[0] = 0.0
    fit = marginals(table)
    worst = from_mean([fit], [noise_draws(fit, 2000, rng)])[0]
    assert worst.value < 0
    assert worst.p_value > 0.05
    assert worst.ci[1] > 0


def test_baseline_contrasts_agree_with_the_exact_test_of_mcnemar() -> None:
    """Five items on which only the baseline succeeds, none the other way round: p = 2 / 2^5."""
    table = np.full((2, 40), 100.0)
    table[0, :5] = 0.0
    base = np.full((1, 40), 100.0)
    scores = suite("s", "safety", table)
    scores = replace(scores, baselines=("plain",), baseline=base)
    worse, same = from_baseline([scores], "plain", draws=20_000).contrasts()
    assert worse.value == pytest.approx(-12.5)
    assert worse.p_value == pytest.approx(2 / 32, abs=0.01)
    assert worse.ci[0] < -12.5 < 0 <= worse.ci[1]
    assert same.p_value == 1.0
    assert same.value == 0.0


def _simulate(
    rng: np.random.Generator, pb: float, items: int, mean: float, repeats: int, users: int = 31
) -> np.ndarray:
    """A table whose identities differ by exactly ``pb`` points in expectation over items."""
    difficulty = np.clip(rng.beta(4 * mean, 4 * (1 - mean), items), 0.15, 0.85) if pb else rng.beta(2, 2, items)
    effect = rng.normal(size=users)
    effect = (effect - effect.mean()) / effect.std() * pb / 100
    chance = difficulty + effect[:, None]
    assert chance.min() >= 0
    assert chance.max() <= 1
    return rng.binomial(repeats, chance) / repeats * 100


@pytest.mark.simulation
@pytest.mark.parametrize(("pb", "repeats"), [(0.0, 1), (1.5, 3), (4.0, 1)])
def test_the_interval_covers_and_the_correction_removes_the_noise(pb: float, repeats: int) -> None:
    rng = np.random.default_rng(11)
    studies = 150
    found = [
        estimate_pb(_simulate(rng, pb, 200, 0.6, repeats), draws=400, permutations=100 if pb == 0 else 0, seed=n)
        for n in range(studies)
    ]
    covered = np.mean([e.ci[0] <= pb <= e.ci[1] for e in found])
    # Three standard errors of a proportion of 0.95 over this many studies.
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / studies)
    squared = np.array([e.corrected_squared for e in found])
    assert abs(squared.mean() - pb**2) < 3 * squared.std() / np.sqrt(studies)
    # The plug-in number is too large by several standard errors.
    plugin = np.array([e.plugin**2 for e in found])
    assert plugin.mean() - pb**2 > 5 * plugin.std() / np.sqrt(studies)
    if pb == 0:
        rejected = np.mean([e.p_value <= 0.05 for e in found])
        assert rejected < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
        floor = np.mean([e.noise_floor for e in found])
        assert floor == pytest.approx(np.sqrt(plugin.mean()), rel=0.1)


@pytest.mark.simulation
def test_holes_at_random_keep_the_estimate_unbiased() -> None:
    rng = np.random.default_rng(12)
    squared = []
    for n in range(80):
        table = _simulate(rng, 3.0, 150, 0.5, 2)
        table[rng.random(table.shape) < 0.3] = np.nan
        squared.append(estimate_pb(table, draws=200, permutations=0, seed=n).corrected_squared)
    assert abs(np.mean(squared) - 9.0) < 3 * np.std(squared) / np.sqrt(len(squared))

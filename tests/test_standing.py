"""Where identities stand: shrunken deviations, bands, ranks, the impact ratio, and the interval of the trade-off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from evenhand.analysis import Settings, estimate_pb, summarize
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.deviations import Differences, deviations
from evenhand.analysis.impact import impact_ratio
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws
from evenhand.analysis.simultaneous import Errors
from evenhand.analysis.standing import Standing, axis_standings, extremes, no_difference, robust_quantile, shrunken
from evenhand.analysis.tradeoff import TradeOff, trade_off
from evenhand.report.terminal import reading
from evenhand.types import ScoreRow
from tests.made_up_scores import suite_of


def asked(rng: np.random.Generator, effect: np.ndarray, items: int, mean: float = 60.0) -> np.ndarray:
    """Scores of 0 or 100 on items of unlike difficulty."""
    chance = (mean + effect[:, None]) / 100 + rng.uniform(-0.2, 0.2, items)
    return (rng.random(chance.shape) < chance) * 100.0


def stands(table: np.ndarray, seed: int) -> tuple[Differences, list[Standing]]:
    estimator = BiasEstimator([suite_of(table[None, ..., None])], draws=300, permutations=100, seed=seed)
    found = deviations([estimator.fit("s")], [estimator.noise("s")])
    return found, axis_standings(found, estimator, "safety")


def known(values: list[float], error: float, draws: int = 2000) -> Differences:
    people = len(values)
    nothing = np.zeros(people)
    noise = error * np.random.default_rng(0).standard_normal((draws, people))
    errors = Errors(np.full(people, error**2), np.full(people, 1e6))
    return Differences(np.array(values), errors, noise, nothing, nothing, nothing, 0.95)


@pytest.mark.parametrize("bias", [0.0, 0.2, 1.0, 5.0, 50.0])
def test_the_quantile_holds_for_the_worst_errors_and_no_more(bias: float) -> None:
    reach = robust_quantile(bias, 0.05)
    share = np.linspace(0.001, 1, 4000)
    size = np.sqrt(bias / share)
    beyond = share * (norm.sf(reach - size) + norm.sf(reach + size)) + (1 - share) * 2 * norm.sf(reach)
    assert beyond.max() == pytest.approx(0.05, abs=2e-4)


def test_deviations_shrink_by_the_share_that_is_noise() -> None:
    values, ends = shrunken(known([-4.0, 1.0, 3.0], error=2.0), bound=2.0)
    np.testing.assert_allclose(values, [-2.0, 0.5, 1.5], rtol=1e-5)
    assert np.ptp(ends, axis=1) == pytest.approx(2.0 * robust_quantile(1.0, 0.05), rel=1e-4)
    # Where no noise is known, or no bias is possible, they are left as they are.
    np.testing.assert_allclose(shrunken(known([-4.0, 1.0, 3.0], error=2.0), bound=0.0)[0], [-4, 1, 3])
    np.testing.assert_allclose(shrunken(known([-4.0, 1.0, 3.0], error=0.0), bound=2.0)[0], [-4, 1, 3])


def test_bands_reach_further_than_intervals_of_one() -> None:
    found = known([0.0] * 20, error=1.0)
    # The largest of 20 independent normal errors stays within 3.02 in 95 %.
    np.testing.assert_allclose(found.bands()[:, 1], 3.02, atol=0.15)
    np.testing.assert_allclose(found.intervals()[:, 1], 1.96, atol=0.01)


def test_no_difference_has_at_least_the_odds_that_a_p_value_leaves() -> None:
    assert no_difference(0.05) == pytest.approx(0.289, abs=1e-3)
    assert no_difference(0.9) == no_difference(float("nan")) == 0.5
    assert no_difference(0.0) == 0.0


def test_where_all_are_alike_each_may_be_the_lowest() -> None:
    table = np.full((4, 30), 100.0)
    _, found = stands(table, 0)
    assert [p.lowest for p in found] == [p.highest for p in found] == [0.25] * 4
    assert all(p.shrunken == 0 and p.ci[0] < 0 < p.ci[1] for p in found)


def test_the_lowest_by_far_is_named() -> None:
    rng = np.random.default_rng(0)
    table = asked(rng, np.array([-30.0, 0.0, 0.0, 5.0, 0.0]), 400)
    _, found = stands(table, 0)
    assert found[0].lowest > 0.9
    assert sum(p.lowest for p in found) == pytest.approx(1.0)
    assert sum(p.highest for p in found) == pytest.approx(1.0)
    pb = estimate_pb(table, permutations=200)
    low, _ = extremes(known([-5.0, 5.0], error=5.0), replace(pb, p_value=0.5, corrected_squared=0.0), rng)
    assert 0.5 < low[0] < 0.8


def ratio_of(table: np.ndarray) -> tuple[float, tuple[float, float]]:
    fit, rng = marginals(table), np.random.default_rng(0)
    found = impact_ratio([fit], [noise_draws(fit, 500, rng)], [noise_draws(fit, 500, rng, level=True)])
    return found.value, found.ci


def test_the_impact_ratio_is_the_lowest_over_the_highest() -> None:
    table = np.zeros((2, 200))
    table[0, :80], table[1, :100] = 100.0, 100.0
    value, (low, high) = ratio_of(table)
    assert value == pytest.approx(0.8)
    assert 0.5 < low < 0.8 < high < 1
    assert ratio_of(np.full((2, 50), 100.0))[0] == 1.0
    assert ratio_of(np.full((2, 50), 100.0))[1][0] < 0.95
    nobody = ratio_of(np.zeros((2, 50)))
    assert np.isnan([nobody[0], *nobody[1]]).all()


def correlated(people: int, rho: float, size: float, items: int, seed: int) -> tuple[TradeOff, float]:
    """A trade-off, and the true correlation of its identities."""
    rng = np.random.default_rng(seed)
    both = rng.multivariate_normal([0, 0], size**2 * np.array([[1, rho], [rho, 1]]), people).T
    tables = [asked(rng, effect, items, 50.0) for effect in both]
    fits = [marginals(table) for table in tables]
    pb = [estimate_pb(table, draws=200, permutations=0) for table in tables]
    found = trade_off(
        [f"u{n}" for n in range(people)], fits[0].mean, fits[1].mean, (pb[0], pb[1]), permutations=10,
        covariances=(fits[0].covariance, fits[1].covariance),
    )  # fmt: skip
    return found, float(np.corrcoef(both)[0, 1])


def test_three_identities_are_not_enough_for_a_correlation() -> None:
    found, _ = correlated(3, 0.9, 12.0, 300, 0)
    assert found.ci == (-1.0, 1.0)
    assert not found.enough


@pytest.mark.simulation
@pytest.mark.parametrize(("people", "rho"), [(10, 0.0), (31, 0.8)])
def test_the_trade_off_is_in_its_interval(people: int, rho: float) -> None:
    found = [correlated(people, rho, 8.0, 300, seed) for seed in range(40)]
    assert np.mean([f.ci[0] <= rho <= f.ci[1] for f, _ in found]) > 0.92
    assert np.mean([f.ci[0] <= among <= f.ci[1] for f, among in found]) > 0.92
    if people == 31:
        assert np.mean([f.ci[0] > 0 for f, _ in found]) > 0.7


@pytest.mark.simulation
@pytest.mark.parametrize("shape", ["normal", "one", "nobody"])
def test_shrunken_intervals_hold_on_average_and_bands_together(shape: str) -> None:
    rng, people, studies = np.random.default_rng(1), 31, 20
    covered, together, better, narrower, claimed, right = [], [], [], [], [], []
    for seed in range(studies):
        one = np.where(np.arange(people) == 0, -20.0, 0.0)
        effect = {"normal": rng.normal(0, 4, people), "one": one, "nobody": np.zeros(people)}[shape]
        raw, found = stands(asked(rng, effect, 120), seed)
        true = effect - effect.mean()
        covered.append(np.mean([p.ci[0] <= t <= p.ci[1] for p, t in zip(found, true, strict=True)]))
        together.append(all(p.band[0] <= t <= p.band[1] for p, t in zip(found, true, strict=True)))
        drawn = np.array([p.shrunken for p in found])
        better.append([((raw.values - true) ** 2).mean(), ((drawn - true) ** 2).mean()])
        narrower.append([np.ptp(raw.intervals(), axis=1).mean(), np.mean([p.ci[1] - p.ci[0] for p in found])])
        lowest = np.array([p.lowest for p in found])
        claimed.append(lowest.max())
        right.append(effect[lowest.argmax()] == effect.min())
    assert np.mean(covered) > 0.95 - 0.01
    assert np.mean(together) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / studies)
    raw_error, error = np.mean(better, axis=0)
    assert error < raw_error / 1.3
    assert np.mean(narrower, axis=0)[1] < np.mean(narrower, axis=0)[0]
    if shape == "nobody":
        assert np.mean(claimed) < 0.2
        assert max(claimed) < 0.6
    else:  # it never claims more than comes true
        assert np.mean(claimed) < np.mean(right) + 3 * np.sqrt(0.25 / studies)
    if shape == "normal":
        assert np.mean(claimed) > np.mean(right) - 0.25


def test_the_sentences_say_who_and_how_certain() -> None:
    rng = np.random.default_rng(2)

    def sentences(effect: np.ndarray) -> str:
        table = asked(rng, effect, 300) / 100
        rows = [
            ScoreRow("s", "safety", "g", f"i{i:03}", "system", f"u{u}", "c", 0, float(x), "x", "stop", None)
            for (u, i), x in np.ndenumerate(table)
        ]
        people = [(f"u{u}", "c") for u in range(effect.size)]
        return "\n".join(reading(summarize(rows, people, planned=len(rows), failed=0, settings=Settings(300, 200))))

    hit = sentences(np.array([0.0, 0.0, -35.0, 0.0]))
    assert "Served worst on safety: u2, with probability 0.9" in hit
    assert "Impact ratio on safety, lowest over highest score: 0." in hit
    alike = sentences(np.zeros(4))
    assert "Who is served worst on safety is not known" in alike
    assert "(0.250 each if nobody differs)" in alike

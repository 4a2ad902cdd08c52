"""Known answers for breakdowns, variance components, trade-off, planning and comparison."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evenhand
from evenhand.analysis import SuiteScores, estimate_pb
from evenhand.analysis.breakdown import additivity, by_group, categories, gap
from evenhand.analysis.comparison import compare
from evenhand.analysis.components import variance_components
from evenhand.analysis.cues import by_cue
from evenhand.analysis.marginals import marginals
from evenhand.analysis.planning import items_needed, items_to_pass, noise_bound
from evenhand.analysis.resampling import noise_draws, permuted_means
from evenhand.analysis.scores import tabulate
from evenhand.analysis.tradeoff import trade_off
from evenhand.types import ScoreRow
from tests.server import Server


def scores(cells: np.ndarray, groups: list[str] | None = None) -> SuiteScores:
    p, u, i, _ = cells.shape
    names = [f"p{n}" for n in range(u)]
    return SuiteScores(
        "s", "safety", tuple(names), (), tuple(f"i{n:04d}" for n in range(i)), tuple(groups or ["g"] * i),
        tuple(f"w{n}" for n in range(p)), cells, np.empty((0, i)),
    )  # fmt: skip


def fitted(table: np.ndarray, seed: int = 0) -> tuple[list, list]:
    fit = marginals(table)
    return [fit], [permuted_means(table, fit, 500, np.random.default_rng(seed))]


def test_the_gap_names_who_is_served_best_and_worst() -> None:
    table = np.array([[0.0, 100, 0, 100] * 20, [100.0] * 80, [0.0, 100, 100, 100] * 20])
    fits, nulls = fitted(table)
    noise = [noise_draws(fit, 300, np.random.default_rng(0)) for fit in fits]
    found = gap(["x", "y", "z"], fits, nulls, noise)
    assert found.ci[0] < 50 < found.ci[1]
    assert (found.value, found.best, found.worst) == (pytest.approx(50.0), "y", "x")
    assert found.expected < 50
    assert found.p_value == pytest.approx(1 / 301)


def test_categories_and_additivity_are_the_contrasts_they_say() -> None:
    means = np.array([10.0, 20.0, 60.0, 70.0])
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 5, (4, 60))
    table = means[:, None] + noise - noise.mean(axis=1, keepdims=True)
    fits, _ = fitted(table)
    names = ["a", "b", "c", "d"]
    members = {"a": "one", "b": "one", "c": "two", "d": "two"}
    noise = [noise_draws(fits[0], 500, rng)]
    found = categories(members, names, fits, noise).effects
    assert found["one"].value == pytest.approx(15 - 40)
    assert found["two"].value == pytest.approx(65 - 40)
    assert found["one"].q_value < 0.05
    # Deviations: a -30, b -20, d +30; d is said to be a & b, whose sum would be -50.
    extra = additivity({"d": ["a", "b"], "e": ["a", "zz"]}, names, fits, noise)
    assert list(extra) == ["d"]
    assert extra["d"].value == pytest.approx(30 + 50)
    assert extra["d"].ci[0] < 80 < extra["d"].ci[1]


def test_an_interaction_with_groups_is_found_and_a_main_effect_is_not_one() -> None:
    rng = np.random.default_rng(1)
    groups = ["g1"] * 60 + ["g2"] * 60
    noise = rng.normal(0, 10, (4, 120))
    main = np.array([30.0, 0, 0, -30])[:, None]
    same = by_group(scores((50 + main + noise)[None, :, :, None], groups), permutations=300)
    sign = np.where(np.array(groups) == "g1", 1.0, -1.0)
    crossed = by_group(scores((50 + main * sign + noise)[None, :, :, None], groups), permutations=300)
    assert same.p_value > 0.05
    assert crossed.p_value < 0.01
    assert same.items == (60, 60)
    deviation = crossed.deviations["g2"]["p0"]
    table = 50 + main * sign + noise
    assert deviation.value == pytest.approx(table[0, 60:].mean() - table[:, 60:].mean())
    assert deviation.ci[0] < -30 < deviation.ci[1]
    assert deviation.q_value < 0.05
    assert crossed.deviations["g1"]["p1"].q_value > 0.05
    assert crossed.scores[0] == pytest.approx([80 + noise[0, :60].mean(), 20 + noise[0, 60:].mean()])
    assert np.isnan(by_group(scores(noise[None, :, :, None]), permutations=50).p_value)


@pytest.mark.simulation
def test_variance_components_are_recovered() -> None:
    """The estimates average to the variances that the data were made with."""
    truth = {"identity": 9.0, "personalizer": 4.0, "item": 400.0, "identity x item": 25.0, "repeat": 100.0}
    rng = np.random.default_rng(2)
    found: dict[str, list[float]] = {}
    for _ in range(60):
        p, u, i, r = 4, 12, 40, 2
        cells = (
            rng.normal(0, 2, (p, 1, 1, 1)) + rng.normal(0, 3, (1, u, 1, 1)) + rng.normal(0, 20, (1, 1, i, 1))
            + rng.normal(0, 5, (1, u, i, 1)) + rng.normal(0, 10, (p, u, i, r))
        )  # fmt: skip
        for component in variance_components(scores(cells)):
            found.setdefault(component.source, []).append(component.variance)
    for source, values in found.items():
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth.get(source, 0.0)) < 4 * error, source
    assert set(truth) <= set(found)


def test_one_personalizer_and_one_repeat_leave_their_components_out() -> None:
    rng = np.random.default_rng(3)
    found = variance_components(scores(rng.normal(size=(1, 5, 30, 1))))
    assert [c.source for c in found] == ["identity", "item", "identity x item, with repeat"]
    assert sum(c.share for c in found) == pytest.approx(1.0)
    assert variance_components(scores(np.full((1, 2, 3, 1), np.nan))) == []


def test_a_trade_off_is_seen_through_the_noise() -> None:
    rng = np.random.default_rng(4)
    signal = rng.normal(0, 6, 31)
    safety = 60 + signal[:, None] + rng.normal(0, 40, (31, 300))
    utility = 50 - signal[:, None] + rng.normal(0, 40, (31, 300))
    estimates = estimate_pb(safety, draws=200, permutations=0), estimate_pb(utility, draws=200, permutations=0)
    names = [f"p{n}" for n in range(31)]
    found = trade_off(names, safety.mean(1), utility.mean(1), estimates)
    assert found.correlation == pytest.approx(np.corrcoef(safety.mean(1), utility.mean(1))[0, 1])
    assert found.corrected <= found.correlation < -0.5
    assert found.p_value < 0.01
    assert 0.5 < min(found.reliability) <= max(found.reliability) <= 1


def test_the_pareto_front() -> None:
    flat = estimate_pb(np.zeros((3, 4)), draws=200, permutations=0)
    found = trade_off(["a", "b", "c"], np.array([1.0, 2, 0]), np.array([2.0, 1, 0]), (flat, flat))
    assert found.pareto == ("a", "b")
    assert np.isnan(found.corrected)


@pytest.mark.simulation
def test_planned_items_reach_the_planned_power() -> None:
    rng = np.random.default_rng(5)

    def draw(items: int, pb: float) -> np.ndarray:
        effect = rng.normal(size=12)
        effect = (effect - effect.mean()) / effect.std() * pb
        return 50 + effect[:, None] + rng.normal(0, 30, (12, items))

    needed = items_needed("s", marginals(draw(400, 0.0)), pb=4.0, power=0.8)
    assert needed.spread == pytest.approx(30, rel=0.1)
    studies = 120
    seen = np.mean(
        [estimate_pb(draw(needed.items, 4.0), draws=200, permutations=200).p_value <= 0.05 for _ in range(studies)]
    )
    assert abs(seen - 0.8) < 3 * np.sqrt(0.8 * 0.2 / studies)


def test_identical_studies_do_not_differ_and_a_shift_is_found() -> None:
    rng = np.random.default_rng(6)
    cells = rng.normal(50, 20, (1, 6, 80, 1))
    before = scores(cells)
    same = compare([before], [before], draws=300)
    assert same.pb["safety"].difference == 0
    assert same.pb["safety"].p_value == 1.0
    assert same.score["safety"].ci == (0.0, 0.0)
    better = compare([before], [scores(cells + 7)], draws=300)
    assert better.score["safety"].difference == pytest.approx(7.0)
    assert better.score["safety"].p_value < 0.01
    assert better.pb["safety"].difference == pytest.approx(0.0)


def test_studies_are_paired_by_item_and_identity_whatever_their_order() -> None:
    rng = np.random.default_rng(7)
    cells = rng.normal(50, 20, (1, 5, 40, 1))
    one = scores(cells)
    order = rng.permutation(40)[:30]
    other = replace(
        one,
        identities=one.identities[::-1],
        items=tuple(one.items[k] for k in order),
        groups=tuple(one.groups[k] for k in order),
        cells=cells[:, ::-1][:, :, order],
        baseline=one.baseline[:, order],
    )
    found = compare([one], [other], draws=200)
    assert found.items == {"s": 30}
    assert found.score["safety"].difference == pytest.approx(0.0)
    assert found.pb["safety"].difference == pytest.approx(0.0)
    with pytest.raises(ValueError, match="share no suite"):
        compare([one], [replace(one, suite="t")])


@pytest.mark.simulation
def test_a_lower_bias_is_found_with_honest_intervals() -> None:
    rng = np.random.default_rng(8)
    covered = []
    for n in range(100):
        effect = rng.normal(size=12)
        effect = (effect - effect.mean()) / effect.std()
        item = rng.normal(0, 20, 250)
        before = 50 + 6 * effect[:, None] + item + rng.normal(0, 25, (12, 250))
        after = 50 + 3 * effect[:, None] + item + rng.normal(0, 25, (12, 250))
        change = compare([scores(before[None, :, :, None])], [scores(after[None, :, :, None])], draws=400, seed=n)
        low, high = change.pb["safety"].ci
        covered.append(low <= -3 <= high)
    assert abs(np.mean(covered) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 100)


def test_each_way_of_conveying_an_identity_has_its_own_bias() -> None:
    rng = np.random.default_rng(0)
    fair = rng.integers(0, 2, 40) * 100.0
    rows = []
    for item in range(40):
        for person in ("a", "b", "c"):
            # Told outright, c always fails; told by a profile, all get the same. The name cannot convey c.
            stated = 0.0 if person == "c" else fair[item]
            told = {"system": stated, "profile": fair[item], **({} if person == "c" else {"first-name": fair[item]})}
            rows += [
                ScoreRow("s", "safety", "g", str(item), cue, person, "k", 0, x / 100, "", "stop")
                for cue, x in told.items()
            ]
    (table,) = tabulate(rows, ["a", "b", "c"])
    found = {c.personalizer: c for c in by_cue(table, draws=300, permutations=300, seed=0)}
    level = fair.mean()
    assert found["system"].scores == {"a": level, "b": level, "c": 0.0}
    assert found["system"].pb.plugin == pytest.approx(level * np.sqrt(2) / 3)  # deviations +1/3, +1/3, -2/3
    assert found["profile"].pb.plugin == 0
    assert set(found["first-name"].scores) == {"a", "b"}
    (alone,) = tabulate([r for r in rows if r.personalizer == "system"], ["a", "b", "c"])
    assert by_cue(alone, draws=300, permutations=300, seed=0) == []


def test_compare_and_plan_on_the_command_line(
    cli: Callable[..., subprocess.CompletedProcess[str]], server: Server, data_dir: Path, tmp_path: Path
) -> None:
    study = {
        "model": "openai:fake", "suites": ["do-not-answer", "mmlu"], "data_dir": data_dir,
        "identities": ["a minor", "a man", "a minor & a man"], "options": {"base_url": server.url},
        "personalizers": ["system", "user"], "repeats": 2,
    }  # fmt: skip
    evenhand.run(study, tmp_path / "a")
    evenhand.run({**study, "seed": 1, "mitigation": "defense:Be fair."}, tmp_path / "b")
    compared = cli("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert compared.returncode == 0, compared.stderr
    assert "safety: PB, corrected" in compared.stdout
    assert "12 of do-not-answer" in compared.stdout
    planned = cli("plan", str(tmp_path / "a"), "--pb", "2")
    assert planned.returncode == 0, planned.stderr
    assert "items needed" in planned.stdout
    found = evenhand.analyze(tmp_path / "a")
    assert set(found.axes["safety"].additivity) == {"a man who is a minor"}
    assert {c.source for c in found.suites[0].components} >= {"identity", "personalizer", "item", "repeat"}
    assert [c.personalizer for c in found.suites[0].cues] == ["system", "user"]
    report = evenhand.write_report(tmp_path / "a").read_text()
    assert 'id="cues"' in report
    assert "What it cost" in report
    shown = cli("analyze", str(tmp_path / "a")).stdout
    assert "beyond the sum of its parts" in shown
    assert cli("compare", str(tmp_path / "a")).returncode == 2


def test_a_pilot_that_met_nothing_is_too_small_and_never_needs_two_items() -> None:
    rng = np.random.default_rng(8)
    nothing = items_needed("s", marginals(np.full((5, 50), 100.0)), pb=1.0, pool=132)
    assert nothing.too_small
    assert nothing.items > 50
    assert "too small" in nothing.note
    short = 0
    for _ in range(200):
        chance = np.where(np.arange(5) == 0, 0.975, 1.0)[:, None]  # PB 1, the others at the ceiling
        planned = items_needed("s", marginals((rng.random((5, 50)) < chance) * 100.0), pb=1.0)
        short += planned.items < 100 and not planned.too_small
    assert short == 0


def test_the_noise_bound_holds_and_costs_little_where_most_items_differ() -> None:
    rng = np.random.default_rng(9)
    bounds, estimates = zip(
        *(noise_bound(marginals((rng.random((6, 60)) < 0.97) * 100.0))[::-1] for _ in range(300)), strict=True
    )
    truth = 0.97 * 0.03 * 100**2
    assert np.mean(np.array(bounds) >= truth) > 0.85
    assert np.mean(estimates) == pytest.approx(truth, rel=0.1)
    estimate, bound = noise_bound(marginals((rng.random((12, 200)) < 0.5) * 100.0))
    assert estimate <= bound < 1.05 * estimate


def test_items_to_pass_pass_as_often_as_planned() -> None:
    rng = np.random.default_rng(10)
    pilot = marginals((rng.random((6, 150)) < 0.8) * 100.0)
    needed = items_to_pass("s", pilot, 3.0, pool=120)
    assert "more than the suite's 120" in needed.note
    # By normal noise: a threshold that a model at the limit stays under in 2 %, a flawless one in about 80 %.
    noise = rng.normal(size=(20_000, 6)) * needed.spread_bound / np.sqrt(needed.items)
    limit = np.array([1, -1, 1, -1, 1, -1]) * 3.0
    threshold = np.quantile((noise + limit).std(axis=1), 0.02)
    assert (noise.std(axis=1) <= threshold).mean() == pytest.approx(0.8, abs=0.03)

"""How certain it is that a bias is below any limit, and where that is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evenhand import api
from evenhand.analysis.certainty import Certainty, certainty_of
from evenhand.analysis.looks import ERROR
from evenhand.report.words import certainty_sentences
from tests.test_gate import analysis_of, scored_study


def test_the_curve_goes_through_the_ends_of_the_intervals() -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((6, 200)) < 0.9).astype(float)
    curve = analysis_of(scores).certainty["safety"]
    assert curve.certainties == (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)
    assert list(curve.limits) == sorted(curve.limits)
    for sure, limit in zip(curve.certainties, curve.limits, strict=True):
        pb = analysis_of(scores, level=max(2 * sure - 1, 0.01)).pb["safety"]
        assert pb is not None
        if sure > 0.5:
            assert limit == pytest.approx(pb.ci[1])


def test_between_its_points_the_curve_is_normal() -> None:
    curve = certainty_of([0.5, 0.9, 0.99], [1.0, 2.0, np.nan])
    assert curve == Certainty((0.5, 0.9), (1.0, 2.0))
    assert curve.below(0.99) == 0
    assert curve.below(1.0) == pytest.approx(0.5)
    assert curve.below(1.5) == pytest.approx(stats.norm.cdf(stats.norm.ppf(0.9) / 2))
    assert curve.below(50.0) == pytest.approx(0.9)
    assert certainty_of([0.5], [np.nan]) is None
    flat = Certainty((0.5, 0.9, 0.99), (1.0, 1.0, 1.0))
    assert flat.below(1.0) == pytest.approx(0.99)


def test_a_few_round_limits_are_told() -> None:
    curve = Certainty((0.5, 0.975, 0.995), (0.9, 1.7, 2.6))
    assert [limit for limit, _ in curve.told()] == [1.0, 2.0, 3.0]
    assert certainty_sentences({"safety": curve}) == [
        "safety PB < 1 with 59.7 %, < 2 with 98.5 %, < 3 with over 99.5 % certainty."
    ]
    assert Certainty((), ()).told() == []


def test_a_bias_lies_below_a_limit_as_often_as_was_said() -> None:
    rng = np.random.default_rng(1)
    effect = np.array([4.0, -4.0, 2.0, -2.0, 0.0])
    pb, below, studies = float(effect.std()), [], 60
    for _ in range(studies):
        scores = (rng.random((5, 150)) < (70 + effect[:, None]) / 100).astype(float)
        curve = analysis_of(scores).certainty["safety"]
        below.append([pb < limit for limit in curve.limits])
    for sure, share in zip(curve.certainties, np.mean(below, axis=0), strict=True):
        assert share > sure - 3 * np.sqrt(sure * (1 - sure) / studies)


def test_a_check_passes_at_the_limits_of_which_the_curve_is_certain_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scored_study(tmp_path, (rng.random((4, 500)) < 0.95).astype(float), 500)
    found = api.check(tmp_path, max_pb=3)
    curve = found.certainty["safety"]
    at = curve.certainties.index(1 - ERROR)
    assert curve.limits[at] == pytest.approx(found.checks[0].ci[1])


def test_the_report_draws_it_and_names_who_is_looked_at_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = (rng.random((5, 300)) < np.array([0.4, 0.9, 0.9, 0.9, 0.9])[:, None]).astype(float)
    scored_study(tmp_path, scores, 300)
    found = api.analyze(tmp_path)
    assert found.axes["safety"].apart == ("u0",)
    page = api.write_report(tmp_path).read_text()
    assert 'id="chart-certainty"' in page
    table = page[page.index('id="categories"') :].split("</table>")[0]
    assert "u0, −" in table
    assert "looked at apart" in table
    assert certainty_sentences(found.certainty)[0].replace("<", "&lt;") in page

"""Items that share a question are no independent evidence: the cluster is what is resampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import evenhand
from evenhand.analysis import Settings, estimate_pb, summarize, tabulate
from evenhand.analysis.breakdown import by_group
from evenhand.analysis.comparison import compare
from evenhand.analysis.deviations import from_baseline
from evenhand.analysis.marginals import marginals
from evenhand.analysis.resampling import noise_draws, permuted_means, permuted_spread, unshuffled_means
from evenhand.analysis.scores import SuiteScores
from evenhand.analysis.sequential import look
from evenhand.study import Store
from evenhand.suites.base import load_suite, make_suites
from evenhand.suites.sources import DataSource
from evenhand.types import ScoreRow
from tests.older_stores import back_to_version


def repeated(rng: np.random.Generator, questions: int, wordings: int, people: int = 6) -> np.ndarray:
    """Scores of 0 or 100 without any bias, where all wordings of a question are answered alike by each identity."""
    chance = rng.beta(2, 2, questions)
    return np.repeat((rng.random((people, questions)) < chance) * 100.0, wordings, axis=1)


def names(questions: int, wordings: int) -> list[str]:
    return [f"q{q}" for q in range(questions) for _ in range(wordings)]


def test_items_that_repeat_a_question_say_no_more_than_the_question() -> None:
    table = repeated(np.random.default_rng(0), 40, 1)
    once, thrice = estimate_pb(table), estimate_pb(np.repeat(table, 3, axis=1), clusters=names(40, 3))
    assert thrice.corrected_squared == pytest.approx(once.corrected_squared)
    assert thrice.ci == pytest.approx(once.ci, rel=0.05)
    assert thrice.noise_floor == pytest.approx(once.noise_floor, rel=0.03)
    assert thrice.p_value == pytest.approx(once.p_value, abs=0.04)
    assert thrice.items == 120


def test_clusters_of_one_item_change_nothing() -> None:
    table = repeated(np.random.default_rng(1), 30, 1)
    table[0, 3] = np.nan
    assert estimate_pb(table, clusters=[f"i{n}" for n in range(30)]) == estimate_pb(table)


def test_a_cluster_is_shuffled_as_one() -> None:
    """One question in four wordings that only identity 0 fails: after any shuffle one identity fails all four."""
    table = np.full((3, 8), 100.0)
    table[0, :4] = 0.0
    fit = marginals(table, names(2, 4))
    assert (fit.items, fit.clusters) == (8, 2)
    shuffled = permuted_means(table, fit, 200, np.random.default_rng(0), names(2, 4))
    np.testing.assert_allclose(np.sort(shuffled, axis=1), np.tile([-100 / 3, 50 / 3, 50 / 3], (200, 1)), atol=1e-9)
    # A wording that was not scored for one identity leaves the others together.
    table[2, 1] = np.nan
    fit = marginals(table, names(2, 4))
    holed = permuted_means(table, fit, 200, np.random.default_rng(0), names(2, 4))
    assert len(np.unique(holed.round(6), axis=0)) == 6


def test_noise_of_unequal_clusters_is_the_known_variance() -> None:
    """Five clusters of 1 to 5 equal items: the error of a mean is that of the cluster totals over the items."""
    clusters = [f"q{size}" for size in range(1, 6) for _ in range(size)]
    table = np.array([[0.0], [0.0]]) + np.array([[1.0], [-1.0]]) * np.array([int(c[1]) ** 2 for c in clusters])
    fit = marginals(table, clusters)
    gap = fit.mean[0]
    totals = np.array([size * (size**2 - gap) for size in range(1, 6)])
    assert fit.covariance[0, 0] == pytest.approx(5 / 4 * (totals**2).sum() / 15**2)
    draws = noise_draws(fit, 40_000, np.random.default_rng(0))
    assert draws[:, 0].var() == pytest.approx(fit.covariance[0, 0], rel=0.03)


def test_against_a_baseline_a_cluster_swaps_as_one() -> None:
    """Two questions in ten wordings each, both worse than the baseline: p is at least 2 / 2^2, not 2 / 2^20."""
    scores = SuiteScores(
        "s", "safety", ("a", "b"), ("plain",), tuple(f"i{n:02}" for n in range(20)), ("g",) * 20, ("system",),
        np.zeros((1, 2, 20, 1)), np.full((1, 20), 100.0), tuple(names(2, 10)),
    )  # fmt: skip
    worse, _ = from_baseline([scores], "plain", draws=4000).contrasts()
    assert worse.value == -100
    assert worse.p_value >= 0.45


def test_the_number_of_clusters_is_told_where_it_differs() -> None:
    table = repeated(np.random.default_rng(2), 20, 2, people=3) / 100
    rows = [
        ScoreRow("s", "safety", "g", f"i{i:02}", "system", f"u{u}", "c", 0, float(x), "x", "stop", None, f"q{i // 2}")
        for (u, i), x in np.ndenumerate(table)
    ]
    people = [(f"u{u}", "c") for u in range(3)]
    found = summarize(rows, people, planned=120, failed=0, settings=Settings(100, 100))
    assert (found.suites[0].items, found.suites[0].clusters) == (40, 20)
    assert any("40 items in 20 clusters" in note for note in found.notes)
    plain = summarize([r[:12] for r in rows], people, planned=120, failed=0, settings=Settings(100, 100))
    assert plain.suites[0].clusters == 40
    assert not any("clusters" in note for note in plain.notes)
    assert found.pb["safety"] and plain.pb["safety"]
    assert found.pb["safety"].noise_floor > plain.pb["safety"].noise_floor


@pytest.mark.simulation
@pytest.mark.parametrize(("questions", "wordings"), [(75, 2), (30, 5)])
def test_wordings_of_a_question_leave_out_zero_no_more_often_than_they_should(questions: int, wordings: int) -> None:
    studies, rng = 150, np.random.default_rng(3)
    found = [
        estimate_pb(
            repeated(rng, questions, wordings), draws=400, permutations=200, seed=n, clusters=names(questions, wordings)
        )
        for n in range(studies)
    ]
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert np.mean([e.ci[0] > 0 for e in found]) < limit
    assert np.mean([e.p_value <= 0.05 for e in found]) < limit
    squared = np.array([e.corrected_squared for e in found])
    assert abs(squared.mean()) < 3 * squared.std() / np.sqrt(studies)


def test_file_suites_read_clusters_and_stores_keep_them(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('axis = "safety"\nitems = "own.csv"\n')
    (tmp_path / "own.csv").write_text("id,question,cluster\n1,How?,q\n2,How so?,q\n3,Why?,\n")
    (suite,) = make_suites([f"file:{tmp_path / 'own.toml'}"])
    loaded = load_suite(suite, DataSource())
    assert {i.id: i.cluster for i in loaded.items} == {"1": "q", "2": "q", "3": ""}
    study = {"model": "echo", "suites": [f"file:{tmp_path / 'own.toml'}"], "identities": ["a man", "a minor"]}
    evenhand.run(study, tmp_path / "study", model=lambda messages: "I cannot help with that.")
    with Store.open(tmp_path / "study") as store:
        assert {row.item: row.cluster for row in store.scores()} == {"1": "q", "2": "q", "3": ""}
        (table,) = tabulate(store.scores(), [])
        assert table.clusters == ("q", "q", "3")
        assert store.items("own")["2"].cluster == "q"


def test_a_store_of_before_gets_clusters_when_its_file_names_them(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('axis = "safety"\nitems = "own.csv"\n')
    (tmp_path / "own.csv").write_text("id,question\n1,How?\n2,How so?\n")
    study = {"model": "echo", "suites": [f"file:{tmp_path / 'own.toml'}"], "identities": ["a man", "a minor"]}
    evenhand.run(study, tmp_path / "study", model=lambda messages: "No.")
    back_to_version(tmp_path / "study", 4)
    with Store.open(tmp_path / "study") as store:
        assert {row.cluster for row in store.scores()} == {""}
    (tmp_path / "own.csv").write_text("id,question,cluster\n1,How?,q\n2,How so?,q\n")
    evenhand.run(study, tmp_path / "study", model=lambda messages: "No.")
    with Store.open(tmp_path / "study") as store:
        assert {row.cluster for row in store.scores()} == {"q"}


def study_of(table: np.ndarray, wordings: int, groups: int = 1) -> SuiteScores:
    people, items = table.shape
    return SuiteScores(
        "s", "safety", tuple(f"u{n}" for n in range(people)), (), tuple(f"i{n:03}" for n in range(items)),
        tuple(f"g{n // wordings % groups}" for n in range(items)), ("system",), table[None, ..., None],
        np.empty((0, items)), tuple(names(items // wordings, wordings)),
    )  # fmt: skip


def test_looks_count_clusters() -> None:
    table = repeated(np.random.default_rng(4), 40, 1)
    once = look(table, 1.0, 500)
    thrice = look(np.repeat(table, 3, axis=1), 1.0, 1500, clusters=names(40, 3))
    assert thrice.halfwidth == pytest.approx(once.halfwidth, rel=0.05)
    assert thrice.reach == pytest.approx(once.reach, rel=0.05)
    # Of 20 questions nothing differs, however often each was put.
    alike = np.full((4, 60), 100.0)
    assert look(alike, 1.0, 500, clusters=names(20, 3)).reach == pytest.approx(look(alike[:, :20], 1.0, 500).reach)


@pytest.mark.simulation
def test_two_studies_of_the_same_questions_change_no_more_often_than_they_should() -> None:
    studies, rng = 150, np.random.default_rng(5)
    pairs = [[study_of(repeated(rng, 20, 5), 5) for _ in range(2)] for _ in range(studies)]
    found = [compare([one], [other], draws=300, seed=n) for n, (one, other) in enumerate(pairs)]
    limit = 0.06 + 3 * np.sqrt(0.06 * 0.94 / studies)
    assert np.mean([c.score["safety"].p_value <= 0.05 for c in found]) < limit
    assert np.mean([c.pb["safety"].p_value <= 0.05 for c in found]) < limit
    assert np.mean([min(x.q_value for x in c.changes["safety"].values()) <= 0.05 for c in found]) < limit


@pytest.mark.simulation
def test_groups_of_questions_differ_no_more_often_than_they_should() -> None:
    studies, rng = 150, np.random.default_rng(6)
    p = [
        by_group(study_of(repeated(rng, 24, 5), 5, groups=3), draws=50, permutations=100, seed=n).p_value
        for n in range(studies)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("together", [1, 2])
def test_what_shuffles_spread_is_known_without_them(holes: float, together: int) -> None:
    rng = np.random.default_rng(3)
    table = np.where(rng.random((5, 60)) < 0.2, rng.random((5, 60)), 0.0)
    table[rng.random(table.shape) < holes] = np.nan
    clusters = [str(n // together) for n in range(60)]
    fit = marginals(table, clusters)
    drawn = permuted_means(table, fit, 20_000, rng, clusters)
    # The error of a standard deviation of 20,000 draws is half a percent.
    assert permuted_spread(table, fit, clusters) == pytest.approx(drawn.std(axis=0), rel=0.03)
    assert unshuffled_means(table, fit) == pytest.approx(fit.centred, abs=1e-9)

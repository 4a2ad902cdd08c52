"""Few labels: what they may have missed is in the intervals, and what they say is not lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evenhand.analysis import Settings, summarize
from evenhand.analysis.bias import BiasEstimator
from evenhand.analysis.correction import MIN_LABELS, correct
from evenhand.analysis.deviations import from_mean
from evenhand.analysis.judge_error import Responses, judge_error
from evenhand.analysis.scores import tabulate
from evenhand.analysis.sensitivity import JudgeFigures, error_spread, sensitivity
from evenhand.analysis.summary import Analysis
from evenhand.judges.validation import closest_figures, is_check
from evenhand.report.words import judge_caveat
from evenhand.types import ScoreRow


def rows(judge: np.ndarray, people: np.ndarray, labelled: np.ndarray, suite: str = "s") -> list[ScoreRow]:
    return [
        ScoreRow(suite, "safety", "g", f"i{i:03}", "system", f"u{u:02}", "c", 0, float(score), "x", "stop",
                 float(people[u, i]) if labelled[u, i] else None)
        for (u, i), score in np.ndenumerate(judge)
    ]  # fmt: skip


def drawn(rng: np.random.Generator, shape: tuple[int, ...], labels: int) -> np.ndarray:
    """Which responses are labelled: a random sample of all."""
    chosen = np.zeros(shape, bool)
    chosen.ravel()[rng.choice(chosen.size, labels, replace=False)] = True
    return chosen


def analysed(table: list[ScoreRow], **settings: bool) -> Analysis:
    people = [(name, "c") for name in sorted({row.identity for row in table})]
    return summarize(table, people, planned=len(table), failed=0, settings=Settings(400, 200, **settings))


def means(table: list[ScoreRow]) -> np.ndarray:
    names = sorted({row.identity for row in table})
    return np.array([np.mean([row.score for row in table if row.identity == name]) for name in names])


def ends(table: list[ScoreRow], seed: int = 0) -> np.ndarray:
    """Intervals of the deviations, shape (identities, 2)."""
    after, done = correct(table)
    (scores,) = tabulate(after, [])
    allowances = {c.suite: c.allowance for c in done}
    estimator = BiasEstimator([scores], draws=200, permutations=0, seed=seed, allowances=allowances)
    return np.array([c.ci for c in from_mean([estimator.fit("s")], [estimator.noise("s")])])


def test_labels_that_all_agree_with_the_judge_leave_its_means_and_are_no_proof() -> None:
    """Also where it says the same of everything that was labelled; an interval of no width would claim it is right."""
    rng = np.random.default_rng(0)
    judge = (rng.random((5, 60)) < np.array([0.6, 0.9, 0.9, 0.9, 0.9])[:, None]).astype(float)
    labelled = drawn(rng, judge.shape, 40)
    for chosen in (labelled, labelled & (judge == 1)):
        table = rows(judge, judge, chosen)
        fixed, (done,) = correct(table)
        assert means(fixed) == pytest.approx(judge.mean(axis=1))
        assert min(person.error for person in done.identities) > 1
    before, after = (analysed(rows(judge, judge, labelled), correct=c).pb["safety"] for c in (False, True))
    assert before is not None
    assert after is not None
    assert after.corrected == pytest.approx(before.corrected, abs=1)
    assert before.ci[1] < after.ci[1] < before.ci[1] + 5
    assert after.information == before.information


def test_an_identity_without_labels_gets_the_common_error_and_the_spread_of_it() -> None:
    judge = np.array([0.0, 1.0] * 20)
    people = np.where(np.arange(40) < 20, judge, np.nan)
    people[[1, 3, 5, 7]] = 0  # the judge flatters 4 of 20, all of them the first identity's
    found = judge_error(Responses(np.repeat([0, 1], 20), np.tile(np.arange(20), 2), judge, people))
    assert found.common == pytest.approx(-0.2)
    assert found.weight[1] == 0
    assert found.variance[1] == pytest.approx(found.spread**2)
    # The first one's labels are all there are: it is what people say, and certain.
    assert found.weight[0] == 1
    assert found.variance[0] == 0
    with pytest.raises(ValueError, match="fewer than two"):
        judge_error(Responses(np.zeros(3, int), np.arange(3), judge[:3], np.array([1, np.nan, np.nan])))


def test_the_more_labels_an_identity_has_the_more_they_decide() -> None:
    rng = np.random.default_rng(1)
    people = (rng.random((6, 400)) < 0.7).astype(float)
    judge = np.where(rng.random(people.shape) < 0.1, 1 - people, people)
    own = []
    for each in (5, 20, 100, 400):
        _, (done,) = correct(rows(judge, people, np.arange(400) < np.full((6, 1), each)))
        own.append(np.mean([person.own for person in done.identities]))
    assert own[0] < 0.8 < own[2] < own[3] == 1
    assert own == sorted(own)


def test_labels_of_one_cluster_are_one_piece_of_evidence() -> None:
    """Each labelled response five times over, as wordings of one question, is as uncertain as once."""
    rng = np.random.default_rng(2)
    people = (rng.random((4, 200)) < 0.7).astype(float)
    judge = np.where(rng.random(people.shape) < 0.2, 1 - people, people)
    labelled = drawn(rng, people.shape, 120)
    once = correct(rows(judge, people, labelled))[1][0]
    copies = [
        row._replace(item=f"{row.item}-{k}", cluster=row.item)
        for row in rows(judge, people, labelled)
        for k in range(5)
    ]
    clustered, alone = (correct(t)[1][0] for t in (copies, [row._replace(cluster="") for row in copies]))
    errors = [np.mean([p.error for p in done.identities]) for done in (once, clustered, alone)]
    assert errors[1] == pytest.approx(errors[0], rel=0.15)
    assert errors[2] < 0.75 * errors[0]


@pytest.mark.simulation
@pytest.mark.parametrize(("mean", "most"), [(0.9, 0.7), (0.97, 0.9)])
def test_corrected_is_no_wider_than_labels_alone_nor_much_wider_than_the_judge_alone(mean: float, most: float) -> None:
    """200 labels of a good judge; without an intercept the variance was 4 to 21 times as large."""
    rng = np.random.default_rng(3)
    widths = []
    for seed in range(12):
        people = (rng.random((12, 150)) < mean).astype(float)
        judge = np.where(rng.random(people.shape) < 0.02, 1 - people, people)
        table = rows(judge, people, drawn(rng, people.shape, 200))
        ways = ([r._replace(human=None) for r in table], table, [r._replace(score=1.0) for r in table])
        widths.append([np.ptp(ends(way, seed), axis=1).mean() for way in ways])
    judge_alone, corrected, labels_alone = np.mean(widths, axis=0)
    assert corrected < most * labels_alone
    assert corrected < 2 * judge_alone


@pytest.mark.simulation
@pytest.mark.parametrize(("identities", "mean"), [(12, 0.9), (31, 0.9), (12, 0.97), (12, 0.7)])
def test_a_judge_that_favours_one_identity_does_not_fool_a_few_labels(identities: int, mean: float) -> None:
    """Half of the first one's bad responses are called good; 200 labels, or 7 for each, over all identities."""
    rng = np.random.default_rng(identities)
    hits = []
    for seed in range(30):
        people = (rng.random((identities, 120)) < mean).astype(float)
        judge = np.where(rng.random(people.shape) < 0.03, 1 - people, people)
        judge[0] = np.where((people[0] == 0) & (rng.random(120) < 0.5), 1.0, judge[0])
        labels = 7 * identities if seed % 2 else 200
        found = ends(rows(judge, people, drawn(rng, people.shape, labels)), seed)
        hits.append((found[:, 0] <= 0) & (found[:, 1] >= 0))
    assert np.mean(hits) >= 0.95
    assert np.mean(hits, axis=0)[0] >= 0.86


@pytest.mark.simulation
def test_errors_that_differ_between_identities_are_found_and_carried() -> None:
    rng = np.random.default_rng(4)
    hits, squared = {7: [], 60: []}, {7: [], 60: []}
    lenient = np.linspace(0, 0.8, 8)[:, None]
    for seed in range(25):
        people = (rng.random((8, 150)) < 0.7).astype(float)
        judge = np.where((people == 0) & (rng.random(people.shape) < lenient), 1.0, people)
        for each in hits:
            table = rows(judge, people, drawn(rng, people.shape, 8 * each))
            found = ends(table, seed)
            hits[each].append((found[:, 0] <= 0) & (found[:, 1] >= 0))
            fixed = means(correct(table)[0])
            squared[each].append(((fixed - 0.7) ** 2).mean())
    assert min(np.mean(h) for h in hits.values()) >= 0.95
    assert np.mean(squared[60]) < 0.3 * np.mean(squared[7])


def test_below_the_least_number_of_labels_nothing_is_corrected() -> None:
    judge = np.tile([0.0, 1.0], (3, 30))
    for count, corrected in ((MIN_LABELS - 1, 0), (MIN_LABELS, 1)):
        labelled = np.arange(judge.size).reshape(judge.shape) < count
        assert len(correct(rows(judge, judge, labelled))[1]) == corrected


def test_spread_of_a_judges_error_by_hand() -> None:
    """Of 100 answers 90 are good, of which 98 or 96 % are found, and 10 bad, of which 70 or 90 % are."""
    recalls = ((0.98, 0.7), (0.96, 0.9))
    told = 100 * (0.9 * 0.97 + 0.1 * 0.2)
    by_class = 90 * np.std([0.98, 0.96], ddof=1), 10 * np.std([0.7, 0.9], ddof=1)
    assert error_spread(recalls, told) == pytest.approx(np.hypot(*by_class))
    # That the second set's errors make up for each other is luck of two sets.
    assert error_spread(((0.9, 0.9), (0.8, 0.8)), 50) > 4
    assert np.isnan(error_spread(recalls[:1], told))
    assert error_spread((recalls[0], recalls[0]), told) == 0


def shares(judge: str, like: str = "") -> list[tuple[float, float]]:
    return [found for figure in closest_figures(judge, like) if (found := figure.shares(judge)) is not None]


def test_shipped_figures_are_of_the_kind_of_question_or_of_the_judges_own_notion() -> None:
    for judge in ("action-classifier", "refusal-classifier", "compliance-classifier", "refusal-rules"):
        assert len(shares(judge)) == 2
        assert all(0.6 < share <= 1 for pair in shares(judge) for share in pair)
    assert [pair[::-1] for pair in shares("refusal-classifier")] == shares("compliance-classifier")
    # Asked whether answers are safe, a judge of refusals misses safe ones that do not refuse.
    assert {f.data for f in closest_figures("refusal-classifier", "Do-Not-Answer")} == {"Do-Not-Answer"}
    assert max(good for good, _ in shares("refusal-classifier", "Do-Not-Answer")) < 0.9
    assert closest_figures("llm-actions:openai:m", "XSTest") == []
    assert is_check("number")
    assert not is_check("refusal-classifier")


def test_the_band_says_what_pb_could_be_and_only_where_nobody_labelled() -> None:
    rng = np.random.default_rng(5)
    judge = (rng.random((4, 80)) < np.array([0.5, 0.8, 0.8, 0.8])[:, None]).astype(float)
    pb = analysed(rows(judge, judge, np.zeros_like(judge, bool))).pb
    estimate = pb["safety"]
    assert estimate is not None
    recalls = ((0.98, 0.7), (0.96, 0.9))
    known = {"s": JudgeFigures("action-classifier", False, recalls, ("XSTest",))}
    found = sensitivity([("s", "safety", 72.0)], known, (), pb)
    spread = error_spread(recalls, 72.0)
    band = found.pb["safety"]
    assert band.value == pytest.approx((estimate.corrected - spread, estimate.corrected + spread))
    assert band.ci == pytest.approx((max(estimate.ci[0] - spread, 0), estimate.ci[1] + spread))
    assert f"by {spread:.1f} points, as much as between the answers to XSTest" in judge_caveat(found, "safety")
    # A second suite with a judge that only compares halves what the first can do to their mean.
    both = [("s", "safety", 72.0), ("t", "safety", 50.0)]
    mixed = sensitivity(both, known | {"t": JudgeFigures("number", check=True)}, (), pb)
    assert mixed.spread("safety") == pytest.approx(spread / 2)
    unknown = sensitivity(both, known | {"t": JudgeFigures("llm-actions:m")}, (), pb)
    assert not unknown.pb
    assert "nothing is known (llm-actions:m)" in judge_caveat(unknown, "safety")
    labelled = sensitivity([("s", "safety", 72.0)], known, ("s",), pb)
    assert labelled.suites[0].standing == "people"
    checked = replace(known["s"], check=True)
    for silent in (labelled, sensitivity([("s", "safety", 72.0)], {"s": checked}, (), pb), None):
        assert judge_caveat(silent, "safety") == ""

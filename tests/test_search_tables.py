"""Searching the answers of a study: for whom they are worse, for whom a judge errs; without a call, and confirmed."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

import evenhand
from benchmarks.search_tables import Made, labelled, paired, unpaired
from evenhand.analysis.factorial import Conjunction
from evenhand.analysis.found import SearchResult
from evenhand.analysis.shared_items import SharedItems, shared_items
from evenhand.analysis.subgroups import conclude
from evenhand.analysis.within_groups import WithinGroups, within_groups
from evenhand.errors import SpecError
from evenhand.report.search_tables import fresh_table, table_sentences
from evenhand.searching import SearchSpec
from evenhand.searching.attributes import attributes, in_words
from evenhand.searching.table import Table, shares_questions, table_of
from evenhand.searching.tabled import Of, search_in, search_rows
from evenhand.types import ScoreRow

Cli = Callable[..., CompletedProcess[str]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
AGES = [{"name": who, "category": "age", "parts": []} for who in ("a minor", "an adult")]
MINOR = Conjunction(((0, 0),))


def row(item: str, who: str, score: float | None, **more: Any) -> ScoreRow:
    told = {"group": "g", "personalizer": "system", "label": "given", "suite": "s"} | more
    return ScoreRow(
        told["suite"], "utility", told["group"], item, told["personalizer"], who, "age", told.get("repeat", 0), score,
        told["label"], "", told.get("human"), told.get("cluster", ""), told.get("wording", ""), told.get("way", ""),
    )  # fmt: skip


def table(rows: list[ScoreRow], *, apart: bool = False, worded: bool = False) -> Table:
    told = attributes(rows, AGES, [], worded=worded)
    outcomes = np.array([np.nan if r.score is None else 100 * r.score for r in rows])
    made = table_of(rows, outcomes, told, paired=not apart, unpaired=apart, bounds=(0.0, 100.0))
    return replace(made, fresh=np.ones(len(made.outcomes), dtype=bool))


def search(made: Made, spec: SearchSpec | None = None, of: Of = "scores", name: str = "it") -> SearchResult:
    told = bool(made.covariates)
    return search_rows(
        made.rows, made.identities, made.covariates, spec or SearchSpec(), of=of, unpaired=told, name=name
    )


# Contrasts


def test_on_the_same_question_those_who_match_are_set_against_the_others() -> None:
    rows = [row("1", "a minor", 0.2), row("1", "an adult", 0.6), row("2", "a minor", 1.0), row("2", "an adult", 0.5)]
    rows += [row("3", "a minor", 1.0), row("4", "an adult", 0.0)]  # nobody to compare with
    side = table(rows).contrast(MINOR)
    assert isinstance(side.contrast, SharedItems)
    assert sorted(side.contrast.differences) == pytest.approx([-40, 50])
    assert (side.contrast.mean, side.contrast.other_mean) == pytest.approx((60, 55))
    assert side.groups == ((0, pytest.approx(5), 2),)


def test_repeats_are_one_answer_and_questions_of_a_cluster_one_piece_of_evidence() -> None:
    rows = [row("1", "a minor", score, repeat=n) for n, score in enumerate((1.0, 0.0, None))]
    rows += [row("1", "an adult", 1.0), row("2", "a minor", 0.0), row("2", "an adult", 0.1)]
    side = table([r._replace(cluster="c") for r in rows]).contrast(MINOR)
    assert isinstance(side.contrast, SharedItems)
    assert side.contrast.differences == pytest.approx([(-50 - 10) / 2])
    assert side.missing == 1


def test_wordings_of_a_question_are_compared_with_each_other() -> None:
    rows = [row(f"{n}{w}", "an adult", float(w == "x"), cluster=str(n), wording=w) for n in range(3) for w in "xy"]
    made = table([*rows, row("9", "a minor", 1.0)], worded=True)
    wording = made.space.factors.index("wording")
    side = made.contrast(Conjunction(((wording, 0),)))
    assert in_words(made.space, Conjunction(((wording, 0),))) == "wording: x"
    assert side.contrast.difference == 100 and side.contrast.items == 3


def test_within_groups_the_difference_is_that_of_a_regression_with_group_levels() -> None:
    rng = np.random.default_rng(3)
    groups, units = rng.integers(0, 3, 60), np.arange(60)
    matches = rng.random(60) < 0.2 + 0.2 * groups
    scores = rng.uniform(0, 100, 60)
    found = within_groups(scores, matches, groups, units)
    design = np.column_stack([matches, *(groups == g for g in range(3))]).astype(float)
    assert found.difference == pytest.approx(np.linalg.lstsq(design, scores)[0][0])
    assert found.counts == (int(matches.sum()), int((~matches).sum()))


def test_within_one_group_it_is_the_difference_of_means_of_people() -> None:
    scores = np.array([10.0, 30.0, 50.0, 90.0, 100.0])
    found = within_groups(scores, np.array([1, 1, 1, 0, 0], bool), np.zeros(5, int), np.array([0, 0, 1, 2, 3]))
    # The first two answers are of one human: (20 + 50) / 2.
    assert (found.mean, found.other_mean) == pytest.approx((35, 95))
    assert found.by_group() == [(0, pytest.approx(-60), 4)]


def test_groups_that_only_one_side_asked_of_say_nothing() -> None:
    scores, groups = np.array([0.0, 50.0, 100.0, 60.0]), np.array([0, 1, 1, 2])
    found = within_groups(scores, np.array([1, 1, 0, 0], bool), groups, np.arange(4))
    assert found.difference == pytest.approx(-50) and found.counts == (1, 1)
    assert np.isnan(found.p_value(0)) and np.isnan(found.interval(0.95)[0])


def test_ten_right_answers_of_ten_are_no_proof() -> None:
    scores, matches = np.full(210, 100.0), np.arange(210) < 10
    scores[10:20] = 0.0
    found = within_groups(scores, matches, np.zeros(210, int), np.arange(210))
    low, high = found.interval(0.95)
    assert low < -10 and high > 5 and found.p_value(0) > 0.3


def test_many_answers_of_the_same_people_are_no_more_evidence() -> None:
    rng = np.random.default_rng(5)
    scores, matches = rng.uniform(0, 100, 40), np.arange(40) < 15
    once = within_groups(scores, matches, np.zeros(40, int), np.arange(40))
    often = within_groups(*(np.repeat(x, 30) for x in (scores, matches, np.zeros(40, int), np.arange(40))))  # type: ignore[arg-type]
    assert once.p_value(1) == pytest.approx(often.p_value(1))
    assert once.interval(0.9) == pytest.approx(often.interval(0.9))


# How often it errs


def made_up(rng: np.random.Generator, people: int, share: float, mean: float) -> WithinGroups:
    """Clustered answers without a difference, of people of whom those who match ask more of what is hard."""
    who = rng.random(people) < share
    units = np.repeat(np.arange(people), 1 + np.minimum(rng.poisson(1.5, people), 6))
    hard = rng.random(len(units)) < np.where(who[units], 0.6, 0.3)
    chance = np.clip(mean + rng.normal(0, 10, people)[units] - 20 * hard, 0, 100)
    return within_groups(100.0 * (100 * rng.random(len(units)) < chance), who[units], hard.astype(int), units)


@pytest.mark.parametrize(("people", "share", "mean"), [(60, 0.3, 70), (120, 0.1, 95)])
def test_unpaired_tests_err_in_one_of_twenty_and_intervals_hold(people: int, share: float, mean: float) -> None:
    rng = np.random.default_rng(11)
    found = [one for _ in range(150) if (one := made_up(rng, people, share, mean)).testable]
    assert sum(one.p_value(1) <= 0.05 for one in found) <= binom.ppf(0.999, len(found), 0.05)
    ends = np.array([one.interval(0.95) for one in found])
    assert np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) >= 0.93


def test_tests_on_the_same_items_err_in_one_of_twenty_near_the_top() -> None:
    rng, p = np.random.default_rng(1), []
    for _ in range(150):
        hard = 10 * rng.random(40)[:, None] ** 2
        scores = 100.0 * (100 * rng.random((40, 8)) > hard)
        items = np.repeat(np.arange(40), 8)
        found = shared_items(scores.ravel(), np.arange(320) % 8 == 0, items, items, np.arange(320))
        p.append(found.p_value(1))
    assert sum(one <= 0.05 for one in p) <= binom.ppf(0.999, 150, 0.05)


@pytest.mark.parametrize(("make", "size"), [(paired, 90), (unpaired, 300)])
def test_where_nothing_is_there_nearly_nothing_is_confirmed(make: Callable[..., Made], size: int) -> None:
    rng = np.random.default_rng(2)
    wrong, tested = 0, 0
    for number in range(40):
        made = make(size, 0.0, rng)
        found = search(made, SearchSpec(direction="both", smallest=0.01, seed=number))
        wrong += bool(found.confirmed)
        tested += bool(found.found)
        assert any("no proof" in said for said in found.remarks) != bool(found.confirmed)
    assert wrong <= binom.ppf(0.999, 40, 0.05)
    # With a threshold of nothing there is something to test, so that an error could be made.
    assert tested >= 10


def test_combinations_chosen_blindly_are_confirmed_in_one_of_twenty_tables() -> None:
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(60):
        made = paired(60, 0.0, rng)
        told = attributes(made.rows, made.identities, [], worded=False)
        scores = np.array([100 * (r.score or 0.0) for r in made.rows])
        answers = table_of(made.rows, scores, told, paired=True, unpaired=False, bounds=(0.0, 100.0))
        blindly = [Conjunction(((0, int(rng.integers(3))), (1, n))) for n in range(3)]
        tests = [(who, answers.contrast(who).contrast) for who in blindly]
        wrong += any(one.confirmed for one in conclude(tests, "both"))
    assert wrong <= binom.ppf(0.999, 60, 0.05)


def test_one_of_many_who_never_fails_is_no_proof_where_everybody_rarely_does() -> None:
    """Twelve users, one failure an item: eleven of twelve do better than the mean of the others, and by a little."""
    items = np.repeat(np.arange(9), 12)
    scores, who = np.full(108, 100.0), np.tile(np.arange(12), 9)
    scores[[12 * n + 1 + n % 11 for n in range(9)]] = 0.0
    found = shared_items(scores, who == 0, items, items, np.arange(108))
    assert found.difference == pytest.approx(100 / 11)
    # Only one failure in nine would be nearer to nothing; random signs would say 2 / 2**9.
    assert found.p_value(0) == pytest.approx(1 - 9 / 12 * (11 / 12) ** 8, abs=0.12)
    failing = shared_items(np.where(who == 1, 0.0, 100.0), who == 1, items, items, np.arange(108))
    assert failing.p_value(0) < 0.005 and failing.interval(0.95)[1] < -20


def test_users_are_drawn_for_all_items_of_a_cluster_at_once() -> None:
    """In each of eight clusters one user of two fails on all ten items: it is one and the same in 1 of 2**7 draws."""
    units, items = np.repeat(np.arange(8), 20), np.repeat(np.arange(80), 2)
    seats = 2 * units + np.tile(np.arange(2), 80)
    found = shared_items(np.where(seats % 2 == 0, 0.0, 100.0), seats % 2 == 0, items, units, seats)
    assert found.items == 8 and found.difference == -100
    assert found.p_value(0) == pytest.approx(2**-7, abs=0.006)


def test_few_answers_of_each_human_against_many_err_no_more_often() -> None:
    rng, p = np.random.default_rng(7), []
    for _ in range(100):
        who = rng.random(100) < 0.15
        units = np.repeat(np.arange(100), np.where(who, 1, 8))
        chance = np.clip(80 + rng.normal(0, 10, 100)[units], 0, 100)
        scores = 100.0 * (100 * rng.random(len(units)) < chance)
        p.append(within_groups(scores, who[units], np.zeros(len(units), int), units).p_value(1))
    assert np.sum(np.array(p) <= 0.05) <= binom.ppf(0.999, 100, 0.05)


def test_exploring_never_sees_what_confirms() -> None:
    """With the scores of the fresh part turned over, the same is proposed with the same expectation."""
    made = unpaired(900, 60.0, np.random.default_rng(4))
    told = attributes(made.rows, made.identities, made.covariates, worded=False)
    none = np.zeros(len(made.rows))
    answers = table_of(made.rows, none, told, paired=False, unpaired=True, bounds=(0.0, 100.0))
    fresh = {n for entry in np.flatnonzero(answers.fresh) for n in answers.rows[entry]}
    turned = [r._replace(score=1 - (r.score or 0.0)) if n in fresh else r for n, r in enumerate(made.rows)]
    ones, others = search(made), search(replace(made, rows=turned))
    assert [(f.who, f.expected) for f in ones.found] == [(f.who, f.expected) for f in others.found]
    assert ones.confirmed and not others.confirmed
    # And no human is on both sides.
    humans = [{made.rows[n].cluster for n in range(len(made.rows)) if (n in fresh) is side} for side in (True, False)]
    assert not humans[0] & humans[1]


# Studies


def write(made: Made, file: Path, answers: bool = False) -> None:
    category = {one["name"]: one["category"] for one in made.identities}
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["identity", "category", "item", "group", "score", "human_score", "cluster", "faith", "response"]
        )
        for n, one in enumerate(made.rows):
            faith = made.covariates[n]["faith"] if made.covariates else ""
            said = ("Certainly, here it is." if one.score else "Sorry, ask your parents.") if answers else ""
            human = "" if one.human is None else one.human
            told = (one.identity, category[one.identity], one.item, one.group, "" if n % 60 == 7 else one.score, human)
            writer.writerow([*told, one.cluster, faith, said])


def test_a_planted_group_is_found_in_an_imported_table_and_confirmed(tmp_path: Path, cli: Cli) -> None:
    made = paired(180, 60.0, np.random.default_rng(1))
    write(made, tmp_path / "mine.csv", answers=True)
    done = cli("import", str(tmp_path / "mine.csv"), "--axis", "utility", "--out", str(tmp_path / "s"))
    assert done.returncode == 0, done.stderr
    found = search_in(tmp_path / "s")
    assert (found.of, sum(found.calls.values()), found.users, found.groups) == ("scores", 0, 12, 3)
    assert found.items["explore"] + found.items["confirm"] == 180
    assert found.missing == {"no-score": sum(n % 60 == 7 for n in range(len(made.rows)))}
    best = found.confirmed[0]
    assert best.who == "a minor & a Muslim person, on law"
    assert best.finding.interval[0] <= -60 <= best.finding.interval[1] < 0
    assert [one.name for one in best.conditions] == ["as found", "without a minor", "without a Muslim person"]
    assert all(one.interval[1] < 0 for one in best.conditions[1:])
    assert "parents" in best.words[0] and "certainly" in best.words[1]
    assert best.example is not None
    assert (best.example.who, best.example.answer) == ("a minor & a Muslim person", "Sorry, ask your parents.")
    assert (best.example.score, best.example.other_score) == (0, 100)
    assert not any("no proof" in said for said in found.remarks)


def test_in_traffic_people_are_what_is_drawn_and_it_is_said_what_that_cannot_say(tmp_path: Path) -> None:
    made = unpaired(1200, 60.0, np.random.default_rng(2))
    rows = [
        {"identity": r.identity, "category": "age", "item": r.item, "group": r.group, "score": r.score,
         "cluster": r.cluster, "faith": told["faith"]} for r, told in zip(made.rows, made.covariates, strict=True)
    ]  # fmt: skip
    evenhand.from_table(rows, tmp_path / "s", axis="utility", covariates=["faith"])
    found = search_in(str(tmp_path / "s"))
    assert found.confirmed[0].who == "a minor & faith: a Muslim person, on law"
    assert found.items["explore"] + found.items["confirm"] == 1200
    assert any("It is no personalization bias" in said for said in found.remarks)
    assert found.confirmed[0].example is None and found.confirmed[0].words == ((), ())


@pytest.mark.parametrize(("of", "size"), [("judge-errors", 600), ("judge-agreement", 600), ("judge-errors", 330)])
def test_a_judge_that_is_harsh_with_some_is_found_from_labels(tmp_path: Path, of: Of, size: int) -> None:
    made = labelled(size, 75.0, np.random.default_rng(3))
    write(made, tmp_path / "mine.csv")
    frame = list(csv.DictReader((tmp_path / "mine.csv").open()))
    evenhand.from_table(frame, tmp_path / "s", axis="utility")
    found = search_in(tmp_path / "s", of=of)
    assert found.direction == ("both" if of == "judge-errors" else "worse")
    assert [one.who for one in found.confirmed] == ["a Muslim person"]
    assert found.confirmed[0].finding.interval[1] < -5
    assert any(f"People labelled {size} of 960 answers" in said for said in found.remarks)
    few = [one for one in made.rows if one.human is not None]
    assert any("compared over all labelled" in said for said in found.remarks) != shares_questions(few)


def test_a_lenient_judge_is_told_from_a_harsh_one() -> None:
    made = labelled(600, 75.0, np.random.default_rng(3))
    kind = [r._replace(score=1 - (r.score or 0.0), human=None if r.human is None else 1 - r.human) for r in made.rows]
    found = search(replace(made, rows=kind), SearchSpec(direction="both"), of="judge-errors")
    assert found.confirmed[0].who == "a Muslim person" and found.confirmed[0].finding.interval[0] > 5


def test_labels_for_few_questions_twice_are_compared_over_questions() -> None:
    made = labelled(240, 75.0, np.random.default_rng(3))
    one_each = list({r.item: r for r in made.rows if r.human is not None}.values())
    assert not shares_questions(one_each)
    found = search(replace(made, rows=one_each), of="judge-errors")
    assert any("compared over all labelled questions" in said for said in found.remarks)


def test_too_little_is_refused_in_a_line() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SpecError, match=r"Not enough data: it has scored answers of \d+ questions") as raised:
        search(paired(18, 0.0, rng))
    assert "\n" not in str(raised.value.args[0])
    with pytest.raises(SpecError, match="Not enough data: people labelled 40 answers to users of it"):
        search(labelled(40, 0.0, rng), of="judge-errors")
    alone = [row(str(n), "a minor", 1.0) for n in range(60)]
    with pytest.raises(SpecError, match="to the same user"):
        search(Made(alone, AGES, []))
    with pytest.raises(SpecError, match="Not enough data"):
        search(Made([r._replace(score=None) for r in paired(60, 0.0, rng).rows], paired(1, 0.0, rng).identities, []))


def test_whose_answers_are_missing_more_often_is_said() -> None:
    made = paired(150, 70.0, np.random.default_rng(6))
    worst = "a minor & a Muslim person"
    gone = [
        r._replace(score=None, label="cut") if r.identity == worst and int(r.item[1:]) % 2 else r for r in made.rows
    ]
    found = search(replace(made, rows=gone))
    assert found.missing == {"cut": sum(r.score is None for r in gone)}
    assert found.found[0].missing > 0
    assert any("of the answers have no score" in said and "a minor" in said for said in found.remarks)


def test_nothing_confirmed_says_what_could_have_been() -> None:
    found = search(paired(90, 0.0, np.random.default_rng(12)))
    (said,) = (one for one in found.remarks if "nothing was confirmed" in one)
    assert "no proof" in said and "points" in said
    assert not any("no bias" in one.lower() for one in found.remarks)


def test_what_was_found_is_said_in_words() -> None:
    found = search(unpaired(900, 70.0, np.random.default_rng(2)))
    caveat, first, *_ = table_sentences(found)
    assert re.match(
        r"A minor & faith: a Muslim person, on law: \d+\.\d points less \(\d+\.\d to \d+\.\d\) than the others", first
    )
    assert "no personalization bias" in caveat
    assert fresh_table(found).row_count == len(found.found)
    harsh = search(labelled(600, 75.0, np.random.default_rng(3)), of="judge-errors")
    assert "points lower, beside what people say," in table_sentences(harsh)[0]
    nothing = " ".join(table_sentences(search(paired(90, 0.0, np.random.default_rng(12)))))
    assert "no proof" in nothing and "no bias" not in nothing.lower()


# What users are described by


def test_parts_ways_of_telling_and_covariates_are_factors() -> None:
    people = [
        {"name": "a Hindu minor", "category": "intersection", "parts": ["a minor", "a Hindu person"]},
        {"name": "a woman & a northerner", "category": "identity", "parts": []},
        {"name": "a man & a woman", "category": "identity", "parts": []},
        *AGES,
    ]
    rows = [row(str(n), one["name"], 1.0, personalizer=f"p{n % 2}", group="xy"[n % 2]) for n, one in enumerate(people)]
    told = attributes(rows, people, [{"length": float(n), "id": f"{n}"} for n in range(len(rows))], worded=False)
    held = [
        {level for f, level in zip(told.space.levels, codes, strict=True) if level >= 0 for level in [f[level]]}
        for codes in told.codes
    ]
    assert {"a minor", "a Hindu person", "p0", "x"} <= held[0]
    assert {"a woman", "a northerner", "p1", "y"} <= held[1]
    assert {"a man", "a woman"} <= held[2]
    assert held[3] & {"a minor"} and "length: 3" in held[3]
    assert told.space.factors[-1] == "on"


def test_numbers_are_cut_into_thirds_and_what_names_everybody_is_left_out() -> None:
    rows = [row(str(n), "a minor", 1.0) for n in range(90)]
    told = attributes(rows, AGES, [{"length": float(n), "id": f"user {n}"} for n in range(90)], worded=False)
    assert told.remarks == ("'id' has 90 values, more than 30: left out.",)
    levels = dict(zip(told.space.factors, told.space.levels, strict=True))["covariate: length"]
    assert len(levels) == 3 and {np.sum(told.codes[:, 0] == n) for n in range(3)} == {30}


def test_a_study_that_was_asked_is_searched_with_its_suites(tmp_path: Path) -> None:
    def model(messages: list[dict[str, str]]) -> str:
        said = " ".join(message["content"] for message in messages)
        refused = "minor" in said and "Hindu" in said and "Answer:" not in said
        return "I'm sorry, but I can't help with that." if refused else "Sure, here is how: first do this, then that."

    people = [f"{age} & {faith}" for age in ("a minor", "an adult") for faith in ("a Hindu person", "a Muslim person")]
    study = {"suites": ["starter-safety", "starter-utility"], "identities": people, "limit": 80}
    evenhand.run(study, tmp_path / "s", model=model)
    found = search_in(tmp_path / "s", SearchSpec(direction="better"))
    assert found.confirmed[0].who == "a minor & a Hindu person, on starter-safety"
    assert found.confirmed[0].example is not None and found.confirmed[0].example.who == "a Hindu minor"
    assert found.users == 4

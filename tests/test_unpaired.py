"""Answers that different people got to questions of their own: means, balancing, and how far apart identities are."""

from __future__ import annotations

import random
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from typer.testing import CliRunner

import evenhand
from evenhand.analysis.balance import balancing_weights, design_matrix
from evenhand.analysis.unpaired import MIN_CLUSTERS, Answers, unpaired
from evenhand.cli.main import app
from evenhand.errors import SpecError
from evenhand.planning import plan_items
from evenhand.report.answer import answer
from evenhand.report.asking import asking
from evenhand.report.unpaired import columns, how_sure, sentence
from evenhand.types import Axis

AXIS: Axis = "utility"


def answers(scores: dict[str, list[float]], topics: dict[str, list[str]] | None = None) -> Answers:
    """Everybody's answers, each of a human of its own."""
    who = [name for name, found in scores.items() for _ in found]
    told = {"topic": [t for name in scores for t in topics[name]]} if topics else {}
    flat = np.array([score for found in scores.values() for score in found])
    return Answers("s", AXIS, flat, who, [f"human-{n}" for n in range(len(who))], told)


def test_two_raw_means_and_their_error_are_those_of_welch() -> None:
    drawn = np.random.default_rng(1)
    one, other = drawn.uniform(0, 100, 30).tolist(), drawn.uniform(20, 100, 50).tolist()
    found = unpaired(answers({"a": one, "b": other}))
    assert found is not None
    low, high = found.identities
    assert (low.mean, high.mean) == pytest.approx((np.mean(one), np.mean(other)))
    welch = ttest_ind(other, one, equal_var=False)
    error = (np.mean(other) - np.mean(one)) / welch.statistic
    # A deviation is half a difference; its interval counts the other group's people, too.
    half = (high.deviation_ci[1] - high.deviation_ci[0]) / 2
    assert 1.96 * error / 2 < half < 2.1 * error / 2


def test_balancing_takes_away_what_the_topic_brings() -> None:
    """Topic alone decides: 80 on easy, 20 on hard; one identity asks more of the hard ones."""
    topics = {"a": ["easy"] * 40 + ["hard"] * 10, "b": ["easy"] * 10 + ["hard"] * 40}
    drawn = random.Random(3)
    scores = {n: [float(drawn.gauss(80 if t == "easy" else 20, 1)) for t in held] for n, held in topics.items()}
    found = unpaired(answers(scores, topics))
    assert found is not None
    assert found.raw > 15 and found.disparity < 1 and found.balanced_for == ("topic",)
    # Standardised by hand: half of all questions are easy.
    easy = np.mean([s for s, t in zip(scores["a"], topics["a"], strict=True) if t == "easy"])
    hard = np.mean([s for s, t in zip(scores["a"], topics["a"], strict=True) if t == "hard"])
    assert next(i for i in found.identities if i.identity == "a").mean == pytest.approx((easy + hard) / 2)


def test_where_nothing_overlaps_nothing_is_balanced_and_it_is_said() -> None:
    topics = {"a": ["easy"] * 20, "b": ["hard"] * 20}
    found = unpaired(answers({"a": [90.0, 80.0] * 10, "b": [20.0, 30.0] * 10}, topics))
    assert found is not None
    assert set(found.apart) == {"a", "b"} and not found.balanced_for
    assert any("Not balanced" in note for note in found.notes)


def test_one_human_with_many_answers_is_one() -> None:
    one = answers({"a": [0.0] * 8 + [100.0] * 8, "b": [100.0] * 16})
    many = Answers(
        "s", AXIS, np.repeat(one.scores, 20), list(np.repeat(one.identities, 20)), list(np.repeat(one.clusters, 20)), {}
    )
    ends = [found.identities[0].ci for found in (unpaired(one), unpaired(many)) if found]
    assert ends[0] == pytest.approx(ends[1])


def test_at_the_ceiling_nothing_is_certain() -> None:
    found = unpaired(answers({"a": [100.0] * 20, "b": [100.0] * 20}))
    assert found is not None
    assert found.disparity == 0 and found.ci[1] > 3 and all(i.ci[0] < 97 for i in found.identities)


def test_too_few_people_say_nothing() -> None:
    few = answers({"a": [50.0] * (MIN_CLUSTERS - 1), "b": [60.0, 40.0] * 10})
    assert unpaired(few) is None
    three = answers({"a": [50.0] * (MIN_CLUSTERS - 1), "b": [60.0, 40.0] * 10, "c": [60.0, 40.0] * 10})
    found = unpaired(three)
    assert found is not None and found.too_few == ("a",)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**16), st.integers(1, 3))
def test_weights_reach_their_target_or_say_that_they_cannot(seed: int, columns: int) -> None:
    drawn = np.random.default_rng(seed)
    own = drawn.normal(size=(30, columns))
    target = own.mean(axis=0) + drawn.normal(scale=1.5, size=columns)
    weights = balancing_weights(own, target)
    if weights is None:
        assert np.abs(target - own.mean(axis=0)).max() > 0.5
    else:
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
        assert weights @ own == pytest.approx(target, abs=1e-5)


def test_covariates_as_columns() -> None:
    matrix, names = design_matrix(
        {"topic": ["a"] * 6 + ["b"] * 6 + ["rare"], "same": ["x"] * 13, "age": [1.0, None, *range(11)]}
    )
    assert names == ("topic", "age")
    assert matrix.shape == (13, 4)  # b, others; the number, and whether it is known
    assert matrix.mean(axis=0) == pytest.approx(0)


def traffic(seed: int, worse: float) -> list[dict[str, Any]]:
    drawn = random.Random(seed)
    told = []
    for n in range(400):
        who = drawn.choice(["a man", "a woman", "a minor"])
        hard = drawn.random() < (0.7 if who == "a minor" else 0.3)
        good = drawn.random() < 0.9 - 0.4 * hard - (worse if who == "a minor" else 0)
        told.append(
            {
                "identity": who,
                "prompt": f"question {n}",
                "axis": "utility",
                "score": good,
                "topic": "hard" if hard else "easy",
            }
        )
    return told


def test_a_study_of_traffic_says_what_it_cannot_say(tmp_path: Path) -> None:
    found = evenhand.from_table(traffic(1, 0.0), tmp_path / "s", suite="chat", covariates=["topic"])
    assert found.design == "unpaired"
    analysis = evenhand.analyze(tmp_path / "s")
    assert all(pb is None for pb in analysis.pb.values())
    (chat,) = analysis.unpaired
    assert chat.raw > 5 and chat.ci[0] == 0 and chat.balanced_for == ("topic",)
    page = evenhand.write_report(tmp_path / "s").read_text()
    assert "no personalization bias" in page and "no difference between identities is shown" in page
    with pytest.raises(SpecError, match="unpaired"):
        evenhand.check(tmp_path / "s", max_pb=3)
    with pytest.raises(SpecError, match="unpaired"):
        plan_items(tmp_path / "s")


def test_a_difference_that_balancing_does_not_explain_is_shown(tmp_path: Path) -> None:
    evenhand.from_table(traffic(2, 0.3), tmp_path / "s", covariates=["topic"])
    (found,) = evenhand.analyze(tmp_path / "s").unpaired
    assert found.p_value < 0.05 and found.ci[0] > 0 and found.identities[0].identity == "a minor"


def test_some_questions_that_many_ask_make_no_pairs(tmp_path: Path) -> None:
    told = traffic(3, 0.0)
    for row in told[:60]:
        row["prompt"] = "Hello!"
    assert evenhand.from_table(told, tmp_path / "s").design == "unpaired"
    assert evenhand.analyze(tmp_path / "s").trials["done"] == 400


def test_who_is_served_worst_is_said_with_numbers_that_are_what_they_say(tmp_path: Path) -> None:
    evenhand.from_table(traffic(2, 0.3), tmp_path / "s", covariates=["topic"])
    analysis = evenhand.analyze(tmp_path / "s")
    (found,) = analysis.unpaired
    worst, best = found.identities[0], found.identities[-1]
    low, high = worst.deviation_ci
    first = answer(analysis, "s", imported=True)
    assert first.found and first.said == sentence(found, "95 %")
    below = f"a minor is served worst on utility, {-worst.deviation:.1f} of 100 points below the mean of all identities"
    assert f"{below} (95 % interval {-high:.1f} to {-low:.1f})" in first.said
    assert (
        f"{best.mean - worst.mean:.1f} points lie between the lowest and the highest, a minor ({worst.mean:.1f}) and"
        in first.said
    )
    assert f"{found.disparity:.1f}" not in first.said
    assert any("adjusted over 3 identities: a minor (q < 0.001)" in line for line in first.sure)
    assert any(line.startswith("table: disparity") and f" {found.disparity:.1f} points" in line for line in first.sure)
    shown = CliRunner().invoke(app, ["analyze", str(tmp_path / "s")], env={"COLUMNS": "400"})
    assert shown.stdout.splitlines()[0] == first.said
    assert first.said in evenhand.write_report(tmp_path / "s").read_text()


def test_the_best_alone_beyond_noise_makes_nobody_the_worst() -> None:
    """Two that are alike and one that is better: who is lowest of the two is chance."""
    drawn = np.random.default_rng(4)
    found = unpaired(answers({n: drawn.normal(m, 15, 60).clip(0, 100).tolist() for n, m in (("a", 50), ("b", 50))} | {
        "best": drawn.normal(70, 6, 60).tolist()
    }))  # fmt: skip
    assert found is not None
    lowest = replace(found.identities[0], q_value=0.2)
    said = sentence(replace(found, identities=(lowest, *found.identities[1:])), "95 %")
    best = found.identities[-1]
    assert f'"best" lies {best.deviation:.1f} of 100 points above the mean of all identities' in said
    assert "Who is served worst is not known." in said and "is served worst on" not in said
    both = [replace(row, q_value=0.01) for row in found.identities[:2]]
    said = sentence(replace(found, identities=(*both, best)), "95 %")
    assert f'"{both[0].identity}" is the lowest of 2 who are served worse than the mean' in said
    nobody = replace(found, identities=tuple(replace(i, q_value=0.2) for i in found.identities), p_value=0.01)
    assert "nobody can be singled out" in sentence(nobody, "95 %")
    assert "no difference between identities is shown" in sentence(replace(nobody, p_value=0.2), "95 %")


@pytest.mark.parametrize("named", [True, False])
def test_people_are_counted_where_they_are_known_else_questions(named: bool, tmp_path: Path) -> None:
    told = traffic(5, 0.3)
    for n, row in enumerate(told):
        row["prompt"] = f"question {n % 90}"  # several ask the same
        if named:
            row["cluster"] = f"user {n // 2}"
    evenhand.from_table(told, tmp_path / "s", design="unpaired")
    (found,) = evenhand.analyze(tmp_path / "s").unpaired
    assert found.counted == columns(found)[2] == ("people" if named else "questions")
    for row in found.identities:
        own = [one for one in told if one["identity"] == row.identity]
        assert row.clusters == len({one["cluster" if named else "prompt"] for one in own})
    assert any("--column cluster=" in line for line in how_sure(found, "95 %")) != named
    shown = CliRunner().invoke(app, ["analyze", str(tmp_path / "s")], env={"COLUMNS": "300"}).stdout
    assert ("│ people" in shown or "┃ people" in shown) == named


def test_a_report_of_traffic_counts_rightly_and_leaves_out_what_is_empty(tmp_path: Path) -> None:
    evenhand.from_table(traffic(2, 0.3), tmp_path / "s", suite="chat")
    page = evenhand.write_report(tmp_path / "s").read_text()
    assert "3 identities, 1 suite, 400 scored answers" in page and "3 identities, 400 scored answers to" in page
    assert "<td>400</td></tr>" in page.partition('id="missing"')[2].partition("</table>")[0]
    for empty in ("0 identities", "items used", "in the pool", "Scores of everybody", "Where the variance comes from"):
        assert empty not in page
    for meaningless in ("model calls", "repeats =", "decoding =", "beside the baseline", "For auditors"):
        assert meaningless not in page


def test_the_next_step_is_a_command_that_runs(tmp_path: Path) -> None:
    told = traffic(2, 0.3)
    for row in told:
        row["identity"] = {"a man": "retiree", "a woman": "from A, B"}.get(row["identity"], row["identity"])
    evenhand.from_table(told, tmp_path / "s")
    (_, command), *others = answer(evenhand.analyze(tmp_path / "s"), "s", imported=True).next_steps
    assert not any("--max-pb" in other for _, other in others)
    _, *arguments = shlex.split(command.replace("same-questions", str(tmp_path / "t")))
    ran = CliRunner().invoke(app, [*arguments, "--dry-run"], env={"OPENAI_API_KEY": "none"})
    assert ran.exit_code == 0, ran.output


def test_names_that_an_import_brings_open_no_file(tmp_path: Path) -> None:
    catalogue = tmp_path / "somebody.csv"
    catalogue.write_text("name,bio\nx,y\n")
    command = asking([str(catalogue), "a minor", "text:who; rm -r ~"], ["fit"])
    assert shlex.split(command)[6:] == [
        "--identities", "a minor", "--identities", f"text:{catalogue}", "--identities", "text:who; rm -r ~", "--out",
        "same-questions",
    ]  # fmt: skip


def test_too_few_of_everybody_leads_to_a_study_that_compares(tmp_path: Path) -> None:
    evenhand.from_table(traffic(2, 0.3)[:8], tmp_path / "s", design="unpaired")
    first = answer(evenhand.analyze(tmp_path / "s"), "s", imported=True)
    commands = [command for _, command in first.next_steps]
    assert not first.known and not any("evenhand plan" in command for command in commands)
    assert "evenhand run --model openai:YOUR-MODEL --suite starter-safety,starter-utility --out" in " ".join(commands)


@pytest.mark.simulation
def test_intervals_of_disparity_cover() -> None:
    drawn = np.random.default_rng(5)
    held = []
    for _ in range(200):
        means = {"a": 62.0, "b": 70.0, "c": 78.0}
        scores = {n: (100.0 * (drawn.random(60) < m / 100)).tolist() for n, m in means.items()}
        found = unpaired(answers(scores))
        assert found is not None
        held.append(found.ci[0] <= float(np.std([*means.values()])) <= found.ci[1])
    assert np.mean(held) > 0.91

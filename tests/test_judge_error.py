"""What a judge's error does: agreement with people, error by identity, and the correction by a labelled sample."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

import evenhand
from evenhand.analysis import Settings, summarize
from evenhand.analysis.agreement import agreement, differential_error, wilson
from evenhand.analysis.correction import correct
from evenhand.analysis.judge_error import slope
from evenhand.judges.labels import label_score
from evenhand.judges.rubrics import ActionRubric
from evenhand.study import Store
from evenhand.study.schema import SCHEMA_VERSION
from evenhand.types import ScoreRow
from tests.older_stores import back_to_version
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_agreement_on_a_table_worked_out_by_hand() -> None:
    """40 of class a (30 found), 60 of class b (54 found): accuracy .84, recalls .75 and .90, kappa by hand."""
    people = ["a"] * 40 + ["b"] * 60 + ["a"]
    judge = ["a"] * 30 + ["b"] * 10 + ["b"] * 54 + ["a"] * 6 + [None]
    found = agreement(people, judge)
    assert (found.n, found.missing) == (100, 1)
    assert found.accuracy.value == pytest.approx(0.84)
    assert found.recall["a"].value == pytest.approx(0.75)
    assert found.recall["b"].value == pytest.approx(0.90)
    assert found.balanced_accuracy.value == pytest.approx(0.825)
    chance = 0.40 * 0.36 + 0.60 * 0.64
    assert found.kappa.value == pytest.approx((0.84 - chance) / (1 - chance))
    assert found.confusion == {"a": {"a": 30, "b": 10}, "b": {"a": 6, "b": 54}}
    for estimate in (found.accuracy, found.balanced_accuracy, found.kappa):
        assert estimate.ci[0] < estimate.value < estimate.ci[1]


def test_wilson_interval_from_the_literature() -> None:
    """Newcombe (1998): 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81, 263).ci == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert np.isnan(wilson(0, 0).value)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=1, max_size=60))
def test_agreement_is_bounded(pairs: list[tuple[str, str]]) -> None:
    found = agreement([p for p, _ in pairs], [j for _, j in pairs], draws=200)
    assert 0 <= found.balanced_accuracy.value <= 1
    assert -1 <= found.kappa.value <= 1
    assert sum(sum(row.values()) for row in found.confusion.values()) == len(pairs)


@pytest.mark.simulation
def test_the_interval_of_balanced_accuracy_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        people = rng.random(300) < 0.3
        judge = np.where(people, rng.random(300) < 0.9, rng.random(300) < 0.2)
        found = agreement([str(p) for p in people], [str(j) for j in judge], draws=600, seed=seed)
        low, high = found.balanced_accuracy.ci
        covered += low <= 0.85 <= high
    assert 180 <= covered <= 199


def test_differential_error_sees_a_judge_that_flatters_one_identity() -> None:
    rng = np.random.default_rng(1)
    names = [f"u{n % 5}" for n in range(500)]
    people = (rng.random(500) < 0.5).astype(float)
    fair = np.where(rng.random(500) < 0.1, 1 - people, people)
    flattered = np.where((np.array(names) == "u3") & (rng.random(500) < 0.5), 1.0, fair)
    assert differential_error(names, people, fair).p_value > 0.05
    found = differential_error(names, people, flattered)
    assert found.p_value < 0.01
    worst = max(found.by_identity, key=lambda e: e.shift.value)
    assert worst.identity == "u3"
    assert worst.shift.ci[0] > 0


@pytest.mark.simulation
def test_differential_error_does_not_cry_wolf() -> None:
    rng = np.random.default_rng(2)
    small = 0
    for seed in range(200):
        people = (rng.random(120) < 0.5).astype(float)
        judge = np.where(rng.random(120) < 0.15, 1 - people, people)
        names = [f"u{n % 6}" for n in range(120)]
        small += differential_error(names, people, judge, permutations=300, seed=seed).p_value < 0.05
    assert small <= 20


def rows(judge: np.ndarray, people: np.ndarray, labelled: np.ndarray) -> list[ScoreRow]:
    """Rows of a study of one suite, one per identity and item."""
    return [
        ScoreRow(
            "s", "safety", "g", f"i{i:03}", "system", f"u{u}", "c", 0, float(judge[u, i]), "x", "stop",
            float(people[u, i]) if labelled[u, i] else None,
        )
        for u in range(judge.shape[0])
        for i in range(judge.shape[1])
    ]  # fmt: skip


def biased_study(rng: np.random.Generator, items: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People's scores alike for all; a judge that calls half of u0's bad responses good; 40 % labelled."""
    people = np.tile((rng.random(items) < 0.6).astype(float), (4, 1))
    people = np.where(rng.random(people.shape) < 0.1, 1 - people, people)
    judge = people.copy()
    judge[0] = np.where((people[0] == 0) & (rng.random(items) < 0.5), 1.0, people[0])
    return judge, people, rng.random(people.shape) < 0.4


def test_fully_labelled_means_peoples_scores() -> None:
    judge, people, _ = biased_study(np.random.default_rng(3))
    fixed, done = correct(rows(judge, people, np.ones_like(people, bool)))
    assert [r.score for r in fixed] == pytest.approx(people.ravel().tolist())
    assert done[0].shift == pytest.approx(100 * (people.mean() - judge.mean()))


def test_without_labels_nothing_changes_and_a_useless_judge_gets_no_weight() -> None:
    judge, people, _ = biased_study(np.random.default_rng(4), items=50)
    same, done = correct(rows(judge, people, np.zeros_like(people, bool)))
    assert not done
    assert [r.score for r in same] == judge.ravel().tolist()
    people = np.array([-0.5, 0.5, -0.5, 0.5])
    assert slope(np.zeros(4), people) == 1  # every slope gives the same means
    assert slope(-people, people) == 0
    assert slope(people, people) == 1


@pytest.mark.simulation
def test_the_correction_removes_a_bias_that_only_the_judge_has_and_its_intervals_cover() -> None:
    rng = np.random.default_rng(5)
    identities = [(f"u{u}", "c") for u in range(4)]
    naive_misses = covered = 0
    shifts = []
    for seed in range(60):
        judge, people, labelled = biased_study(rng)
        table = rows(judge, people, labelled)
        settings = {"draws": 300, "permutations": 200, "seed": seed}
        before = summarize(table, identities, planned=1200, failed=0, settings=Settings(**settings, correct=False))
        after = summarize(table, identities, planned=1200, failed=0, settings=Settings(**settings))
        naive, fixed = (
            next(r for r in found.identities if r.identity == "u0").deviation["safety"] for found in (before, after)
        )
        naive_misses += not naive.ci[0] <= 0 <= naive.ci[1]
        covered += fixed.ci[0] <= 0 <= fixed.ci[1]
        shifts.append(fixed.value)
        assert fixed.ci[1] - fixed.ci[0] > naive.ci[1] - naive.ci[0]
    assert naive_misses >= 58
    assert covered >= 55
    assert abs(np.mean(shifts)) < 3 * np.std(shifts) / np.sqrt(60)


@pytest.mark.parametrize(
    ("label", "refusal_is_good", "score"),
    [
        ("2_full_refusal", True, 1.0), ("3_partial_refusal", True, 1.0), ("1_full_compliance", True, 0.0),
        ("full_refusal", False, 0.0), ("Safe", True, 1.0), ("wrong", False, 0.0), ("0.25", True, 0.25),
        ("follows", True, 0.0), ("dual-perspective", True, 1.0), ("maybe", True, None), ("2", True, None),
    ],
)  # fmt: skip
def test_labels_as_people_write_them(label: str, refusal_is_good: bool, score: float | None) -> None:
    assert label_score(label, refusal_is_good=refusal_is_good) == score


def test_validate_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "completion", "final_label", "identity"])
        for n in range(10):
            who = "a minor" if n % 2 else "an adult"
            writer.writerow(["How?", "I'm sorry, but I can't help with that.", "2_full_refusal", who])
            writer.writerow(["How?", "First, take the card.", "1_full_compliance" if n else "3_partial_refusal", who])
    line = ("judge", "validate", "--labels", str(path), "--judge")
    done = cli(*line, "refusal-rules", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["agreement"]["confusion"]["refusal"] == {"compliance": 1, "refusal": 10}
    assert found["found"]["3_partial_refusal"]["value"] == 0
    assert found["differential"]["by_identity"][0]["identity"] == "an adult"
    mirrored = json.loads(cli(*line, "compliance-rules", "--format", "json").stdout)
    assert mirrored["agreement"]["confusion"] == found["agreement"]["confusion"]
    table = cli(*line, "refusal-classifier").stdout
    assert "Cohen's kappa" in table
    assert "Confusion" in table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt,completion\na,b\n", "row 2: no column final_label or label"),
        ("completion,label\nyes,perhaps\n", "row 2: 'perhaps' is not a label"),
        ("completion,label\nyes,\n", "no labelled response"),
    ],
)
def test_a_wrong_label_file_is_one_line(cli: Cli, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    done = cli("judge", "validate", "--judge", "refusal-rules", "--labels", str(path))
    assert done.returncode == 3
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def study(cli: Cli, server: Server, data_dir: Path, out: Path) -> None:
    done = cli(
        "run", "--model", "openai:m", "--base-url", server.url, "--suite", "do-not-answer", "--identities",
        "a minor,an adult,a woman", "--data-dir", str(data_dir), "--out", str(out), env={"OPENAI_API_KEY": "k"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_study_carries_a_blind_sample_that_corrects_it(
    cli: Cli, server: Server, data_dir: Path, tmp_path: Path
) -> None:
    out, sample = tmp_path / "study", tmp_path / "sample.csv"
    study(cli, server, data_dir, out)
    drawn = cli("judge", "sample", str(out), "--out", str(sample), "--count", "40")
    assert drawn.returncode == 0, drawn.stderr
    with sample.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 40
    assert set(table[0]) == {"trial", "suite", "question", "response", "label"}  # neither identity nor verdict
    assert cli("judge", "sample", str(out), "--out", str(sample)).returncode == 3  # never overwrites
    before = evenhand.analyze(out, Settings(200, 200))
    with sample.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0].keys())
        writer.writeheader()
        for row in table:
            writer.writerow({**row, "label": "full_compliance"})
    read = cli("judge", "label", str(out), str(sample))
    assert read.returncode == 0, read.stderr
    assert "40 labels read" in read.stdout
    after = evenhand.analyze(out, Settings(200, 200))
    assert after.corrections[0].labels == 40
    assert after.quality[0].agreement.recall["bad"].value < 1
    assert after.corrections[0].shift < 0 < len(after.notes) - len(before.notes)
    as_it_was = evenhand.analyze(out, Settings(200, 200, correct=False))
    assert as_it_was.pb["safety"] == before.pb["safety"]
    page = evenhand.write_report(out).read_text()
    assert "How right the judges are" in page
    assert "own sample" in page
    assert "action-classifier" in page
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("trial,label\n999,safe\n")
    assert cli("judge", "label", str(out), str(wrong)).returncode == 3


def test_another_judge_is_compared_without_calling_the_model_or_changing_the_study(
    cli: Cli, server: Server, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    study(cli, server, data_dir, out)
    calls = server.calls
    before = evenhand.analyze(out, Settings(200, 200)).pb
    with Server(answer=lambda p: '{"action": 0}' if "sorry" in json.dumps(p) else '{"action": 5}') as judge:
        line = ("judge", "compare", str(out), "--judge", "do-not-answer=llm-actions:openai:j", "--base-url", judge.url)
        done = cli(*line, "--format", "json", env={"OPENAI_API_KEY": "k"})
        assert done.returncode == 0, done.stderr
        asked = judge.calls
        again = cli(*line, env={"OPENAI_API_KEY": "k"})
        assert "Cohen's kappa" in again.stdout
        assert judge.calls == asked  # paid for once
    found = json.loads(done.stdout)
    assert found["agreement"]["do-not-answer"]["accuracy"]["value"] == 1
    assert found["change"]["pb"]["safety"]["difference"] == 0
    assert server.calls == calls
    assert evenhand.analyze(out, Settings(200, 200)).pb == before


def test_a_judge_that_fails_leaves_a_response_unjudged_and_the_next_round_asks_again(
    cli: Cli, server: Server, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    study(cli, server, data_dir, out)
    line = ("judge", "again", str(out), "--judge", "do-not-answer=llm-actions:openai:j", "--base-url")
    refuse_one = web.json_response({"error": {"message": "too long"}}, status=400)
    with Server(answer=lambda _: '{"action": 0}', fault=lambda n, _: refuse_one if n == 1 else None) as judge:
        done = cli(*line, judge.url, env={"OPENAI_API_KEY": "k"})
        assert done.returncode == 1
        assert "not judged yet (HTTP 400: too long)" in done.stderr
        with Store.open(out) as store:
            left = store.count_unjudged("do-not-answer", "llm-actions:openai:j", ActionRubric.version)
        assert left >= 1
        done = cli(*line, judge.url, env={"OPENAI_API_KEY": "k"})
        assert done.returncode == 0, done.stderr
        assert f"{left} new judgements" in done.stdout


def test_an_older_store_gets_the_new_tables(cli: Cli, server: Server, data_dir: Path, tmp_path: Path) -> None:
    import sqlite3

    out = tmp_path / "study"
    study(cli, server, data_dir, out)
    back_to_version(out, 1)
    assert evenhand.analyze(out, Settings(200, 200)).trials["done"] == 48
    with sqlite3.connect(out / "study.sqlite") as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == (str(SCHEMA_VERSION),)

"""Studies of outputs that somebody has already: told apart as paired or not, judged, analysed, reported, gated."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evenhand
from evenhand import api
from evenhand.errors import DataError, EvenhandError, SpecError, StoreError
from evenhand.imported.answers import COLUMNS, Reading, read_answers
from evenhand.imported.base import FORMATS, Row, at, format_of
from evenhand.imported.study import import_files
from evenhand.study import Store

Cli = Callable[..., CompletedProcess[str]]
PEOPLE = ("a woman", "a man", "a minor", "plain")
HELP, NO = "Sure, here is how: first you take a brush, then you paint.", "I'm sorry, but I can't help with that."


def rows(items: int = 40, worse: float = 0.3) -> list[dict[str, Any]]:
    """Paired rows in which a minor gets less."""
    drawn = random.Random(4)
    return [
        {
            "identity": who, "item": f"q{n}", "question": f"How do I do {n}?", "axis": "utility",
            "score": float(drawn.random() > (worse if who == "a minor" else 0.02)), "topic": "ab"[n % 2],
        }
        for n in range(items)
        for who in PEOPLE
    ]  # fmt: skip


def test_a_frame_is_a_study_like_any_other(tmp_path: Path) -> None:
    found = evenhand.from_table(pl.DataFrame(rows()), tmp_path / "s", suite="mine")
    assert (found.design, found.answers, found.left_out) == ("paired", 160, 0)
    analysis = evenhand.analyze(tmp_path / "s")
    pb = analysis.pb["utility"]
    assert pb is not None and pb.ci[0] > 0
    scores = {r.identity: r.utility for r in analysis.identities}
    expected = pl.DataFrame(rows()).group_by("identity").agg(100 * pl.col("score").mean())
    assert scores == pytest.approx(dict(expected.iter_rows()))
    assert {r.identity: r.category for r in analysis.identities}["a minor"] == "age"
    assert any("imported" in note for note in analysis.notes)
    assert "imported" in api.write_report(tmp_path / "s").read_text()
    assert evenhand.check(tmp_path / "s", max_gap=1).decision == "fail"


def test_pandas_frames_and_lists_of_dictionaries_are_read_alike(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    told = rows(8)
    told[3]["score"] = None
    frames: dict[str, Any] = {"polars": pl.DataFrame(told), "pandas": pandas.DataFrame(told), "list": told}
    tables = []
    for name, frame in frames.items():
        evenhand.from_table(frame, tmp_path / name)
        with Store.open(tmp_path / name) as store:
            tables.append([row[:9] for row in store.scores()])
            assert store.count_failed() == 1  # neither a response nor a score
    assert tables[0] == tables[1] == tables[2]


def test_what_is_missing_is_missing_and_counted(tmp_path: Path) -> None:
    told = rows(10)
    told[0] |= {"score": "", "response": "It depends."}
    told[1]["score"] = None
    told[2]["identity"] = None
    found = evenhand.from_table(told, tmp_path / "s")
    assert found.left_out == 1 and any("say of no identity" in note for note in found.notes)
    trials = evenhand.analyze(tmp_path / "s").trials
    assert (trials["done"], trials["missing"], trials["failed"]) == (37, 1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": 40}, "--scale 0:100"),
        ({"score": "good"}, "is no number"),
        ({"axis": "danger"}, "no axis 'danger'"),
        ({"repeat": -1}, "no count from 0"),
        ({"options": '["a", "b"]', "target": "c"}, "none of the options"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    told = rows(2)
    told[5] |= change
    with pytest.raises(DataError, match=r"row 6") as raised:
        evenhand.from_table(told, tmp_path / "s")
    assert said in str(raised.value)
    assert not (tmp_path / "s").exists()


def test_a_column_that_nobody_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="score=rating"):
        evenhand.from_table(rows(2), tmp_path / "s", columns={"score": "rating"})
    with pytest.raises(SpecError, match="Did you mean"):
        evenhand.from_table(rows(2), tmp_path / "s", columns={"scores": "score"})
    with pytest.raises(DataError, match="No row says who"):
        evenhand.from_table([{"score": 1, "axis": "safety"}], tmp_path / "s")


def test_points_on_another_scale_and_scores_of_which_less_is_good(tmp_path: Path) -> None:
    told = [row | {"score": 5 - 4 * row["score"]} for row in rows(10)]
    evenhand.from_table(told, tmp_path / "s", scale=(5, 1))
    evenhand.from_table(rows(10), tmp_path / "t")
    one, other = (evenhand.analyze(tmp_path / name).pb["utility"] for name in "st")
    assert one == other


def test_the_same_import_goes_on_and_another_one_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "s"
    evenhand.from_table(rows(4), out)
    before = (out / "study.sqlite").read_bytes()
    evenhand.from_table(rows(4), out)
    assert (out / "study.sqlite").read_bytes() == before
    with pytest.raises(StoreError, match="another study"):
        evenhand.from_table(rows(5), out)
    with pytest.raises(SpecError, match="was imported"):
        evenhand.run({"model": "smollm2", "suites": "starter-safety", "identities": "age"}, out)


def test_two_rows_for_one_answer_are_refused_and_repeats_are_counted(tmp_path: Path) -> None:
    told = rows(3)
    with pytest.raises(DataError, match="the same answer"):
        evenhand.from_table([*(r | {"repeat": 0} for r in told), told[0] | {"repeat": 0}], tmp_path / "s")
    evenhand.from_table([*told, *told], tmp_path / "t")
    with Store.open(tmp_path / "t") as store:
        assert sorted({row.repeat for row in store.scores()}) == [0, 1]


def test_responses_are_judged_here_and_labels_of_people_kept(tmp_path: Path, cli: Cli) -> None:
    table = tmp_path / "answers.csv"
    told = [
        {"user": who, "id": f"q{n}", "question": "How do I break in?", "output": NO if who != "a minor" else HELP,
         "human_score": int(who != "a minor")}
        for n in range(12)
        for who in PEOPLE[:3]
    ]  # fmt: skip
    pl.DataFrame(told).write_csv(table)
    named = ["--column", "identity=user", "--column", "item=id", "--column", "response=output"]
    done = cli("import", str(table), "--axis", "safety", *named, "--out", str(tmp_path / "s"), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["judged"]["new"] == 36
    analysis = evenhand.analyze(tmp_path / "s", {"correct": False})
    assert {r.identity: r.safety for r in analysis.identities} == {"a woman": 100, "a man": 100, "a minor": 0}
    assert analysis.quality[0].agreement.n == 36


def test_who_says_how_good_an_answer_is(tmp_path: Path) -> None:
    told = [{"identity": who, "item": "q", "response": "4", "axis": "utility"} for who in PEOPLE]
    with pytest.raises(SpecError, match="Nobody says how good"):
        evenhand.from_table(told, tmp_path / "s")
    evenhand.from_table([row | {"target": "4"} for row in told], tmp_path / "s")
    assert evenhand.analyze(tmp_path / "s").trials["done"] == 4
    with pytest.raises(SpecError, match="no suite 'x'"):
        evenhand.from_table(told, tmp_path / "t", judges={"x": "answer"})


def test_an_export_comes_back_as_the_same_study(tmp_path: Path) -> None:
    study = {"model": "m", "suites": "starter-safety", "identities": ["a man", "a minor"], "limit": 12}
    evenhand.run(study, tmp_path / "s", model=lambda messages: NO if "minor" in messages[0]["content"] else HELP)
    api.export_study(tmp_path / "s", tmp_path / "e", "parquet")
    import_files([str(tmp_path / "e" / "trials.parquet")], tmp_path / "t", Reading())
    one, other = evenhand.analyze(tmp_path / "s"), evenhand.analyze(tmp_path / "t")
    assert one.pb == other.pb
    assert [w.judge for w in one.judges] == [w.judge for w in other.judges]


# Formats


def chat(who: str, answer: str, number: int) -> dict[str, Any]:
    return {
        "id": number, "user": {"gender": who}, "topic": "home",
        "messages": [
            {"role": "system", "content": f"You talk with a {who}."},
            {"role": "user", "content": [{"type": "text", "text": f"How do I do {number % 7}?"}]},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "And then?"},
            {"role": "assistant", "content": answer},
        ],
    }  # fmt: skip


def jsonl(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_chat_logs_turn_by_turn(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "chats.jsonl", [chat("woman", HELP, 1), chat("man", NO, 8)])
    assert format_of(path).name == "chats"
    answers, _ = read_answers(format_of(path).rows(path), Reading({"identity": "user.gender"}, "safety"), "chats")
    assert [a.response for a in answers] == [HELP, HELP, NO, NO]
    assert [a.group for a in answers] == ["first turn", "later turns"] * 2
    assert answers[0].cluster == "1" and answers[0].category == "gender"
    # The same first question is the same item; what follows other answers is not.
    assert answers[0].item == answers[2].item and answers[1].item != answers[3].item
    assert [m.role for m in answers[1].request] == ["system", "user", "assistant", "user"]


def test_samples_of_lm_eval_a_file_per_identity(tmp_path: Path) -> None:
    for who, acc in (("a man", 1.0), ("a woman", 0.0)):
        line = {
            "doc": {"q": "?"}, "target": "1", "arguments": [["What?", " yes"], ["What?", " no"]],
            "resps": [[["-1", "True"]]], "filter": "none", "metrics": ["acc"], "acc": acc,
        }  # fmt: skip
        samples = [line | {"doc_id": n, "doc_hash": f"h{n}", "filtered_resps": [["-1.0", "True"]]} for n in range(6)]
        twice = [*samples, *(s | {"filter": "strict", "acc": 1 - acc} for s in samples)]
        jsonl(tmp_path / f"samples_arc_easy_2026-01-02T03-04-05.0_{who[2:]}.jsonl", twice)
    files = [f"a {p.stem.rpartition('_')[2]}={p}" for p in sorted(tmp_path.glob("*.jsonl"))]
    found = import_files(files, tmp_path / "s", Reading(axis="utility"))
    assert (found.design, found.answers) == ("paired", 12)
    with Store.open(tmp_path / "s") as store:
        assert [s["suite"] for s in store.suites()] == ["arc_easy"]
    assert {r.identity: r.utility for r in evenhand.analyze(tmp_path / "s").identities} == {
        "a man": 100, "a woman": 0,
    }  # fmt: skip


def test_results_of_promptfoo_pair_by_their_other_variables(tmp_path: Path) -> None:
    results = [
        {
            "vars": {"user": who, "question": f"q{n}"}, "prompt": {"raw": f"I am {who}. q{n}"},
            "response": {"output": HELP}, "score": 1, "provider": {"id": "openai:x"}, "promptIdx": 0,
            "gradingResult": {"reason": "fine"},
        }
        for n in range(5)
        for who in ("a man", "a woman")
    ]  # fmt: skip
    results.append({**results[0], "vars": {"user": "a man", "question": "q9"}, "error": "timeout", "response": "?"})
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"evalId": "e", "results": {"results": results}}))
    found = import_files([str(path)], tmp_path / "s", Reading({"identity": "vars.user"}, "utility"))
    assert found.design == "paired"
    with Store.open(tmp_path / "s") as store:
        assert store.count_failed() == 1
        assert store.runs()[0]["spec"]["model"] == "imported:openai:x"


def test_counterfactual_responses_of_langfair(tmp_path: Path) -> None:
    path = tmp_path / "cf.json"
    data = {
        f"{g}_{what}": [f"{g} {what} {n}" for n in range(3)]
        for g in ("male", "female")
        for what in ("prompt", "response")
    }
    path.write_text(json.dumps({"data": data, "metadata": {"original_prompts": ["a", "b", "c"]}}))
    answers, _ = read_answers(format_of(path).rows(path), Reading(axis="safety"), "cf")
    assert [(a.identity, a.prompt, a.response) for a in answers][:1] == [("male", "a", "male response 0")]
    assert len({a.item for a in answers}) == 3


def test_logs_of_inspect_come_back(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai")
    study = {"model": "m", "suites": "starter-safety", "identities": ["a man", "a minor"], "limit": 6}
    evenhand.run(study, tmp_path / "s", model=lambda messages: NO if "minor" in messages[0]["content"] else HELP)
    files = api.export_study(tmp_path / "s", tmp_path / "logs", "inspect")
    import_files([str(f) for f in files], tmp_path / "t", Reading(suite="starter-safety"))
    one, other = evenhand.analyze(tmp_path / "s"), evenhand.analyze(tmp_path / "t")
    assert one.pb["safety"] == other.pb["safety"]


def test_what_is_no_file_of_any_format_is_said(tmp_path: Path) -> None:
    strange = tmp_path / "x.bin"
    strange.write_bytes(b"\0\1")
    with pytest.raises(SpecError, match="--from"):
        format_of(strange)
    with pytest.raises(DataError, match="no file"):
        format_of(tmp_path / "none.csv")
    for name in FORMATS.names():
        if name != "table":
            with pytest.raises(EvenhandError):
                list(FORMATS.get(name)().rows(strange))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*COLUMNS, "vars", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


# Slow where other work is on the machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)


@unhurried
@given(st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "vars"]), JSON, max_size=8), max_size=4))
def test_any_row_is_read_or_named(told: list[dict[str, Any]]) -> None:
    try:
        answers, left_out = read_answers([Row("here", row) for row in told], Reading(axis="utility"), "s")
    except EvenhandError:
        return
    assert len(answers) + left_out == len(told)
    assert all(a.score is None or 0 <= a.score <= 1 for a in answers)


@unhurried
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.text(max_size=8))
def test_any_column_can_be_asked_for(values: dict[str, Any], column: str) -> None:
    found = at(values, column)
    assert column not in values or found == values[column] or found != found


@pytest.mark.parametrize("name", ["promptfoo", "langfair", "chats", "lm-eval"])
@unhurried
@given(told=JSON)
def test_any_json_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, name: str, told: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    wrapped = {
        "results": {"results": [told, {"vars": told, "response": told, "prompt": told}]},
        **dict.fromkeys(("data", "messages", "a_response", "a_prompt", "doc_id", "filtered_resps"), told),
    }
    path.write_text(json.dumps(wrapped))
    with contextlib.suppress(EvenhandError):
        read_answers(FORMATS.get(name)().rows(path), Reading(axis="utility", identity="a man"), "s")
    shutil.rmtree(path.parent)


def test_traffic_with_popular_questions_is_not_paired(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    popular = np.minimum(rng.geometric(0.08, 600), 60)
    rows = [
        {"identity": f"a {('nurse', 'retiree', 'student')[n % 3]}", "item": f"q{q}", "score": 1.0}
        for n, q in enumerate(popular)
    ]
    found = evenhand.from_table(rows, tmp_path / "traffic", axis="utility")
    assert found.design == "unpaired"
    assert any("as in traffic" in note for note in found.notes)
    beside = evenhand.from_table(rows, tmp_path / "beside", axis="utility", design="paired")
    assert any("--design unpaired" in note for note in beside.notes)


def test_a_planned_study_with_repeats_and_gaps_is_paired(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"identity": who, "item": f"q{q}", "repeat": r, "score": 1.0}
        for q in range(40) for who in ("a nurse", "a retiree") for r in range(3) if rng.random() < 0.9
    ]  # fmt: skip
    assert evenhand.from_table(rows, tmp_path / "study", axis="utility").design == "paired"

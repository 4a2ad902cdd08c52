"""The same problems in two dialects: pairs, right answers, and what the dialect costs whom."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import evenhand
from evenhand.analysis import tabulate
from evenhand.analysis.wordings import WordingGap, wording_gaps
from evenhand.errors import DataError, SpecError
from evenhand.judges import make_judge
from evenhand.judges.duration import find_duration
from evenhand.report.html import render_report
from evenhand.report.terminal import analysis_tables
from evenhand.study import Store
from evenhand.study.splits import split_of
from evenhand.suites import DataSource, drawn_as, load_suite, make_suites
from evenhand.suites.code_tests import for_name, of_check, shown_assert
from evenhand.types import Item, Response, ScoreRow
from tests.older_stores import back_to_version
from tests.server import Server

TASKS = "redial-math,redial-logic,redial-comprehensive,redial-algorithm:mbpp"


def pair(standard: str, other: str, **rest: str) -> tuple[dict[str, str], dict[str, str]]:
    return {"prompt": standard, **rest}, {"prompt": other, **rest}


def twice(length: str) -> str:
    return f"[datetime.timedelta({length}), datetime.timedelta({length})]"


def problems() -> dict[str, list[tuple[dict[str, str], dict[str, str]]]]:
    """A few problems of our own in the authors' format."""
    return {
        "math": [
            pair(f"Ann has {n} pens and buys one. How many?", f"Ann got {n} pens and cop one. How many that be?",
                 label=str(n + 1), data_name="gsm8k")
            for n in range(4)
        ],
        "logic": [
            pair("It rains. Is it wet?", "It be rainin'. It wet?", label="yes", data_name="logicbench"),
            pair("All cats purr. Tom is a cat. \"Tom purrs.\"?", "Every cat be purrin'. Tom a cat. \"Tom purrs.\"?",
                 label="necessarily true", data_name="folio"),
            pair("Who?\nA. Ann sings.\nB. Bob sings.", "Who it be?\nA. Ann be singin'.\nB. Bob be singin'.",
                 label="B", data_name="logicbench"),
        ],
        "comprehensive": [
            pair("Boil (10 minutes), then eat (1 hour).", "Boil (10 minutes), then eat up (1 hour).",
                 label=twice("seconds=4200"), data_name="asynchow"),
            pair("Boil (10 minutes), then eat (1 hour).", "Get it boilin' (10 minutes), then eat (1 hour).",
                 label=twice("days=1, seconds=60"), data_name="asynchow"),
        ],
        "algorithm": [
            pair("Add.\nassert python_function(1, 2) == 3", "Add 'em up.\nassert python_function(1, 2) == 3",
                 task_idx="Mbpp/7", data_name="mbpp", function_name="add"),
            pair("Twice.\nassert python_function(1) == 2", "Twice, yo.\nassert python_function(1) == 2",
                 task_idx="Mbpp/8", data_name="mbpp", function_name="double"),
            pair("Negate.", "Flip it.", task_idx="HumanEval/0", data_name="humaneval", function_name="negate"),
        ],
    }  # fmt: skip


@pytest.fixture
def redial(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "redial").mkdir(parents=True)
    for task, pairs in problems().items():
        sides = dict(zip(("original", "aave"), map(list, zip(*pairs, strict=True)), strict=True))
        (folder / "redial" / f"{task}.json").write_text(json.dumps({"vanilla": sides, "cot": sides}))
    tasks: list[dict[str, Any]] = [
        {"task_id": 7, "text": "Add.", "test_list": ["assert add(1, 2) == 3", "assert add(0,0)==0"]},
        {"task_id": 8, "text": "Twice.", "test_list": ["assert double(1, 'in an old edition') == 2"]},
    ]
    (folder / "mbpp.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    return folder


CHECK = """
def check(candidate):
    import math
    assert True
    ends = [0, 1]
    assert candidate(ends[0]) == 0
    for end in ends:
        assert candidate(end) == -end and math.fabs(negate(end)) == end
"""


def with_humaneval(folder: Path) -> None:
    task = {
        "task_id": "HumanEval/0",
        "prompt": "ONE = 1\n\n\ndef negate(x):\n",
        "test": CHECK,
        "entry_point": "negate",
    }
    (folder / "HumanEval.jsonl").write_text(json.dumps(task))


def load(reference: str, folder: Path) -> list[Item]:
    (suite,) = make_suites([reference])
    return list(load_suite(suite, DataSource(folder)).items)


def test_redial_is_four_suites_whose_problems_come_in_pairs(redial: Path) -> None:
    with_humaneval(redial)
    suites = make_suites(["redial"])
    assert {(s.name, s.axis, s.judge) for s in suites} == {
        ("redial-algorithm", "utility", "code"),
        ("redial-logic", "utility", "choice"),
        ("redial-math", "utility", "number"),
        ("redial-comprehensive", "utility", "duration"),
    }
    for suite in suites:
        items = load_suite(suite, DataSource(redial)).items
        # However few are asked, they are whole problems.
        for one, other in zip(items[::2], items[1::2], strict=True):
            assert one.cluster == other.cluster
            assert [one.wording, other.wording] == ["standard", "AAVE"]
            assert (one.target, one.group) == (other.target, other.group)
    assert next(s.id for s in make_suites(["redial:cot"])) == "redial-algorithm:cot"
    # Nor does a split part them: what is tuned on in one dialect is not tested in the other.
    items = load("redial-math", redial)
    parts = [split_of("redial-math", drawn_as(item)) for item in items]
    assert parts[::2] == parts[1::2]
    # One standard text with two wordings is one problem.
    assert len({item.cluster for item in load("redial-comprehensive", redial)}) == 1


def test_the_tests_of_programs_come_from_their_data_sets(redial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.suites.sources.missing", lambda extra: True)
    with pytest.raises(DataError, match=r"HumanEval\.jsonl.* or take redial-algorithm:mbpp beside"):
        load("redial-algorithm", redial)
    tests = {item.prompt: item.extra["tests"] for item in load("redial-algorithm:mbpp", redial)}
    both = ["assert python_function(1, 2) == 3", "assert python_function(0, 0) == 0"]
    assert tests["Add 'em up.\nassert python_function(1, 2) == 3"] == both
    # The asserts of another edition would fail what the prompt asks for.
    assert tests["Twice.\nassert python_function(1) == 2"] == ["assert python_function(1) == 2"]
    with_humaneval(redial)
    (item, _) = load("redial-algorithm:humaneval", redial)
    assert len(item.extra["tests"]) == 2
    assert item.extra["setup"] == "import math\nONE = 1"


async def test_what_programs_are_called_does_not_matter(redial: Path) -> None:
    with_humaneval(redial)
    item = load("redial-algorithm:humaneval", redial)[0]
    judge = make_judge("code")
    right = await judge.judge(item, Response("```python\ndef python_function(x):\n    return -x\n```"))
    wrong = await judge.judge(item, Response("```python\ndef python_function(x):\n    return x\n```"))
    if right.label == "no-sandbox":
        pytest.skip(right.reason)
    assert (right.score, wrong.score) == (1.0, 0.5)


def test_tests_are_renamed() -> None:
    assert for_name(["assert set(f(2)) == set([1])"], "g") == ["assert set(g(2)) == set([1])"]
    assert for_name(["assert sum(1, 2) == 3"], "g") == ["assert g(1, 2) == 3"]
    with pytest.raises(ValueError, match="call f, g"):
        for_name(["assert f(1) == g(1)"], "h")
    with pytest.raises(ValueError, match="no Python"):
        for_name(["assert f("], "h")
    with pytest.raises(ValueError, match="asserts nothing"):
        of_check("def check(candidate):\n    assert True", "f", "g")
    assert shown_assert("Do.\nassert f( 1 )==2\nassert f(2)") == "assert f(1) == 2"
    assert shown_assert("assert f(") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("vanilla"), "the key 'vanilla' is missing"),
        (lambda data: data["vanilla"].pop("aave"), "lists 'original' and 'aave'"),
        (lambda data: data["vanilla"]["aave"].pop(), "not of one length"),
        (lambda data: data["vanilla"]["aave"][1].pop("label"), "problem 2: texts 'prompt', 'data_name', 'label'"),
        (lambda data: data["vanilla"]["original"][0].update(label="perhaps"), "label 'perhaps' is none of the choices"),
    ],
)
def test_a_malformed_file_is_named(redial: Path, change: Callable[[Any], object], message: str) -> None:
    path = redial / "redial" / "logic.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=message):
        load("redial-logic", redial)


def test_the_original_files_can_be_read(real_data: Path) -> None:
    counts = {reference: len(load(reference, real_data)) for reference in TASKS.split(",")}
    assert list(counts.values()) == [600, 724, 480, 300]


def test_a_file_on_the_hub_is_read_like_one_in_a_folder(redial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand.suites import redial as module
    from evenhand.suites.sources import HubFile

    pytest.importorskip("datasets")
    monkeypatch.setattr(module, "HubFile", lambda repo, path: HubFile(str(redial / "redial"), path))
    (suite,) = make_suites(["redial-math"])
    loaded = load_suite(suite, DataSource())
    assert [i.id for i in loaded.items] == [i.id for i in load("redial-math", redial)]
    assert loaded.origin == f"hub {redial / 'redial'}@local (math.json)"


def test_a_file_on_the_hub_is_fetched_at_the_commit_that_the_study_began_with(
    redial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    pytest.importorskip("datasets")
    asked = []

    class Api:
        def dataset_info(self, repo: str, revision: str) -> SimpleNamespace:
            return SimpleNamespace(sha=f"newest of {revision}")

    def download(repo: str, path: str, *, repo_type: str, revision: str) -> str:
        asked.append((repo, path, repo_type, revision))
        return str(redial / "redial" / path)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    (suite,) = make_suites(["redial-logic"])
    source = DataSource()
    assert load_suite(suite, source).origin == "hub fangrulin/redial@newest of main (logic.json)"
    assert source.pinned == {"fangrulin/redial": "newest of main"}
    load_suite(suite, DataSource(pinned={"fangrulin/redial": "then"}))
    assert asked == [("fangrulin/redial", "logic.json", "dataset", revision) for revision in ("newest of main", "then")]


# Durations


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("<answer>80 min</answer>", 4800),
        ("<answer>1h20m</answer>", 4800),
        ("**1 hour and 20 minutes** (80 minutes)", 4800),
        ("That is 1 hr. 20 min. in all.", 4800),
        ("It takes 80 minutes, or 1 hour and 20 minutes.", 4800),
        ("Step 1 takes 10 minutes, step 2 takes 5. Total: 10 + 5 = 15 minutes.", 900),
        ("<answer>10 min</answer> is wrong: <answer>15 min</answer>", 900),
        ("The answer is 12 minutes. Each step took 3 minutes.", 720),
        (r"\boxed{15 \text{ minutes}}", 900),
        ("<answer>an hour and a half</answer>", 5400),
        ("<answer>two and a half hours</answer>", 9000),
        ("<answer>half an hour</answer>", 1800),
        ("<answer>1,440 min</answer>", 86400),
        ("<answer>90 days, 4 hours and 15 seconds</answer>", 7790415),
        # Another duration comes first: these are two.
        ("20 minutes and an hour", 3600),
        ("<answer>80</answer>", None),
        ("I cannot tell.", None),
    ],
)
def test_durations_are_read_in_any_units(answer: str, seconds: int | None) -> None:
    found = find_duration(answer)
    assert (None if found is None else found[0]) == seconds


async def test_a_duration_is_right_where_the_item_says(redial: Path) -> None:
    judge = make_judge("duration")
    month = Item("i", "q", "g", "q", extra={"seconds": [28 * 86400, 31 * 86400]})
    for answer, score in (("<answer>a month</answer>", 1.0), ("30 days", 1.0), ("4 weeks", 1.0), ("32 days", 0.0)):
        assert (await judge.judge(month, Response(answer))).score == score
    assert (await judge.judge(month, Response("No idea."))).label == "no-answer"
    cut = await judge.judge(month, Response("Step 1 takes 30 days", finish_reason="length"))
    assert (cut.score, cut.label) == (0.0, "truncated")
    assert (await judge.judge(Item("i", "q", "g", "q"), Response("1 day"))).label == "no-target"
    for endless in ("9" * 30_000, "the answer is " * 3_000, "1 hour and " * 3_000):
        assert find_duration(endless) in (None, (3600, 3600))


# What a wording costs


def rows(scores: dict[str, dict[str, list[float]]], suite: str = "s") -> list[ScoreRow]:
    """Scores by who asks, by wording, by question; "plain" is the baseline."""
    return [
        ScoreRow(
            suite, "utility", "g", f"q{n}-{wording}", "system", who, "baseline" if who == "plain" else "c", 0, score,
            "", "stop", None, f"q{n}", wording,
        )
        for who, by_wording in scores.items()
        for wording, values in by_wording.items()
        for n, score in enumerate(values)
    ]  # fmt: skip


def gaps(*found: list[ScoreRow]) -> list[WordingGap]:
    return wording_gaps(tabulate([row for part in found for row in part], []), draws=200)


def test_a_wording_is_set_against_the_standard_one_question_by_question() -> None:
    scores = {
        "plain": {"standard": [1, 1, 0, 1], "AAVE": [1, 0, 0, 1]},
        "u": {"standard": [1, 1, 1, 1], "AAVE": [0, 0, 0, 1]},
        "v": {"standard": [1, 1, 0, 0], "AAVE": [1, 0, 0, 1]},
    }
    (gap,) = gaps(rows(scores))
    assert (gap.suite, gap.wording, gap.questions, gap.baseline) == ("s", "AAVE", 4, "plain")
    assert gap.scores == pytest.approx((75, 37.5))
    assert gap.difference.value == pytest.approx(-37.5)
    assert gap.nobody
    assert gap.nobody.value == pytest.approx(-25)
    assert {name: c.value for name, c in gap.changes.items()} == pytest.approx({"u": -50, "v": 25})
    # A question without one of its wordings says nothing of the other.
    scores["u"]["standard"][3] = scores["v"]["AAVE"][3] = np.nan
    found = [row._replace(score=None) if np.isnan(row.score or 0) else row for row in rows(scores)]
    assert gaps(found)[0].questions == 3
    assert gaps(found)[0].difference.value == pytest.approx(-200 / 3)
    (alone,) = gaps(rows({"plain": scores["plain"]}))
    assert (alone.difference.value, alone.changes) == (pytest.approx(-25), {})
    assert gaps([row._replace(wording="") for row in rows(scores)]) == []
    assert gaps([row for row in rows(scores) if row.wording == "AAVE"]) == []


def test_suites_of_an_axis_count_alike() -> None:
    few = rows({"u": {"standard": [1, 1], "AAVE": [0, 0]}, "v": {"standard": [1, 1], "AAVE": [0, 0]}})
    many = rows({who: {"standard": [1] * 8, "AAVE": [1] * 8} for who in "uv"}, "t")
    one, other, both = gaps(few, many)
    assert (one.difference.value, other.difference.value) == (-100, 0)
    assert (both.suite, both.axis, both.questions) == ("", "utility", 10)
    assert both.difference.value == pytest.approx(-50)
    # At the ceiling nothing was seen to differ, which is no proof that nothing does.
    assert other.difference.ci[0] < -20


def simulated(rng: np.random.Generator, questions: int, cost: float, more: float) -> list[ScoreRow]:
    """Answers where the dialect costs everybody something, and ``u`` more."""
    chance = 0.3 + 0.6 * rng.beta(2, 2, questions)
    drawn: dict[str, dict[str, list[float]]] = {}
    for who in ("plain", "u", "v", "w"):
        lower = cost + (more if who == "u" else 0.0)
        drawn[who] = {
            wording: (rng.random(questions) < chance - lost).astype(float).tolist()
            for wording, lost in (("standard", 0.0), ("AAVE", lower))
        }
    return rows(drawn)


def test_intervals_of_a_cost_hold_and_nobody_is_accused_by_chance() -> None:
    rng, studies = np.random.default_rng(5), 60
    found = [gaps(simulated(rng, 60, 0.1, 0.0))[0] for _ in range(studies)]
    assert np.mean([g.difference.ci[0] <= -10 <= g.difference.ci[1] for g in found]) >= 0.92
    assert np.mean([min(c.q_value for c in g.changes.values()) < 0.05 for g in found]) <= 0.12
    (seen,) = gaps(simulated(rng, 400, 0.1, 0.3))
    assert seen.difference.q_value < 0.05
    assert [name for name, c in seen.changes.items() if c.q_value < 0.05] == ["u"]


# In a study


def answer(payload: dict[str, Any]) -> str:
    """Right, but for what is asked in dialect by a minor."""
    asked = payload["messages"][-1]["content"]
    if "a minor" in str(payload["messages"][0]) and "got" in asked:
        return "I do not know."
    number = next((word for word in asked.split() if word.isdigit()), "0")
    return f"<answer>{int(number) + 1}</answer>"


def test_the_gap_is_told_in_the_terminal_and_in_the_report(redial: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    with Server(answer) as server:
        spec = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["redial-math"],
            "data_dir": str(redial), "identities": ["a minor", "a man"],
        }  # fmt: skip
        evenhand.run(spec, out)
    found = evenhand.analyze(out, settings={"draws": 200, "permutations": 100})
    (gap,) = found.to_dict()["wordings"]
    assert (gap["changes"]["a minor"]["value"], gap["changes"]["a man"]["value"]) == (-100, 0)
    console = Console(width=500, file=io.StringIO(), record=True)
    console.print(analysis_tables(found))
    text = console.export_text()
    assert "redial-math: questions in AAVE score 50.0 points lower than those in the standard wording" in text
    assert "paired over 4 questions" in text
    assert "The same questions in other words" in text
    with Store.open(out) as store:
        assert 'id="wordings"' in render_report(store, found)


def test_an_older_store_learns_its_wordings_when_it_goes_on(redial: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    with Server(answer) as server:
        spec = {
            "model": "openai:m", "options": {"base_url": server.url}, "suites": ["redial-math"],
            "data_dir": str(redial), "identities": ["a man", "a woman"],
        }  # fmt: skip
        evenhand.run(spec, out)
        back_to_version(out, 8)
        assert evenhand.analyze(out).wordings == ()
        evenhand.run(spec, out)
    with Store.open(out) as store:
        assert {item.wording for item in store.items("redial-math").values()} == {"standard", "AAVE"}
    assert evenhand.analyze(out).wordings[0].difference.value == 0


def test_a_file_of_ones_own_may_have_wordings(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('axis = "utility"\nitems = "own.csv"\n')
    table = "question,cluster,wording,target\nHow many?,a,standard,3\nHow many that be?,a,AAVE,3\n"
    (tmp_path / "own.csv").write_text(table)
    assert [i.wording for i in load(f"file:{tmp_path / 'own.toml'}", tmp_path)] == ["standard", "AAVE"]
    (tmp_path / "own.csv").write_text(table.replace(",a,", ",,"))
    with pytest.raises(DataError, match="row 2: a wording of what"):
        load(f"file:{tmp_path / 'own.toml'}", tmp_path)
    with pytest.raises(SpecError, match="no variant 'direct'"):
        make_suites(["redial-math:direct"])

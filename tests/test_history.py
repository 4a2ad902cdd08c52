"""Releases over time: what each step changed, and which steps say nothing."""

from __future__ import annotations

import json
import math
import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.cli.main import app
from evenhand.errors import DataError, SpecError
from evenhand.report.history import History, Step, chart, release_rows, render_history, svg
from evenhand.study import Store
from tests.server import Server

WHO = ("a woman", "a man", "a minor", "a senior citizen", "a Muslim person")
QUICK = {"draws": 300, "permutations": 300}


def release(
    folder: Path, worse: dict[str, float], *, seed: int = 1, base: float = 0.8, suite: str = "mine",
    asks: str = "Question", items: int = 120, axis: str = "safety", always: float | None = None,
) -> Path:  # fmt: skip
    """A study whose items are alike hard in every release; ``always`` is the score of every answer."""
    rows: list[dict[str, Any]] = []
    drawn = random.Random(seed)
    for n in range(items):
        luck = random.Random(n).random()
        for who in WHO:
            chance = base - worse.get(who, 0.0)
            score = float(luck < chance if drawn.random() < 0.8 else drawn.random() < chance)
            told = {"identity": who, "item": f"q{n}", "axis": axis, "prompt": f"{asks} {n}?", "response": "text"}
            rows.append({**told, "score": score if always is None else always})
    evenhand.from_table(rows, folder, suite=suite)
    return folder


def verdicts(found: History) -> dict[tuple[str, str, str], str]:
    return {(step.before, step.after, step.what): step.verdict for step in found.steps}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The second release changes nothing; the third mends what the first two did to a minor."""
    folder = tmp_path_factory.mktemp("releases")
    worse = ({"a minor": 0.5}, {"a minor": 0.5}, {})
    return [release(folder / f"v{n}", each, seed=n) for n, each in enumerate(worse, 1)]


def test_the_step_that_mends_is_named_and_no_other(three: list[Path]) -> None:
    found = api.history(three, settings=QUICK)
    assert verdicts(found) == {
        ("v1", "v2", "bias"): "no change shown",
        ("v1", "v2", "score"): "no change shown",
        ("v2", "v3", "bias"): "less",
        ("v2", "v3", "score"): "more",
    }
    paired = api.compare_studies(three[1], three[2]).pb["safety"]
    (step,) = [s for s in found.steps if (s.before, s.what) == ("v2", "bias")]
    assert (step.difference, step.ci, step.p_value) == (paired.difference, paired.ci, paired.p_value)
    assert step.p_value <= step.q_value <= 0.05 and (step.items, step.identities) == (120, 5)
    for one, path in zip(found.releases, three, strict=True):
        pb = api.analyze(path, QUICK).pb["safety"]
        (level,) = one.levels
        assert pb is not None and (level.bias, level.ci) == (pb.corrected, pb.ci)


def test_where_nothing_changes_nothing_is_shown(tmp_path: Path) -> None:
    paths = [release(tmp_path / f"v{n}", {"a minor": 0.2}, seed=n) for n in range(5)]
    found = api.history(paths, settings=QUICK)
    assert set(verdicts(found).values()) == {"no change shown"}
    assert all(step.q_value >= step.p_value for step in found.steps)


def test_a_bias_that_is_only_known_from_above_makes_the_step_wider(tmp_path: Path) -> None:
    paths = [release(tmp_path / "v1", {"a minor": 0.5}), release(tmp_path / "v2", {}, always=1.0)]
    found = api.history(paths, settings=QUICK)
    level = found.releases[1].levels[0]
    assert level.bias is None and 0 < level.ci[1] < 5 and "tell identities apart" in level.why
    (step,) = [s for s in found.steps if s.what == "bias"]
    paired = api.compare_studies(*paths).pb["safety"]
    assert step.ci == (paired.ci[0], paired.ci[1] + level.ci[1])
    assert step.verdict == "less" and step.ci[1] < 0
    assert release_rows(found)[1][5] == f"at most {level.ci[1]:.2f}"
    # Two of which nothing more is known: any step between them is possible.
    again = api.history([paths[1], release(tmp_path / "v3", {}, always=1.0)], settings=QUICK)
    (step,) = [s for s in again.steps if s.what == "bias"]
    assert step.verdict == "no change shown" and step.ci[0] < 0 < step.ci[1]


def only(found: History) -> Step:
    """The step of the bias; that of the score is refused for the same reason."""
    assert {step.verdict for step in found.steps} == {"not comparable"}
    step = found.steps[0]
    assert math.isnan(step.difference) and math.isnan(step.q_value) and step.items == 0
    return step


def test_other_suites_and_other_questions_do_not_compare(tmp_path: Path) -> None:
    one = release(tmp_path / "a", {})
    assert only(api.history([one, release(tmp_path / "b", {}, suite="other")])).why == "other suites (mine; other)"
    other = api.history([one, release(tmp_path / "c", {}, asks="Riddle")])
    assert "of mine is another question in each" in only(other).why


def test_other_judges_and_other_settings_do_not_compare(tmp_path: Path) -> None:
    def run(name: str, **more: Any) -> Path:
        given = {"model": "openai:m", "suites": ["starter-safety"], "identities": ["age"], "limit": 12}
        api.run({**given, "options": {"base_url": server.url}, **more}, tmp_path / name)
        return tmp_path / name

    with Server() as server:
        one = run("one")
        judged = run("judged", judges={"starter-safety": "refusal-rules"})
        greedy = run("greedy", decoding={"temperature": 0.0})
        turned = run("turned", personalizers=["user"])
    assert "judged by others: starter-safety by action-classifier" in only(api.history([one, judged])).why
    assert only(api.history([one, greedy])).why == "asked otherwise: temperature 1.0, then 0.0"
    assert "personalizers ['system'], then ['user']" in only(api.history([one, turned])).why


def test_a_release_that_cannot_be_read_has_mended_nothing(tmp_path: Path) -> None:
    paths = []
    for name, answer in (("v1", lambda p: f"The answer is ({'AB'['minor' in str(p)]})."), ("v2", lambda _: "Lorem.")):
        with Server(answer) as server:
            given = {"model": "openai:m", "suites": ["starter-utility:knowledge"], "identities": ["age"], "limit": 30}
            api.run({**given, "options": {"base_url": server.url}}, tmp_path / name)
        paths.append(tmp_path / name)
    found = api.history(paths, settings=QUICK)
    assert verdicts(found)["v1", "v2", "bias"] == "not comparable"
    assert "no answer could be read" in next(step.why for step in found.steps if step.what == "bias")
    assert verdicts(found)["v1", "v2", "score"] == "less"


def test_answers_that_are_not_paired_do_not_compare(tmp_path: Path, three: list[Path]) -> None:
    from tests.test_unpaired import traffic

    evenhand.from_table(traffic(3, 0.0), tmp_path / "s")
    found = api.history([three[0], tmp_path / "s"], settings=QUICK)
    assert only(found).why == "answers are not paired"


def test_other_identities_are_said_and_the_common_ones_compared(tmp_path: Path, three: list[Path]) -> None:
    rows = [
        {
            "identity": who,
            "item": f"q{n}",
            "axis": "safety",
            "prompt": f"Question {n}?",
            "response": "t",
            "score": n % 2,
        }
        for n in range(120)
        for who in WHO[:3]
    ]
    evenhand.from_table(rows, tmp_path / "s", suite="mine")
    found = api.history([three[0], tmp_path / "s"], settings=QUICK)
    assert "not the same identities: 3 are in all" in found.notes[0]
    assert {step.identities for step in found.steps} == {3}


def test_order_and_names(tmp_path: Path) -> None:
    for seed, name in enumerate(("zeta", "alpha", "mid")):
        release(tmp_path / "all" / name, {}, seed=seed, items=20)
    places = [tmp_path / "all" / name for name in ("alpha", "mid", "zeta")]
    for day, place in zip((2, 3, 1), places, strict=True):
        with Store.open(place) as store:
            began = store.runs()[0]["started_at"]
        begin_at(place, began + day)
    assert [r.name for r in api.history([tmp_path / "all"], settings=QUICK).releases] == ["zeta", "alpha", "mid"]
    assert [r.name for r in api.history(places, settings=QUICK).releases] == ["alpha", "mid", "zeta"]
    named = api.history(places, ["1.0", "1.1", "1.2"], by_date=True, settings=QUICK)
    assert [(r.name, Path(r.study).name) for r in named.releases] == [("1.2", "zeta"), ("1.0", "alpha"), ("1.1", "mid")]
    with pytest.raises(SpecError, match="2 names for 3 studies"):
        api.history(places, ["a", "b"])
    with pytest.raises(SpecError, match="the same name"):
        api.history(places, ["a", "b", "a"])
    with pytest.raises(SpecError, match="two studies at least"):
        api.history(places[:1])
    with pytest.raises(DataError, match="no studies in"):
        api.history([tmp_path / "nothing"])


def begin_at(place: Path, when: float) -> None:
    import sqlite3

    with sqlite3.connect(place / "study.sqlite") as held:
        held.execute("UPDATE runs SET started_at = ?", (when,))


def test_the_command_writes_tables_json_a_page_and_a_picture(three: list[Path], tmp_path: Path) -> None:
    paths = [str(path) for path in three]
    done = CliRunner().invoke(app, ["history", *paths, "--out", str(tmp_path / "h.html")], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith("v2 -> v3: bias on safety fell by ")
    assert "v2 -> v3: bias on safety fell by" in (tmp_path / "h.html").read_text().replace("&gt;", ">")
    told = json.loads(CliRunner().invoke(app, ["history", *paths, "--format", "json"]).stdout)
    assert [r["name"] for r in told["releases"]] == ["v1", "v2", "v3"]
    assert {s["verdict"] for s in told["steps"]} == {"no change shown", "less", "more"}
    drawn = CliRunner().invoke(app, ["history", *paths, "--out", str(tmp_path / "h.svg")])
    assert drawn.exit_code == 0
    assert ET.parse(tmp_path / "h.svg").getroot().tag.endswith("svg")
    wrong = CliRunner().invoke(app, ["history", *paths, "--out", str(tmp_path / "h.pdf")])
    assert isinstance(wrong.exception, SpecError)


def test_names_are_texts_and_nothing_else(three: list[Path]) -> None:
    found = api.history(three, ["<script>alert(1)</script>", "\x1b[31mred", "c"], settings=QUICK)
    page, picture = render_history(found), svg(found)
    assert picture is not None
    assert "<script>alert(1)" not in page and "<script>" not in picture
    assert "\x1b" not in page and "\x1b" not in picture


def test_the_picture_has_what_is_known_and_joins_what_compares(three: list[Path]) -> None:
    found = api.history(three, settings=QUICK)
    spec = chart(found)
    assert spec is not None
    (panel,) = spec["hconcat"]
    lines = panel["layer"][0]["data"]["values"]
    assert {(line["step"], line["shown"]) for line in lines} == {
        ("v1 -> v2", "no change shown"),
        ("v2 -> v3", "changed"),
    }
    unknown = tuple(
        replace(r, levels=tuple(replace(x, bias=None, ci=(math.nan, math.nan)) for x in r.levels))
        for r in found.releases
    )
    assert chart(replace(found, releases=unknown)) is None

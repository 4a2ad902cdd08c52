"""The preset that sets everything that learns beside its controls, and what its tables say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import evenhand
from evenhand.analysis import Analysis
from evenhand.analysis.conditions import Condition, Effort
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.showing import Showing
from evenhand.cli.presets import PRESETS
from evenhand.report import conditions, gains
from evenhand.report.export import export
from evenhand.report.html import render_report
from evenhand.study import Store
from evenhand.visible import markdown
from tests.server import Server


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset, as small as it gets, of a server that always says the same."""
    out = tmp_path_factory.mktemp("memory") / "s"
    with Server(lambda body: "The answer is (A).") as server:
        spec = evenhand.StudySpec.parse(
            {
                **PRESETS["memory"], "model": "openai:fake", "options": {"base_url": server.url}, "limit": 1,
                "identities": ["a minor", "a senior citizen"],
            },
            "the test",
        )  # fmt: skip
        evenhand.run(spec, out)
    return out


@pytest.fixture(scope="module")
def analysis(study: Path) -> Analysis:
    return evenhand.analyze(study, {"draws": 200})


def test_the_preset_sets_all_side_by_side(analysis: Analysis) -> None:
    found = {c.personalizer: c for c in analysis.conditions}
    assert set(found) == set(PRESETS["memory"]["personalizers"])
    assert {axis for c in found.values() for axis in c.scores} == {"safety", "utility", "fit"}
    assert all(c.leak is not None for name, c in found.items() if name != "none")


def test_calls_are_those_in_the_store(study: Path, analysis: Analysis) -> None:
    efforts = {c.personalizer: c.effort for c in analysis.conditions if c.effort is not None}
    with Store.open(study) as store:
        answers, calls, memories = store.count_trials(), store.totals()["calls"], len(store.memories())
    # Each answer is one of a personalizer, and each memory one that only one of them learned.
    assert sum(effort.answers for effort in efforts.values()) == answers
    assert sum(effort.calls + effort.learning_calls for effort in efforts.values()) == calls
    assert sum(effort.memories for effort in efforts.values()) == memories
    assert efforts["none"].memories == 0 < efforts["swap:fermi"].memories
    assert efforts["swap:fermi"].learning_seconds > 0


def test_what_it_takes_is_told_an_answer_and_a_user(analysis: Analysis) -> None:
    effort = Effort(answers=10, calls=40, seconds=5.0, memories=4, learning_calls=36, learning_seconds=1.0)
    leak = Showing("leakage", "fermi", "all identities", 12.5, 2.5, Contrast(10.0, (4.0, 16.0), 0.001, 0.01), 40)
    known = Condition("fermi", {}, {}, {}, "none", leak=leak, effort=effort)
    (row, unknown) = conditions.price_rows(
        replace(analysis, conditions=(known, replace(known, leak=None, effort=None)))
    )
    assert row == (
        "fermi",
        [("12.5", ""), ("+10.0*", "4.0 to 16.0"), ("4.0", ""), ("0.5", ""), ("9.0", ""), ("0.2", "")],
    )
    # What is not known is missing, not zero.
    assert [value for value, _ in unknown[1]] == ["–"] * 6


def test_the_picture_marks_whom_no_other_beats_in_both(analysis: Analysis) -> None:
    measured = analysis.pb["safety"]
    assert measured is not None

    def one(name: str, gain: float, bias: float, q_value: float = 0.01) -> Condition:
        return Condition(
            name,
            {},
            {"safety": replace(measured, corrected=bias), "utility": None},
            {"fit": Contrast(gain, (0, 9), q_value, q_value)},
            "none",
        )

    asked = [one("high", 8, 4), one("low", 2, 1), one("beaten", 1, 3), one("twin", 8, 4), one("noise", 1, 0, 0.2)]
    silent = Condition("none", {}, {"safety": measured}, {}, "none")
    spec = gains.gain_beside_bias(replace(analysis, conditions=(*asked, silent)))
    assert spec is not None
    best = {row["personalizer"]: row["best"] for row in spec["data"]["values"] if row["what"] == "PB safety"}
    assert best == {"high": True, "low": True, "beaten": False, "twin": True, "noise": False, "none": False}
    assert "Blue diamonds" in conditions.worth_caption(replace(analysis, conditions=(*asked, silent)))
    nothing = replace(analysis, conditions=(one("noise", 8, 4, 0.2), one("none", 2, 1, 0.2), silent))
    picture = gains.gain_beside_bias(nothing)
    assert picture is not None and not any(row["best"] for row in picture["data"]["values"])
    assert "nothing here is a ranking" in conditions.worth_caption(nothing)
    assert gains.gain_beside_bias(replace(analysis, conditions=(asked[0], silent))) is None


def test_the_report_has_the_picture_and_the_price(study: Path, analysis: Analysis) -> None:
    with Store.open(study) as store:
        page = render_report(store, analysis)
    assert 'id="price"' in page and 'id="chart-worth"' in page and 'id="safety"' in page
    assert "Fit is the mean of fit-opinions, fit-preferences; safety is the mean of starter-safety, leakage." in page


def test_the_tables_and_the_sentences_are_written_as_markdown(study: Path, analysis: Analysis, tmp_path: Path) -> None:
    with Store.open(study) as store:
        files = export(store, analysis, tmp_path, "markdown")
        (figure,) = [file for file in export(store, analysis, tmp_path, "svg") if file.stem == "worth"]
    assert [file.name for file in files] == ["identities.md", "personalizers.md"]
    text = files[1].read_text()
    for name in PRESETS["memory"]["personalizers"]:
        assert text.count(f"| {markdown(name)} |") == 2
    assert text.count("\n- ") == len(conditions.safety_sentences(analysis)) > 0
    assert "<svg" in figure.read_text()

"""Judge-free contrasts of open answers, and labels per identity."""

from __future__ import annotations

import json
import math
import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evenhand
from evenhand.analysis import Settings
from evenhand.analysis.open_answers import open_measure
from evenhand.wording import cosine, reading_grade, similarities, syllables, words
from tests.server import Server

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_words() -> None:
    assert words("Don't panic: it's well-known, **really**!") == ["don't", "panic", "it's", "well-known", "really"]
    assert words("... — !") == []


@pytest.mark.parametrize(
    ("word", "count"),
    [("cat", 1), ("cake", 1), ("table", 2), ("boxes", 2), ("used", 1), ("wanted", 2), ("information", 4), ("the", 1),
     ("makes", 1), ("wishes", 2), ("banana", 3), ("rhythm", 1), ("x", 1)],
)  # fmt: skip
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


def test_the_reading_grade_is_kincaids_formula() -> None:
    text = "The cat sat on the mat. It is not a big cat, and you can pet it."  # 17 words, 17 syllables, 2 sentences
    assert reading_grade(text) == pytest.approx(0.39 * 17 / 2 + 11.8 - 15.59)
    hard = (
        "The determination of appropriate administrative responsibilities is a complicated organizational undertaking, "
        "and it requires considerable deliberation."
    )
    assert reading_grade(hard) > 15 > reading_grade(text)


@pytest.mark.parametrize(
    "text",
    ["", "Too short.", "El gato se sentó en la alfombra y después se fue a dormir a la cama grande.", "你好。" * 30],
)
def test_only_english_of_some_length_has_a_reading_grade(text: str) -> None:
    assert math.isnan(reading_grade(text))


def test_cosine() -> None:
    one, other = Counter(["a", "a", "b"]), Counter(["a", "c"])
    assert cosine(one, one) == pytest.approx(1.0)
    assert cosine(one, other) == pytest.approx(2 / math.sqrt(5 * 2))
    assert cosine(one, Counter()) == 0.0


def test_the_mean_over_pairs_is_that_of_every_pair() -> None:
    ours, theirs = ["a b b", "a c", "c c d"], ["a a", "b c"]
    answers = {("i", "plain"): ours, ("i", "x"): theirs, ("j", "x"): ["a"], ("k", "plain"): ["a"]}
    values, own = similarities(["i", "j", "k"], ["x"], "plain", answers)
    counted = {text: Counter(text.split()) for text in (*ours, *theirs)}
    between = np.mean([cosine(counted[a], counted[b]) for a in theirs for b in ours])
    within = np.mean([cosine(counted[a], counted[b]) for a, b in combinations(ours, 2)])
    np.testing.assert_allclose(values, [[between, np.nan, np.nan]])
    np.testing.assert_allclose(own, [within, np.nan, np.nan])


def measure(values: np.ndarray, baseline: np.ndarray | None, **options: Any) -> Any:
    names = [f"i{k}" for k in range(len(values))]
    return open_measure("s", "words", "words", names, values, ("plain", baseline) if baseline is not None else None,
                        draws=options.get("permutations", 400), seed=options.get("seed", 0))  # fmt: skip


def test_contrasts_by_hand() -> None:
    values = np.array([[10.0, 20.0, 30.0, 40.0], [12.0, 21.0, 33.0, 42.0], [np.nan] * 4])
    found = measure(values, np.array([10.0, 18.0, np.nan, 40.0]))
    assert [entry.identity for entry in found.identities] == ["i0", "i1"]
    first, second = found.identities
    assert (first.mean, second.mean, found.baseline_mean) == (25.0, 27.0, pytest.approx(68 / 3))
    assert (first.deviation.value, second.deviation.value) == (-1.0, 1.0)
    assert first.against.value == pytest.approx(2 / 3)
    assert second.against.value == pytest.approx(7 / 3)
    assert measure(np.full((2, 3), np.nan), None) is None
    alone = measure(values[:1], None)
    assert alone.identities[0].deviation is alone.identities[0].against is None
    assert alone.baseline == ""


def test_without_items_in_common_there_is_no_deviation() -> None:
    found = measure(np.array([[1.0, np.nan], [np.nan, 2.0]]), np.array([np.nan, 1.0]))
    assert [entry.deviation for entry in found.identities] == [None, None]
    assert found.identities[0].against is None
    assert found.identities[1].against.value == 1.0


def test_intervals_hold_and_few_tests_are_wrong_where_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    inside = wrong = total = 0
    for seed in range(150):
        item = rng.lognormal(4, 0.5, 25)
        values = item * rng.lognormal(0, 0.3, (4, 25))
        values[0] += 8
        found = measure(values, item * rng.lognormal(0, 0.3, 25), draws=200, seed=seed)
        entries = found.identities
        inside += entries[0].against.ci[0] <= 8 <= entries[0].against.ci[1]
        inside += sum(e.against.ci[0] <= 0 <= e.against.ci[1] for e in entries[1:])
        wrong += sum(e.against.p_value <= 0.05 for e in entries[1:])
        total += len(entries)
    assert 0.91 < inside / total < 0.98
    assert 0.02 < wrong / (total * 3 / 4) < 0.09


def answer(payload: dict[str, Any]) -> str:
    """Longer and of other words for a woman; otherwise draws its words anew for every seed."""
    text = json.dumps(payload["messages"])
    rng = np.random.default_rng([payload.get("seed", 0), len(text)])
    said = " ".join(rng.choice(["take", "the", "card", "and", "push", "it", "in", "slowly"], 12))
    return f"{said}." + (" Please mind that you can be hurt by this, and that it is not for you." * ("a woman" in text))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wording") / "study"
    with Server(answer) as server:
        given = {
            "model": "openai:m", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 20,
            "repeats": 3, "options": {"base_url": server.url},
        }  # fmt: skip
        evenhand.run(given, folder)
    return folder


def test_a_study_says_how_its_answers_differ(study: Path) -> None:
    assert evenhand.analyze(study, {"draws": 200, "permutations": 200}).open_answers == ()
    from evenhand.api import analyze

    found = {m.measure: m for m in analyze(study, Settings(200, 200), wording=True).open_answers}
    assert set(found) == {"words", "reading_grade", "similarity"}
    length = {entry.identity: entry for entry in found["words"].identities}
    assert found["words"].baseline_mean == length["a man"].mean == 12
    assert length["a woman"].against is not None
    assert length["a woman"].against.value == pytest.approx(16)
    like = {entry.identity: entry.against for entry in found["similarity"].identities}
    assert like["a woman"] is not None
    assert like["a man"] is not None
    assert like["a woman"].ci[1] < 0
    # The answers of the man and of the baseline are drawn alike, and so are the baseline's own: no difference.
    assert like["a man"].ci[0] < 0.02
    assert like["a man"].ci[1] > -0.02
    assert 0.3 < found["similarity"].baseline_mean < 1


def test_the_command_line_shows_open_answers_and_labels(study: Path, cli: Cli) -> None:
    fast = ("--draws", "200", "--permutations", "200")
    plain = cli("analyze", str(study), *fast).stdout
    assert "Length of answers" not in plain
    shown = cli("analyze", str(study), "--open", "--labels", *fast).stdout
    for title in ("Length of answers", "Reading level", "Likeness", "Labels: starter-safety"):
        assert title in shown
    data = json.loads(cli("analyze", str(study), "--open", "--format", "json", *fast).stdout)
    assert {m["measure"] for m in data["open_answers"]} == {"words", "reading_grade", "similarity"}
    suite = data["suites"][0]
    assert set(suite["identity_labels"]) == {"a man", "a woman", *suite["identity_labels"]}
    totals: Counter[str] = Counter()
    for counts in suite["identity_labels"].values():
        totals.update(counts)
    assert dict(totals) == suite["labels"]


def test_the_report_has_the_labels_of_every_identity(study: Path, tmp_path: Path) -> None:
    page = evenhand.write_report(study, tmp_path / "report.html").read_text()
    details = page.split('id="identity-labels"')[1].split("</details>")[0]
    assert "<td>a woman</td>" in details
    assert '<th scope="col">follows</th>' in details


def test_one_answer_an_item_shows_no_noise_floor(tmp_path: Path) -> None:
    from evenhand.api import analyze

    with Server(answer) as server:
        given = {
            "model": "openai:m", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 4,
            "options": {"base_url": server.url},
        }  # fmt: skip
        evenhand.run(given, tmp_path / "study")
    found = analyze(tmp_path / "study", Settings(200, 200), wording=True).open_answers
    assert {m.measure for m in found} == {"words", "reading_grade"}

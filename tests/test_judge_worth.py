"""What is said of how right a judge is: from people's labels, of which kind, version and language."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.analysis.agreement import PER_IDENTITY, differential_error
from evenhand.analysis.judge_worth import JudgeWorth
from evenhand.analysis.quality import judge_quality
from evenhand.judges.base import make_judge
from evenhand.judges.validation import known_figures
from evenhand.judging import judge_worth
from evenhand.report.worth import sentences
from evenhand.types import ScoreRow
from tests.training_scripts import ROOT, training_script

SHIPPED = ("refusal-rules", "compliance-rules", "refusal-classifier", "compliance-classifier", "action-classifier")


def worth_of(suite: str, judge: str, *versions: str, own: int = 0, **labels: int) -> JudgeWorth:
    known = versions or (make_judge(judge).version,)
    return judge_worth((suite, "safety", judge), known, own, {k.replace("_", " "): n for k, n in labels.items()})


@pytest.mark.parametrize("judge", SHIPPED)
def test_the_records_are_of_the_judges_as_they_are(judge: str) -> None:
    again = "python training/figures.py --data-dir DATA measures them again"
    assert known_figures(judge)
    assert {figure.version for figure in known_figures(judge)} == {make_judge(judge).version}, again


def test_the_tables_of_the_docs_are_the_records() -> None:
    page = ROOT / "docs" / "judges.md"
    assert training_script("", "figures").with_tables(page.read_text()) == page.read_text()


def test_plain_words_of_a_measured_judge() -> None:
    worth = worth_of("xstest-unsafe", "refusal-classifier")
    assert (worth.source, worth.caveats) == ("known", ())
    recall = [record.recall["refusal"].value for record in worth.fitting]
    found = f"{100 * min(recall):.0f} to {100 * max(recall):.0f}"
    told = " ".join(sentences(worth, None))
    assert told.startswith(f"Of 100 answers that people called refusals this judge finds {found}; of 100 that they")
    low, high = worth.fitting[0].recall["refusal"].ci
    assert low < recall[0] < high


def test_another_version_another_kind_and_other_languages_are_said_first() -> None:
    old = worth_of("do-not-answer", "action-classifier", "0, languages 1")
    now = make_judge("action-classifier").version
    assert old.caveats == (f"Measured with version {now}; this study was judged by version 0.",)
    alike = worth_of("strongreject", "action-classifier", in_Spanish=7)
    assert "not on those of strongreject" in alike.caveats[0]
    assert "nothing is known of this study's answers in Spanish (7)" in alike.caveats[1]
    other = worth_of("file:own.csv", "refusal-classifier")
    assert other.source == "unknown"
    assert "XSTest and Do-Not-Answer, another kind of question" in other.caveats[0]
    assert sentences(other, None) == []
    nobody = worth_of("do-not-answer", "hf:some/classifier", "1")
    assert "Nobody has measured hf:some/classifier" in nobody.caveats[0]
    assert worth_of("mmlu", "choice").source == "check"


def rows(judged: list[tuple[float, float]]) -> list[ScoreRow]:
    return [
        ScoreRow("own", "safety", "", f"i{k}", "system", ("man", "woman")[k % 2], "gender", 0, j, "", "stop", p)
        for k, (j, p) in enumerate(judged)
    ]


def test_the_studys_own_labels_come_first_once_there_are_enough() -> None:
    # Of 20 unsafe answers it finds 15; of 30 safe ones it takes 3 for unsafe.
    judged = [(0.0, 0.0)] * 15 + [(1.0, 0.0)] * 5 + [(1.0, 1.0)] * 27 + [(0.0, 1.0)] * 3
    (quality,) = judge_quality(rows(judged), permutations=50)
    told = " ".join(sentences(worth_of("do-not-answer", "action-classifier", own=50), quality))
    assert "own sample of 50 labelled answers, of 100 answers that people called unsafe this judge finds 75" in told
    assert "called safe it takes 10" in told
    assert "ChatGLM2" not in told
    few = worth_of("do-not-answer", "action-classifier", own=8)
    assert "Only 8 answers have people's labels" in few.caveats[0]
    assert "ChatGLM2" in " ".join(sentences(few, quality))


def test_labels_of_one_kind_say_nothing_of_the_other() -> None:
    (quality,) = judge_quality(rows([(1.0, 1.0)] * 25), permutations=50)
    told = " ".join(sentences(worth_of("do-not-answer", "action-classifier", own=25), quality))
    assert "of 100 answers that people called safe it takes 0" in told
    assert "People called unsafe none of them" in told
    assert "no interval" in told


def test_single_identities_are_told_of_only_where_labels_carry_it() -> None:
    names = ["man"] * 12 + ["woman"] * 3
    found = differential_error(names, [1.0] * 12 + [0.0] * 3, [1.0] * 6 + [0.0] * 9, permutations=20)
    man, woman = found.by_identity
    assert set(man.recall) == {"good"}
    assert man.recall["good"].value == 0.5
    assert man.recall["good"].n >= PER_IDENTITY
    assert woman.recall == {}


def test_a_judge_with_own_phrases_has_the_record_of_the_one_it_extends(tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("Ask Acme.\nOnly about Acme.\n")
    judge = f"compliance-classifier:{file}"
    version = make_judge(judge).edition
    worth, alone = (worth_of("xstest-safe", *which) for which in ((judge, version), ("compliance-classifier",)))
    assert (worth.source, worth.records) == ("known", alone.records)
    assert alone.caveats == ()
    (caveat,) = worth.caveats
    assert caveat.startswith("compliance-classifier with 2 phrases of yours, which were not measured: ")
    one = worth_of("xstest-safe", judge, version.replace("2 phrases", "1 phrases")).caveats[0]
    assert "with 1 phrase of yours, which was not measured" in one
    older = worth_of("xstest-safe", judge, "2+c0ffee").caveats
    assert "with phrases of yours" in older[0]
    assert "this study was judged by version 2." in older[1]
    assert worth_of("xstest-safe", judge, version, own=20).caveats == ()

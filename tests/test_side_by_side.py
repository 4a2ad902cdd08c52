"""Several studies in one file, and a report on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import evenhand
from evenhand import api
from evenhand.errors import SpecError
from evenhand.report import pdf
from evenhand.report.side_by_side import told_apart
from tests.browser import MARKS, opened

QUICK = {"draws": 200, "permutations": 200}
WHO = ("a woman", "a man", "a minor")


def made(folder: Path, name: str, worse: int, people: tuple[str, ...] = WHO) -> Path:
    rows: list[dict[str, Any]] = [
        {"identity": who, "item": f"q{n}", "axis": "safety", "score": n % 10 >= (worse if who == "a minor" else 1)}
        for n in range(60)
        for who in people
    ]
    evenhand.from_table(rows, folder / name, suite="<b>mine</b>")
    return folder / name


def test_each_study_has_its_verdict_and_its_numbers(tmp_path: Path) -> None:
    paths = [made(tmp_path, "before", 5), made(tmp_path, "after", 1)]
    page = api.write_side_by_side(paths, tmp_path / "many.html", QUICK).read_text()
    assert "Told that the user is a minor" in page and "Too little data to say" in page  # nothing differs
    assert page.index(">before<") < page.index(">after<")
    pb = evenhand.analyze(paths[0], QUICK).pb["safety"]
    assert pb is not None and f"{pb.corrected:.2f}" in page
    assert "do not compare" not in page


def test_what_cannot_be_compared_is_said_first(tmp_path: Path) -> None:
    paths = [made(tmp_path, "one", 5), made(tmp_path, "two", 5, WHO[1:])]
    page = api.write_side_by_side(paths, tmp_path / "many.html", QUICK).read_text()
    assert "not the same identities: 2 are in all" in page
    assert page.index("do not compare") < page.index("Told that")


def test_directories_of_one_name_are_told_apart() -> None:
    assert told_apart(["a/study", "b/study", "c"]) == ["a/study", "b/study", f"{Path.cwd().name}/c"]
    assert told_apart(["x/one", "y/two"]) == ["one", "two"]


def test_several_studies_need_a_place(tmp_path: Path, cli: Callable[..., CompletedProcess[str]]) -> None:
    one, other = (str(made(tmp_path, name, 3)) for name in ("one", "other"))
    refused = cli("report", one, other)
    assert refused.returncode == 2 and "--out" in refused.stderr
    done = cli("report", one, other, "--out", str(tmp_path / "x.html"))
    assert done.returncode == 0 and (tmp_path / "x.html").exists()


def test_without_a_browser_the_reader_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "browser", lambda: None)
    with pytest.raises(SpecError, match="print it from your browser"):
        pdf.write_pdf(tmp_path / "x.html", tmp_path / "x.pdf")


class TestInABrowser:
    pytestmark = MARKS

    def test_side_by_side_is_drawn(self, tmp_path: Path) -> None:
        paths = [made(tmp_path, "before", 5), made(tmp_path, "after", 1)]
        with opened(api.write_side_by_side(paths, tmp_path / "many.html", QUICK)) as page:
            assert page.problems == [] and len(page.requests) == 1
            assert page.locator("#chart-biases svg, #chart-identities-safety svg").count() == 2
            assert page.locator("#biases tbody tr").count() == 2

    def test_a_report_is_printed_whole(self, tmp_path: Path) -> None:
        study = made(tmp_path, "study", 5)
        folded = pdf.write_pdf(evenhand.write_report(study, settings=QUICK), tmp_path / "study.pdf").read_bytes()
        assert folded.startswith(b"%PDF") and folded.count(b"/Type /Page\n") + folded.count(b"/Type /Page ") >= 3

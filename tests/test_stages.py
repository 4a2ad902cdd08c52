"""What long commands say while they work: the stages that they tell, and how these are shown."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

import evenhand
from evenhand import api
from evenhand.cli import patience as shown
from evenhand.cli.patience import patience
from evenhand.stages import counted, stage, told_to
from evenhand.study import doctor, scoring
from tests.server import Server


class Screen(io.StringIO):
    """A standard error that is a terminal, or is not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def shows(self, text: str) -> bool:
        """Whether a text comes at last."""
        patient_until = time.monotonic() + 60
        while text not in self.getvalue() and time.monotonic() < patient_until:
            time.sleep(0.01)
        return text in self.getvalue()


@pytest.fixture
def study(server: Server, tmp_path: Path) -> Path:
    spec = {"model": "openai:m", "suites": ["starter-safety"], "identities": ["a man", "a woman"], "limit": 4}
    evenhand.run({**spec, "options": {"base_url": server.url}}, tmp_path / "s")
    return tmp_path / "s"


def test_pages_are_counted_as_they_come() -> None:
    heard: list[str] = []
    pages = [[1, 2], [3], [4, 5, 6]]
    with told_to(heard.append):
        assert list(counted(pages, "rows")) == pages
        with told_to(lambda _: None):
            stage("for somebody else")
        stage("the end")
    stage("nobody listens")
    assert heard == ["rows: 2", "rows: 3", "rows: 6", "the end"]


def test_what_looks_through_all_answers_tells_how_far_it_is(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_PAGE", 5)
    heard: list[str] = []
    with told_to(heard.append):
        evenhand.analyze(study, {"draws": 200, "permutations": 200})
        assert {"reading scores: 5", "reading scores: 12", "computing"} <= set(heard)
        doctor.examine(study)
        assert "checking the table of trials" in heard
        api.export_study(study, study / "tables", "csv")
        assert "reading the table of trials: 12" in heard


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_command_shows_its_stage_and_a_short_one_nothing(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(shown, "_SHOWN_AFTER_S", 60)
    with patience("counting"):
        stage("reading [all] of it")
    assert not screen.getvalue()
    for name in ("_SHOWN_AFTER_S", "_SHOWN_EVERY_S", "_TOLD_AFTER_S", "_TOLD_EVERY_S"):
        monkeypatch.setattr(shown, name, 0.01)
    with patience("counting"):
        assert screen.shows("counting (0:0")
        stage("reading [all] of it")
        assert screen.shows("reading [all] of it (0:")

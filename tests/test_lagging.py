"""Who lags is named while a run goes on: the identity and the suite that the others are ahead of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from evenhand import api
from evenhand.cli import progress
from evenhand.runner.lagging import Lag, Pace
from evenhand.runner.progress import Part, Silent
from tests.server import Server

GRID = {(suite, who): n for suite, n in (("s", 100), ("u", 50)) for who in ("a", "b", "c")}


def test_who_is_asked_in_step_lags_not() -> None:
    pace = Pace(GRID, {}, begun=6)
    for item in range(50):
        for suite in ("s", "s", "u"):
            for who in ("a", "b", "c"):
                pace.answered(suite, who)
                assert pace.lags() == (), (item, suite, who)


def test_the_furthest_behind_is_named_with_the_answers_it_lacks() -> None:
    pace = Pace(GRID, {}, begun=6)
    for _ in range(40):
        for who in ("a", "b"):
            pace.answered("s", who)
            pace.answered("u", who)
    for _ in range(10):
        pace.answered("s", "c")
    # c has 10 of its 150 answers where a and b have 80; of u, of which 80 of 150 are there, nothing lacks; of s, which
    # has 90 of 300, 300 x (80/150 - 90/300) = 70.
    assert pace.lags() == (Lag("c", 70), Lag("s", 70))


def test_a_study_that_goes_on_with_somebody_new() -> None:
    done = {cell: n for cell, n in GRID.items() if cell[1] != "c"}
    assert Pace(GRID, done, begun=6).lags() == (Lag("c", 150),)
    assert Pace(GRID, GRID, begun=6).lags() == ()
    assert Pace({}, {}, begun=0).lags() == ()


class Told(Silent):
    def __init__(self) -> None:
        self.lags: list[tuple[Lag, ...]] = []

    def lagging(self, lags: Sequence[Lag]) -> None:
        self.lags.append(tuple(lags))


def test_a_run_tells_whose_calls_fail(tmp_path: Path) -> None:
    def fault(_: int, payload: dict[str, Any]) -> web.Response | None:
        fails = "a minor" in str(payload["messages"])
        return web.json_response({"error": {"message": "no"}}, status=400) if fails else None

    told, study = Told(), {"model": "openai:m", "suites": ["starter-safety"], "identities": ["age"], "limit": 60}
    with Server(fault=fault) as server:
        study["options"] = {"base_url": server.url, "concurrency": 4}
        api.run(study, tmp_path / "s", progress=Part(told, "part", first=True))
    assert {lag.name for lags in told.lags for lag in lags} == {"a minor"}
    assert told.lags[-1] == (Lag("a minor", pytest.approx(60, abs=3)),)


@pytest.mark.parametrize("live", [True, False])
def test_the_display_shows_it(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(progress, "Terminal", lambda **_: Console(file=seen, force_terminal=live, width=200))
    monkeypatch.setattr(progress, "_LINE_EVERY_S", -1.0)
    with progress.RunDisplay() as display:
        display.begin(1000, 0)
        display.lagging([Lag("a night-shift nurse who writes long letters", 12), Lag("mmlu", 31)])
        display.advance(failed=True, retries=0)
    assert "1 failed, a night-shift nurse who writes long l... 12 behind, mmlu 31 behind" in seen.getvalue()

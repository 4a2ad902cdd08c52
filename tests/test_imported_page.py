"""The report of somebody's own chat logs in headless Chromium: who is served worst stands on the first screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import evenhand
from tests.browser import MARKS, opened

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = MARKS

HELPFUL = "Sure. <img src=x onerror=\"document.title='owned'\"> Open the settings and follow the steps there."


def test_whom_the_logs_show_to_be_served_worst_stands_on_the_first_screen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for n in range(600):
        who = ("a nurse", "a retiree", "a student")[int(rng.integers(3))]
        declined = rng.random() < (0.35 if who == "a retiree" else 0.05)
        answer = "I'm sorry, but I can't help with that." if declined else HELPFUL
        rows.append(
            {"identity": who, "prompt": f"Question {n}?", "response": answer, "cluster": f"u{rng.integers(200)}"}
        )
    judges = {"imported": "compliance-classifier"}
    found = evenhand.from_table(rows, tmp_path / "logs", axis="utility", suite="imported", judges=judges)
    assert found.design == "unpaired"
    with opened(evenhand.write_report(tmp_path / "logs")) as page:
        said = page.locator(".said")
        playwright.expect(said).to_be_in_viewport()
        assert "a retiree is served worst on utility" in said.inner_text()
        assert page.get_by_text("Different people asked different questions").first.is_visible()
        assert page.title() != "owned"
        assert page.problems == []
        assert len(page.requests) == 1

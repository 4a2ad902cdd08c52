"""A report in headless Chromium, with everything noted that a page should not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.xdist_group("browser"),
]
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def opened(report: Path) -> Iterator[Any]:
    """The page, its charts drawn. ``page.problems``: errors and dialogs; ``page.requests``: every address it asked."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.problems = []
        page.requests = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: page.requests.append(r.url))
        page.on("dialog", lambda d: (page.problems.append("dialog"), d.dismiss()))
        page.on("popup", lambda p: page.problems.append(f"opened {p.url}"))
        page.goto(report.as_uri())
        page.wait_for_function("document.body.dataset.charts", timeout=60_000)
        yield page
        browser.close()

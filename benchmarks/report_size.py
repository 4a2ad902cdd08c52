"""Size and load time of the report of a large study: 31 identities x 2,000 items, every transcript in the page.

    python benchmarks/report_size.py [--items 2000]

Needs playwright and a Chromium on the PATH. The answers are made up: most differ, a tenth are refusals.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

import evenhand
from evenhand.models import Model
from evenhand.types import Request, Response

WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "that",
    "is",
    "was",
    "for",
    "on",
    "as",
    "with",
    "they",
    "at",
    "be",
    "this",
]


class Talker(Model):
    """Answers with about a hundred random words."""

    id, concurrency = "talker", 64

    async def respond(self, request: Request) -> Response:
        rng = random.Random(request.seed)
        refuses = "I'm sorry, but I can't help with that. " if rng.random() < 0.1 else ""
        return Response(refuses + " ".join(rng.choices(WORDS, k=100)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "do_not_answer_en.csv"
        rows = [f"{n},area {n % 5},harm {n % 12},What about thing number {n}?" for n in range(options.items)]
        data.write_text("id,risk_area,types_of_harm,question\n" + "\n".join(rows) + "\n", encoding="utf-8")
        spec = {"model": "talker", "suites": ["do-not-answer"], "identities": ["paper"], "data_dir": folder}
        started = time.perf_counter()
        done = evenhand.run(spec, Path(folder) / "study", model=Talker())
        ran = time.perf_counter()
        report = evenhand.write_report(Path(folder) / "study")
        written = time.perf_counter()
        print(f"{done.answered:,} responses in {ran - started:.1f} s; report in {written - ran:.1f} s, ", end="")
        print(f"{report.stat().st_size / 1e6:.1f} MB")
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("google-chrome")
            page = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).new_page()
            started = time.perf_counter()
            page.goto(report.as_uri())
            page.locator("body[data-charts=drawn]").wait_for(timeout=120_000)
            drawn = time.perf_counter()
            page.locator("body[data-transcripts=ready]").wait_for(timeout=120_000)
            ready = time.perf_counter()
            page.locator("#t-identity").select_option(label="a woman")
            page.locator("#t-count", has_text=f"{options.items:,} responses").wait_for()
            filtered = time.perf_counter()
        print(f"charts after {drawn - started:.1f} s, transcripts after {ready - started:.1f} s, ", end="")
        print(f"a filter takes {filtered - ready:.2f} s")


if __name__ == "__main__":
    main()

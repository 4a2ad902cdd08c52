"""Size and load time of the report of a large study, and of the page of ``evenhand view`` over it.

    python benchmarks/report_size.py [--identities 31] [--items 2000]

Needs playwright and a Chromium on the PATH. The answers are made up, about a hundred words each, and written straight
into the store: most differ.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from large_study import REFUSAL, fill, measured, spec_of
from playwright.sync_api import Page, sync_playwright

from evenhand.study import StudySpec
from evenhand.types import Response

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
CLI = [sys.executable, "-m", "evenhand.cli.main"]
WAIT_MS = 3_600_000
_TAKEN = [0.0]


def talk(rng: random.Random, refuses: bool) -> Response:
    """About a hundred random words."""
    return Response((f"{REFUSAL.text} " if refuses else "") + " ".join(rng.choices(WORDS, k=100)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=31)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="where the study stays; one that is there is not filled again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "study").exists():
            spec = StudySpec.parse(spec_of(folder, options.identities, options.items, 1))
            print(f"{fill(spec, folder / 'study', 0, talk):,} answers written", flush=True)
        seconds, cpu, peak, code = measured([*CLI, "report", str(folder / "study")], folder / "log.txt")
        assert code == 0, (folder / "log.txt").read_text()
        report = folder / "study" / "report.html"
        of_children()
        print(f"report in {seconds:.1f} s ({cpu:.1f} s of the processor), {peak:,.0f} MiB, ", end="")
        print(f"{report.stat().st_size / 1e6:.1f} MB", flush=True)
        with a_page() as page:
            look_at_report(page, report.as_uri())
        print(f"the browser and what drives it: {of_children():.1f} s of the processor", flush=True)
        with a_page() as page:
            look_at_view(page, folder)


@contextmanager
def a_page() -> Iterator[Page]:
    """A page of a browser of its own."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def of_children() -> float:
    """Seconds of the processor that children took which have ended since this was asked last."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    now = used.ru_utime + used.ru_stime
    before, _TAKEN[0] = _TAKEN[0], now
    return now - before


def look_at_report(page: Page, address: str) -> None:
    started = time.perf_counter()
    page.goto(address, timeout=WAIT_MS)
    page.locator("body[data-charts=drawn]").wait_for(timeout=WAIT_MS)
    drawn = time.perf_counter()
    page.locator("body[data-transcripts=ready]").wait_for(timeout=WAIT_MS)
    ready = time.perf_counter()
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    said = page.locator("#t-count").inner_text()
    page.locator("#t-identity").select_option(label="person number 7")
    page.wait_for_function("before => document.querySelector('#t-count').textContent !== before", arg=said)
    print(f"charts after {drawn - started:.1f} s, transcripts after {ready - started:.1f} s, ", end="")
    print(f"a filter takes {time.perf_counter() - ready:.2f} s; it says: {said}", flush=True)


def look_at_view(page: Page, folder: Path) -> None:
    command = [*CLI, "view", str(folder), "--no-browser"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        served = time.perf_counter()
        page.goto(address)
        page.locator("body[data-looked]").wait_for(timeout=WAIT_MS)
        looked, card = time.perf_counter(), so_far(server.pid)
        page.locator(".card .report").first.evaluate("link => link.removeAttribute('target')")
        page.locator(".card .report").first.click(timeout=WAIT_MS, no_wait_after=True)
        page.locator("body[data-transcripts=ready]").wait_for(timeout=WAIT_MS)
        print(f"view: served after {served - started:.1f} s, the study's card {looked - served:.1f} s later, ", end="")
        memory = Path(f"/proc/{server.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        print(f"its report {time.perf_counter() - looked:.1f} s after that; {int(memory) / 1024:,.0f} MiB, ", end="")
        print(f"{card:.1f} and {so_far(server.pid) - card:.1f} s of the processor")
        server.terminate()


def so_far(process: int) -> float:
    """Seconds of the processor that a process has taken."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

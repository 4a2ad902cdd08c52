"""Size and load time of the report of a large study, and of the pages of ``evenhand view`` over it.

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
    parser.add_argument("--only-view", action="store_true", help="leave out the report by itself")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "study").exists():
            spec = StudySpec.parse(spec_of(folder, options.identities, options.items, 1))
            print(f"{fill(spec, folder / 'study', 0, talk):,} answers written", flush=True)
        if not options.only_view:
            make_report(folder)
        with a_page() as page:
            look_at_view(page, folder)


def make_report(folder: Path) -> None:
    """Write the report by itself, and open it."""
    seconds, cpu, peak, code = measured([*CLI, "report", str(folder / "study")], folder / "log.txt")
    assert code == 0, (folder / "log.txt").read_text()
    report = folder / "study" / "report.html"
    of_children()
    print(f"report in {seconds:.1f} s ({cpu:.1f} s of the processor), {peak:,.0f} MiB, ", end="")
    print(f"{report.stat().st_size / 1e6:.1f} MB", flush=True)
    with a_page() as page:
        look_at_report(page, report.as_uri())
    print(f"the browser and what drives it: {of_children():.1f} s of the processor", flush=True)


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
    """Open what one opens there: the list, a report, two studies side by side, and what is to be labelled."""
    if not (folder / "copy").exists():
        shutil.copytree(folder / "study", folder / "copy")
    command = [*CLI, "view", str(folder), "--no-browser"]
    clock = Clock()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
        clock.tell("served", server.pid)
        page.goto(address)
        page.locator("body[data-looked]").wait_for(timeout=WAIT_MS)
        clock.tell("both studies listed", server.pid)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.said')].every(said => said.textContent && "
            "!said.textContent.startsWith('being analysed'))",
            timeout=WAIT_MS,
        )
        clock.tell("what they say", server.pid)
        study = page.locator(".card .report").first.get_attribute("href")
        page.goto(f"{address}{study}", timeout=WAIT_MS)
        clock.tell("something in the report's tab", server.pid)
        page.locator("body[data-transcripts=ready]").wait_for(timeout=WAIT_MS)
        clock.tell("the report with its transcripts", server.pid)
        page.goto(f"{address}{str(study).replace('study', 'label')}")
        page.locator("#classes button").first.wait_for(timeout=WAIT_MS)
        clock.tell("a response to label", server.pid)
        said = page.locator("#count").inner_text()
        page.locator("#classes button").first.click()
        page.wait_for_function(
            "said => document.querySelector('#count').textContent !== said", arg=said, timeout=WAIT_MS
        )
        clock.tell("a label given", server.pid)
        page.goto(address)
        page.locator("body[data-looked]").wait_for(timeout=WAIT_MS)
        ids = ",".join(card.get_attribute("href").split("/")[1] for card in page.locator(".card .report").all())  # type: ignore[union-attr]
        page.goto(f"{address}side?ids={ids}", timeout=WAIT_MS)
        clock.tell("something in the tab of both side by side", server.pid)
        page.locator("body[data-charts=drawn]").wait_for(timeout=WAIT_MS)
        clock.tell("both side by side", server.pid)
        server.terminate()


class Clock:
    """Tells how long each step took, and its server."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), 0.0

    def tell(self, what: str, server: int) -> None:
        now, cpu = time.perf_counter(), so_far(server)
        memory = int(Path(f"/proc/{server}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
        took = f"{now - self._wall:.1f} s, {cpu - self._cpu:.1f} s of the server's processor"
        print(f"view: {what}: {took}; it held {memory:,.0f} MiB at most so far", flush=True)
        self._wall, self._cpu = now, cpu


def so_far(process: int) -> float:
    """Seconds of the processor that a process has taken."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

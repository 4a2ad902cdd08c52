"""A report as a PDF, printed by a Chromium that is there."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from evenhand.errors import SpecError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_SECONDS = 180
# Charts are drawn after the page is loaded: the browser's clock runs on by so much, as fast as it can.
_DRAWING_MS = 60_000


def browser() -> str | None:
    """The path of a browser that can print; None without one."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def write_pdf(page: Path, target: Path) -> Path:
    """Print a report with all of its parts unfolded.

    Args:
        page: the report.
        target: the PDF.

    Raises:
        SpecError: there is no Chromium, or it did not print.
    """
    program = browser()
    if program is None:
        raise SpecError("There is no Chromium or Chrome to print with.", f"Open {page} and print it from your browser.")
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="evenhand-print-") as profile:
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--no-pdf-header-footer", f"--virtual-time-budget={_DRAWING_MS}", f"--print-to-pdf={target.absolute()}",
            f"{page.absolute().as_uri()}#print",
        ]  # fmt: skip
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - a fixed command
    if not target.exists():
        raise SpecError(f"{program} did not print {page}.", "Open it and print it from your browser.")
    return target

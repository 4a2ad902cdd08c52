"""Errors a user can cause or fix. The command line shows them in one line, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from evenhand.visible import printable


class EvenhandError(Exception):
    """Base of every error evenhand raises on purpose.

    Args:
        problem: what was wrong, and where.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        # Both quote what users and servers wrote, which may hold line breaks and codes that a terminal obeys.
        self.problem: str = printable(problem)
        self.fix: str = printable(fix)
        super().__init__(f"{self.problem} {self.fix}".strip())


class SpecError(EvenhandError):
    """A value the user gave (command line, TOML file, API call) is not valid."""

    exit_code = 2


class DataError(EvenhandError):
    """A suite's or catalogue's data is missing or malformed."""

    exit_code = 3


class ModelError(EvenhandError):
    """A model could not be loaded, or an endpoint refuses every call."""

    exit_code = 4


class StoreError(EvenhandError):
    """A study's store is locked, damaged, newer than this version, or does not fit the request."""

    exit_code = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known names, or lists the first dozen of all."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {listed}." if names else ""


def one_line(text: str) -> str:
    """What somebody else's code or server said, fit for a message: at most 300 characters, without line breaks."""
    return printable(text)[:300]

"""What is missing, as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.missing import FILTERED, SuiteMissing, mostly_unanswered, unanswered_sentence
from evenhand.report.words import confidence, interval, p_value


def unanswered_lines(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """What to say of suites whose answers are largely empty or cut.

    Args:
        counts: suite -> such responses, and all its responses.
    """
    return [unanswered_sentence(suite, *found) for suite, found in counts.items() if mostly_unanswered(*found)]


def classes(suite: SuiteMissing) -> list[str]:
    """What is missing or was declined in a suite, the commonest first."""
    counts: dict[str, int] = {}
    for share in suite.shares:
        for name, n in share.counts.items():
            counts[name] = counts.get(name, 0) + n
    return sorted(counts, key=lambda name: -counts[name])


def share(count: int, asked: int) -> str:
    """A number of trials with its share: "51 (39 %)"."""
    return f"{count:,} ({100 * count / asked:.0f} %)" if count else "0"


def tested(suite: SuiteMissing, name: str) -> str:
    """How a class's test came out: "p < 0.001"."""
    test = suite.difference(name)
    if test is None or not math.isfinite(test.adjusted):
        return ""
    value = p_value(test.adjusted)
    return f"p {value}" if value.startswith("<") else f"p = {value}"


def missing_tables(analysis: Analysis) -> list[RenderableType]:
    """Per suite the shares of each class per identity; what the results are between. Nothing where none is missing."""
    parts: list[RenderableType] = [_shares(s) for s in analysis.missing.suites if classes(s)]
    if (bounds := analysis.missing.bounds) is not None:
        table = Table(title="Whatever the missing answers were", title_justify="left", caption_justify="left")
        table.caption = "Missing scores filled with 0 to 100 so that each number is smallest and largest."
        table.add_column("")
        for column in ("from, to", f"with the {confidence(analysis)} interval"):
            table.add_column(column, justify="right")
        for name, pb in bounds.pb.items():
            table.add_row(f"{name}: PB, plug-in", interval(bounds.plugin[name], 2), "")
            table.add_row(f"{name}: PB, corrected", interval(pb.value, 2), interval(pb.ci, 2))
        for axis, found in bounds.axes.items():
            table.add_row(f"{axis}: gap", interval(found.gap.value, 2), interval(found.gap.ci, 2))
            table.add_row(f"{axis}: lowest score", interval(found.lowest.value, 2), interval(found.lowest.ci, 2))
        parts.append(table)
    return parts


def _shares(suite: SuiteMissing) -> Table:
    names = classes(suite)
    table = Table(title=f"Missing or declined: {suite.suite}", title_justify="left", caption_justify="left")
    table.caption = "p: whether it is as common for all identities. Filtered answers are scored as refusals."
    if FILTERED not in names:
        table.caption = "p: whether it is as common for all identities."
    table.add_column("identity")
    for name in ("asked", "missing", *names):
        table.add_column(name, justify="right")
    for found in suite.shares:
        counts = [share(found.counts.get(name, 0), found.asked) for name in names]
        table.add_row(Text(found.identity), f"{found.asked:,}", share(found.missing, found.asked), *counts)
    table.add_row("all alike?", "", tested(suite, "missing"), *(tested(suite, n) for n in names), style="bold")
    return table

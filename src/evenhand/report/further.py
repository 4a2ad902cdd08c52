"""Scores of suites whose judges give several, side by side for the personalizers."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis import Analysis
from evenhand.report.conditions import shown
from evenhand.report.words import MISSING, confidence, interval, points

TITLE = "What the conversations were like (points, 0-100)"
CAPTION = (
    "± without: against the same identities without the user's data, paired by item; * q < 0.05. PB: corrected, among "
    "the identities. Efficiency is 100 where the first answer satisfied, 67 the second, 33 the third, 0 none: the "
    "answers that it took are 4 − 3 × efficiency / 100, where a conversation that satisfied nobody counts as 4."
)


def columns(analysis: Analysis) -> tuple[str, ...]:
    """The names of the columns of :func:`rows`."""
    sure = confidence(analysis)
    return ("suite", "score", "personalizer", "points", "± without", f"{sure} interval", "PB", f"{sure} interval of PB")


def rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """One line per suite, score and personalizer, as :func:`columns` has them."""
    found: list[tuple[str, ...]] = []
    for score in analysis.further:
        for condition in score.conditions:
            pb = condition.pb.get("fit")
            change = shown(condition.change.get("fit"))
            bias = (points(pb.corrected), interval(pb.ci)) if pb else (MISSING, "")
            name = condition.personalizer
            found.append((score.suite, score.what, name, points(condition.scores["fit"]), *change, *bias))
    return found


def further_table(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where no judge of the study gives several scores."""
    if not analysis.further:
        return []
    table = Table(title=TITLE, title_justify="left", caption=CAPTION, caption_justify="left")
    for number, name in enumerate(columns(analysis)):
        table.add_column(name, justify="left" if number < 3 else "right")
    for cells in rows(analysis):
        table.add_row(*cells)
    return [table]

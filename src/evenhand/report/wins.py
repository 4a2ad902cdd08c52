"""Who wins where the user pushes against what the provider wants, as a table and in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from evenhand.analysis.label_rates import EVERYBODY
from evenhand.analysis.wins import WinRate
from evenhand.report.words import MISSING, interval, points, starred

TITLE = "Who wins where the user pushes: conflict win rate"
COLUMNS = ("personalizer", "identity", "win rate (%)", "interval", "questions", "change", "interval of the change")
# Of these, how many hold words.
WORDS = 2


def rows(wins: Sequence[WinRate]) -> list[tuple[str, ...]]:
    """A cell for each of :data:`COLUMNS`, all identities of a personalizer together first."""
    several = len({win.suite for win in wins}) > 1
    return [
        (
            f"{win.suite}: {win.personalizer}" if several else win.personalizer,
            win.identity or "all identities",
            points(win.rate),
            interval(win.ci),
            str(win.questions),
            starred(win.change) if win.change else MISSING,
            interval(win.change.ci) if win.change else MISSING,
        )
        for win in wins
    ]


def caption(wins: Sequence[WinRate]) -> str:
    """What the table is about."""
    against = next((win.against for win in wins if win.against), "")
    told = "The win rate is how often the answer keeps to what the provider wants although the user says it need not."
    if not against:
        return told
    than = "the study before" if against == "before" else f"the same identity through {against}"
    return f"{told} Change: from {than}, paired by question, in points; * q < 0.05 among the identities."


def wins_table(wins: Sequence[WinRate]) -> list[Table]:
    """For the terminal; empty where nobody pushes."""
    if not wins:
        return []
    table = Table(title=TITLE, title_justify="left", caption=caption(wins), caption_justify="left")
    for n, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if n < WORDS else "right")
    for row in rows(wins):
        table.add_row(*map(Text, row))
    return [table]


def lines(wins: Sequence[WinRate]) -> list[str]:
    """How often the provider wins for all identities together, a sentence per personalizer."""
    return [
        f"{win.suite}, {win.personalizer}: where the user pushes, the provider wins in {points(win.rate)} % of answers "
        f"({interval(win.ci)}, {win.questions} questions){_changed(win)}."
        for win in wins
        if win.identity == EVERYBODY
    ]


def _changed(win: WinRate) -> str:
    if win.change is None:
        return ""
    than = "before" if win.against == "before" else f"through {win.against}"
    return f", {starred(win.change)} points from {than} ({interval(win.change.ci)})"

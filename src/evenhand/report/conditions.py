"""Personalizers side by side: what the user's data brings and what it costs, as a table and in words."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis import Analysis
from evenhand.analysis.conditions import NOTHING, Condition
from evenhand.analysis.deviations import Contrast
from evenhand.report.words import MISSING, axes_of, interval, points, starred

# A number, and its interval where it has one.
Cell = tuple[str, str]


def columns(analysis: Analysis) -> list[str]:
    """The names of the columns of :func:`rows`."""
    names = {"fit": "gain"}
    return [part for axis in _axes(analysis) for part in (axis, names.get(axis, "± without"), f"PB {axis}")]


def rows(analysis: Analysis) -> list[tuple[str, list[Cell]]]:
    """Per personalizer each axis's score, its difference from without the user's data, and its bias; fit first."""
    return [
        (c.personalizer, [cell for axis in _axes(analysis) for cell in _cells(c, axis)]) for c in analysis.conditions
    ]


def caption(analysis: Analysis) -> str:
    """What the table is about."""
    without = analysis.conditions[0].without
    what = {
        NOTHING: "the identity alone (personalizer none)",
        "": "nothing: the study has no condition without the user's data",
    }.get(without, f"nobody in particular (baseline {without})")
    return (
        f"Gain, and ± without: against {what}, paired by item, with the {round(100 * analysis.level)} % interval; "
        "* q < 0.05. Gain is what personalization is for. PB: corrected, among the identities."
    )


PRICE_TITLE = "What it takes"
PRICE_COLUMNS = ("given away", "more than untold", "calls an answer", "seconds an answer", "calls to learn a user")
PRICE_NOTE = (
    "Given away: % of answers with a sensitive fact that the question did not need (suite leakage), and what that is "
    "more than is said by chance, with its interval. Seconds: of the model, a batch's shared among "
    "its answers. Learning counts what is asked about an item, too."
)


def price_rows(analysis: Analysis) -> list[tuple[str, list[Cell]]]:
    """Per personalizer what it gives away and what it takes: leakage, calls and seconds."""
    return [(c.personalizer, _price(c)) for c in analysis.conditions]


def conditions_table(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where the study has nothing to set side by side."""
    if not analysis.conditions:
        return []
    title, note = "What the user's data does (points, 0-100)", caption(analysis)
    table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
    table.add_column("personalizer")
    for name in columns(analysis):
        table.add_column(name, justify="right")
    for name, cells in rows(analysis):
        table.add_row(name, *map(_stacked, cells))
    price = Table("personalizer", title=PRICE_TITLE, title_justify="left", caption=PRICE_NOTE, caption_justify="left")
    for name in PRICE_COLUMNS:
        price.add_column(name, justify="right")
    for name, cells in price_rows(analysis):
        price.add_row(name, *map(_stacked, cells))
    return [table, price]


def _stacked(cell: Cell) -> str:
    return "\n".join(part for part in cell if part)


def _price(condition: Condition) -> list[Cell]:
    leak, effort = condition.leak, condition.effort
    answers = effort.answers if effort else 0
    each = (effort.calls / answers, effort.seconds / answers) if effort and answers else (None, None)
    learning = effort.learning_calls / effort.memories if effort and effort.memories else None
    return [
        (points(leak.rate) if leak else MISSING, ""),
        shown(leak.more if leak else None),
        *((points(value), "") for value in (*each, learning)),
    ]


def _axes(analysis: Analysis) -> list[str]:
    run = [axis for axis in axes_of(analysis) if any(axis in c.scores for c in analysis.conditions)]
    return sorted(run, key=lambda axis: axis != "fit")


def _cells(condition: Condition, axis: str) -> tuple[Cell, Cell, Cell]:
    pb = condition.pb.get(axis)
    bias = (points(pb.corrected), interval(pb.ci)) if pb else (MISSING, "")
    return (points(condition.scores.get(axis)), ""), shown(condition.change.get(axis)), bias


def shown(change: Contrast | None) -> Cell:
    """A difference and its interval; missing without one."""
    if change is None:
        return MISSING, ""
    return starred(change), interval(change.ci)

"""Unpaired answers: how far apart identities are, with the words that this can carry."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis import Analysis
from evenhand.analysis.unpaired import Unpaired, UnpairedMean
from evenhand.report.words import interval, p_value, points, signed

COLUMNS = ("identity", "answers", "people", "raw", "interval", "balanced", "interval", "± mean", "interval", "worth")
TITLE = "{suite}, {axis}: what different people got for their own questions (points, 0-100)"
CAPTION = (
    "People: or conversations, whichever the answers name. Raw: as it is; balanced: weighed so that what is named "
    "above is alike for all identities. * differs from the mean over identities at q < 0.05. "
    "Worth: so many answers the balanced mean rests on."
)


def sentence(found: Unpaired) -> str:
    """What a suite's unpaired answers say."""
    tested = f"95 % interval {interval(found.ci)}, p {p_value(found.p_value)}"
    if found.p_value > 0.05:
        return f"{found.suite}: no difference between identities is shown; it is at most {points(found.ci[1])} points."
    worst, best = found.identities[0], found.identities[-1]
    return (
        f"{found.suite}: identities lie {points(found.disparity)} points apart ({tested}), "
        f"from {worst.identity} ({points(worst.mean)}) to {best.identity} ({points(best.mean)})."
    )


def cells(row: UnpairedMean) -> tuple[str, ...]:
    """One line of the table, as :data:`COLUMNS` has them."""
    star = "*" if row.q_value < 0.05 else ""
    return (
        row.identity,
        f"{row.answers:,}",
        f"{row.clusters:,}",
        points(row.raw),
        interval(row.raw_ci),
        points(row.mean),
        interval(row.ci),
        signed(row.deviation) + star,
        interval(row.deviation_ci),
        f"{row.worth:,.0f}",
    )


def title(found: Unpaired) -> str:
    """What a suite's table shows."""
    return TITLE.format(suite=found.suite, axis=found.axis)


def notes(analysis: Analysis) -> list[str]:
    """What must be said before any number, once each."""
    return list(dict.fromkeys(note for found in analysis.unpaired for note in found.notes))


def unpaired_tables(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where the answers are paired."""
    tables = []
    for found in analysis.unpaired:
        table = Table(title=title(found), title_justify="left", caption=CAPTION, caption_justify="left")
        for number, name in enumerate(COLUMNS):
            table.add_column(name, justify="right" if number else "left")
        for row in found.identities:
            table.add_row(*cells(row))
        tables.append(table)
    return tables

"""What another wording of the same questions changes, such as a dialect: as a table and in words."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis import Analysis
from evenhand.analysis.wordings import WordingGap
from evenhand.report.words import MISSING, confidence, interval, points, signed, starred

COLUMNS = ("wording", "questions", "standard", "this wording", "± standard", "interval", "nobody in particular")
_CLEAR = 0.05


def rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """Per suite or axis and wording: its name, and a cell for each of :data:`COLUMNS`."""
    return [
        (
            _where(gap),
            gap.wording,
            str(gap.questions),
            *map(points, gap.scores),
            starred(gap.difference),
            interval(gap.difference.ci),
            f"{starred(gap.nobody)} ({interval(gap.nobody.ci)})" if gap.nobody else MISSING,
        )
        for gap in analysis.wordings
    ]


def caption(analysis: Analysis) -> str:
    """What the table is about."""
    return (
        f"± standard: the mean over the identities, paired by question, with the {confidence(analysis)} interval; "
        "nobody in particular: the same for the baseline alone; * q < 0.05. All suites of an axis count alike."
    )


def wordings_table(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where no question was asked in several wordings."""
    if not analysis.wordings:
        return []
    note = caption(analysis)
    table = Table(title="The same questions in other words", title_justify="left", caption=note, caption_justify="left")
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "wording" else "right")
    for row in rows(analysis):
        table.add_row(*row)
    return [table]


def lines(analysis: Analysis) -> list[str]:
    """What each wording costs, and for whom that is clearly more or less, a sentence each."""
    return [line for gap in analysis.wordings for line in (_costs(gap), *_for_whom(gap))]


def _costs(gap: WordingGap) -> str:
    value, ends = gap.difference.value, interval(gap.difference.ci)
    more = "lower" if value < 0 else "higher"
    than = f"{points(abs(value))} points {more} than" if points(abs(value)) != points(0.0) else "the same as"
    sure = "" if gap.difference.q_value < _CLEAR else "; within noise"
    told = f"{_where(gap)}: questions in {gap.wording} score {than} those in the standard wording"
    return f"{told} ({ends}, paired over {gap.questions} questions{sure})."


def _for_whom(gap: WordingGap) -> list[str]:
    if not gap.changes:
        return []
    clear = {name: c for name, c in gap.changes.items() if c.q_value < _CLEAR}
    if not clear:
        most = max(gap.changes, key=lambda name: abs(gap.changes[name].value))
        change = f"{signed(gap.changes[most].value)} ({interval(gap.changes[most].ci)})"
        return [f"{_where(gap)}: no identity clearly changes that; the largest change is {change}, for {most}."]
    return [
        f"{_where(gap)}: for {name} the difference is {signed(c.value)} points ({interval(c.ci)}) from that of the "
        f"baseline {gap.baseline}."
        for name, c in clear.items()
    ]


def _where(gap: WordingGap) -> str:
    return gap.suite or gap.axis

"""Labels per identity, and judge-free contrasts of open answers, as terminal tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.open_answers import OpenMeasure
from evenhand.report import words

_TITLES = {
    "words": "Length of answers",
    "reading_grade": "Reading level of English answers (Flesch-Kincaid)",
    "similarity": "Likeness to the baseline's answers",
}


def label_tables(analysis: Analysis) -> Iterator[Table]:
    """Per suite, how many of an identity's answers the judge gave each label: refused, or wrong?"""
    for suite in analysis.suites:
        table = Table("identity", title=f"Labels: {suite.suite}", title_justify="left")
        for label in suite.labels:
            table.add_column(Text(label), justify="right")
        for identity, counts in suite.identity_labels.items():
            table.add_row(Text(identity), *(str(counts.get(label, 0)) for label in suite.labels))
        yield table


def open_tables(analysis: Analysis) -> Iterator[Table | Text]:
    """How answers differ without asking which is better."""
    if not analysis.open_answers:
        yield Text("No suite has whole answers in words to compare.")
    for measure in analysis.open_answers:
        yield _open_table(measure, words.confidence(analysis))
    if analysis.showings:
        yield _showing_table(analysis)


def _showing_table(analysis: Analysis) -> Table:
    """How often identities show in answers to questions that did not bring them up."""
    table = Table("suite", "personalizer", "identity", title="The identity in the answers (%)", title_justify="left")
    for name in ("says it", "said untold", "difference", f"{words.confidence(analysis)} interval", "items"):
        table.add_column(name, justify="right")
    for found in analysis.showings:
        row = (found.suite, found.personalizer, found.identity, words.points(found.rate), words.points(found.elsewhere))
        table.add_row(*map(Text, (*row, *_cells(found.more, 1), str(found.items))))
    table.caption = (
        "Answers with the identity's words to questions without them, beside those of other users. * q < 0.05."
    )
    table.caption_justify = "left"
    return table


def _open_table(found: OpenMeasure, sure: str) -> Table:
    digits = 3 if found.measure == "similarity" else 1
    named = _TITLES.get(found.measure) or f"{found.measure.capitalize()} of answers"
    table = Table("identity", title=f"{named}: {found.suite} ({found.unit})", title_justify="left")
    against = f"± {found.baseline}" if found.baseline else "± baseline"
    for name in ("mean", "± mean of identities", f"{sure} interval", against, f"{sure} interval", "items"):
        table.add_column(name, justify="right")
    for result in found.identities:
        cells = [*_cells(result.deviation, digits), *_cells(result.against, digits)]
        table.add_row(Text(result.identity), words.points(result.mean, digits), *cells, str(result.items))
    caption = "* q < 0.05 among the identities of this table."
    if found.measure == "similarity":
        caption += " The last row is how like each other the baseline's own answers to an item are."
    if found.how:
        caption += f" {found.how}"
    if found.baseline:
        table.add_row(found.baseline, words.points(found.baseline_mean, digits), *[words.MISSING] * 5, style="dim")
    table.caption, table.caption_justify = caption, "left"
    return table


def _cells(contrast: Contrast | None, digits: int) -> tuple[str, str]:
    if contrast is None:
        return words.MISSING, words.MISSING
    return words.starred(contrast, digits), words.interval(contrast.ci, digits)

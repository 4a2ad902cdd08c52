"""What is the identity's, and what the wording's: where a question tells the identity in one of several ways."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.summary import SuiteResult
from evenhand.analysis.ways import IdentityWays, Told, WaysResult
from evenhand.report.words import MISSING, p_value, points, signed

COLUMNS = ("suite", "personalizer", "ways", "PB over all ways", "PB told in one way", "wording's share", "p")
CAPTION = (
    "Corrected. PB over all ways is the identity's; the other is what a study with one wording would usually find. "
    "Share: of the square of that. p: test that the ways do nothing."
)
TOLD = ("suite", "personalizer", "identity", "spread between ways", "lowest in", "± mean", "highest in", "± mean")
TOLD_CAPTION = (
    "Spread: standard deviation of what the ways do, without the noise of the items. The extremes of many are partly "
    "luck: what is shown is drawn towards the identity's own deviation by as much as is noise."
)


def there(analysis: Analysis) -> bool:
    """Whether any identity was told in several ways."""
    return any(suite.ways for suite in analysis.suites)


def rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """One per suite and personalizer, in the order of :data:`COLUMNS`."""
    return [
        (
            suite.suite,
            found.personalizer,
            str(found.ways),
            points(found.pb, 2),
            points(found.single, 2),
            f"{100 * found.share:.0f} %" if found.single > 0 else MISSING,
            p_value(found.p_value),
        )
        for suite, found in _each(analysis)
    ]


def told(analysis: Analysis) -> list[tuple[str, ...]]:
    """One per suite, personalizer and identity, in the order of :data:`TOLD`."""
    return [
        (
            suite.suite,
            found.personalizer,
            who.identity,
            points(who.spread),
            *_told(who.lowest),
            *_told(who.highest),
        )
        for suite, found in _each(analysis)
        for who in found.identities
    ]


def ways_tables(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where there is one way."""
    if not there(analysis):
        return []
    table = Table(title="The identity, or the wording (points, 0-100)", title_justify="left", caption=CAPTION)
    table.caption_justify = "left"
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    for row in rows(analysis):
        table.add_row(*map(Text, row))
    return [table]


def ways_lines(analysis: Analysis) -> list[str]:
    """What the wording does where it does something, and to whom most; a sentence each."""
    lines = []
    for suite, found in _each(analysis):
        if not found.p_value <= 0.05:
            continue
        where = f"{suite.suite}, {found.personalizer}"
        if suite.pb.p_value > 0.05:
            lines.append(
                f"{where}: identities differ by how they are told (p {p_value(found.p_value)}), and no bias is seen "
                "that holds over the ways: what one wording would show is the wording's."
            )
        most = max(found.identities, key=lambda who: who.spread)
        if most.spread > 0:
            lines.append(f"{where}: {_sentence(most)}")
    return lines


def _sentence(who: IdentityWays) -> str:
    ends = " to ".join(f'{deviation} ("{way}")' for way, deviation in (_told(who.lowest), _told(who.highest)))
    return f"{who.identity} varies most between ways, by {points(who.spread)} points: from {ends} against the mean."


def _told(found: Told | None) -> tuple[str, str]:
    return (found.way, signed(found.deviation)) if found else (MISSING, MISSING)


def _each(analysis: Analysis) -> Iterator[tuple[SuiteResult, WaysResult]]:
    return ((suite, found) for suite in analysis.suites for found in suite.ways)

"""What answers tell of users: rates of labels, and sensitive facts given away, as terminal tables and for the page."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.label_rates import EVERYBODY, LabelRate
from evenhand.analysis.pooled import Pooled
from evenhand.analysis.showing import Showing
from evenhand.leaking import EVERYBODY as ALL_LEAKS
from evenhand.report import words

LEAKS_TITLE = "Sensitive facts given away (% of answers)"
LEAKS_NOTE = (
    "Untold: the same requests from users of whom the assistant was told nothing (none, placebo or a baseline): what "
    "is said by chance. The difference is paired by item and counts people. * q < 0.05 among all identities."
)

POOLED_TITLE = "F1 over all answers (precision / recall)"
POOLED_NOTE = (
    "Counted over all answers together, as papers report it; the scores above are means over items, with intervals."
)

# Suite and personalizer, labels, and per identity the cells of its row.
Rates = tuple[str, str, list[str], list[tuple[str, list[str]]]]


def rates(analysis: Analysis) -> Iterator[Rates]:
    """Per suite and personalizer, each identity's rates with their intervals; all identities together come first."""
    found: dict[tuple[str, str], dict[str, dict[str, LabelRate]]] = {}
    for rate in analysis.label_rates:
        found.setdefault((rate.suite, rate.personalizer), {}).setdefault(rate.identity, {})[rate.label] = rate
    for (suite, personalizer), identities in found.items():
        labels = list(dict.fromkeys(label for held in identities.values() for label in held))
        ordered = sorted(identities, key=lambda identity: identity != EVERYBODY)
        yield (
            suite,
            personalizer,
            labels,
            [(who or "all identities", [_rate(identities[who].get(label)) for label in labels]) for who in ordered],
        )


def rate_tables(analysis: Analysis) -> Iterator[Table]:
    """How often answers got the labels that tell more than their scores, for the terminal."""
    for suite, personalizer, labels, lines in rates(analysis):
        title = f"Rates of labels: {suite}, {personalizer} (%, {words.confidence(analysis)} interval)"
        table = Table("identity", title=title, title_justify="left")
        for label in labels:
            table.add_column(Text(label), justify="right")
        for who, cells in lines:
            table.add_row(Text(who), *cells)
        yield table


def pooled_f1(analysis: Analysis) -> Iterator[Rates]:
    """Per suite and personalizer, each identity's F1 over all answers, of all kinds of things and of each."""
    found: dict[tuple[str, str], dict[str, dict[str, Pooled]]] = {}
    for one in analysis.pooled:
        found.setdefault((one.suite, one.personalizer), {}).setdefault(one.identity, {})[one.kind] = one
    for (suite, personalizer), identities in found.items():
        kinds = list(dict.fromkeys(kind for held in identities.values() for kind in held))
        lines = [(who, [_f1(held.get(kind)) for kind in kinds]) for who, held in identities.items()]
        yield suite, personalizer, kinds, lines


def _f1(one: Pooled | None) -> str:
    if one is None or one.f1 is None:
        return words.MISSING
    shares = (words.MISSING if share is None else words.points(share) for share in (one.precision, one.recall))
    return f"{words.points(one.f1)} ({' / '.join(shares)})"


def pooled_tables(analysis: Analysis) -> Iterator[Table]:
    """F1 over all answers, for the terminal."""
    for suite, personalizer, kinds, lines in pooled_f1(analysis):
        table = Table("identity", title=f"{POOLED_TITLE}: {suite}, {personalizer}", title_justify="left")
        for kind in kinds:
            table.add_column(Text(kind), justify="right")
        for who, cells in lines:
            table.add_row(Text(who), *cells)
        table.caption, table.caption_justify = POOLED_NOTE, "left"
        yield table


def leak_lines(analysis: Analysis, *, all_identities: bool) -> list[list[str]]:
    """Suite, personalizer, identity, given away, untold, difference, interval, items; each, or all together."""
    return [_leak(leak) for leak in analysis.leaks if all_identities or leak.identity == ALL_LEAKS]


def leak_table(analysis: Analysis, *, all_identities: bool = False) -> list[Table]:
    """For the terminal; empty where the study does not ask for it."""
    lines = leak_lines(analysis, all_identities=all_identities)
    if not lines:
        return []
    table = Table("suite", "personalizer", "identity", title=LEAKS_TITLE, title_justify="left")
    for name in ("given away", "untold", "difference", f"{words.confidence(analysis)} interval", "items"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*map(Text, line))
    table.caption, table.caption_justify = LEAKS_NOTE, "left"
    return [table]


def _rate(rate: LabelRate | None) -> str:
    return f"{words.points(rate.rate)} ({words.interval(rate.ci)})" if rate else words.MISSING


def _leak(leak: Showing) -> list[str]:
    return [
        *(leak.suite, leak.personalizer, leak.identity, words.points(leak.rate), words.points(leak.elsewhere)),
        *(words.starred(leak.more), words.interval(leak.more.ci), str(leak.items)),
    ]

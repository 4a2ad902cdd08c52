"""What a search in answers that were there found, in words and a table."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis.found import Found, SearchResult
from evenhand.report import words
from evenhand.report.search import how_far, missing_labels

# What is searched in -> what more and less of it is called.
_LESS, _MORE = "points less", "points more"
_CALLED = {
    "scores": (_LESS, _MORE),
    "judge-errors": ("points lower, beside what people say,", "points higher, beside what people say,"),
    "judge-agreement": ("points less agreement with people", "points more agreement with people"),
}


def table_sentences(found: SearchResult) -> list[str]:
    """The outcome as a person would say it: what is missing, what was found, then all that must be known of it.

    Where those who match and the others were not asked the same, that comes before any number.
    """
    told = [_sentence(one, found) for one in found.confirmed]
    tested = len(found.found)
    said = f"{found.candidates:,} combinations that occur, {tested} stood out and {'was' if tested == 1 else 'were'}"
    if not told:
        told.append(f"Nothing was confirmed: of {said} tested on fresh answers." if tested else _nobody(found))
    before = 0 if found.paired else 1
    return [*found.remarks[:before], *missing_sentences(found), *told, *found.remarks[before:]]


def missing_sentences(found: SearchResult) -> list[str]:
    """What has no score, by its label."""
    count = sum(found.missing.values())
    return [f"{count:,} answers have no score and are left out ({missing_labels(found.missing)})."] if count else []


def fresh_table(found: SearchResult) -> Table:
    """Everything that was tested."""
    table = Table(
        "who", "exploring", "fresh answers", "means", "rests on", "p (Holm)", "",
        title="Whom exploring pointed at, and what fresh answers say",
        caption="Points of those who match less those of the others. Exploring: drawn towards zero, and too large all "
        "the same for the best of many. Fresh answers: intervals hold for all rows at once.",
    )  # fmt: skip
    for one in found.found:
        finding = one.finding
        table.add_row(
            one.who,
            words.signed(one.expected[0]),
            f"{words.signed(finding.difference)} ({' to '.join(words.signed(end) for end in finding.interval)})",
            f"{words.points(one.mean)} / {words.points(one.other_mean)}",
            f"{finding.items:,}" + (f" ({one.missing:,} answers missing)" if one.missing else ""),
            words.p_value(finding.adjusted),
            "confirmed" if finding.confirmed else "not shown",
        )
    return table


def _sentence(one: Found, found: SearchResult) -> str:
    finding = one.finding
    low, high = how_far(finding)
    called = _CALLED[found.of][0 if finding.difference < 0 else 1]
    return (
        f"{one.who[:1].upper()}{one.who[1:]}: {words.points(abs(finding.difference))} {called} ({words.points(low)} to "
        f"{words.points(high)}) than the others. Found among {found.candidates:,} combinations that occur, confirmed "
        f"on {finding.items:,} fresh {_rests_on(found)} (p {_with_sign(words.p_value(finding.adjusted))} after Holm)."
    )


def _rests_on(found: SearchResult) -> str:
    return "questions" if found.paired else "people or conversations" if found.of == "scores" else "people or questions"


def _with_sign(p_value: str) -> str:
    return p_value if p_value.startswith("<") else f"= {p_value}"


def _nobody(found: SearchResult) -> str:
    return f"Nobody stood out among {found.candidates:,} combinations that occur, so nothing was tested."

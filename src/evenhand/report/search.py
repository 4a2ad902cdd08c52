"""What a search found, in words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table

from evenhand.analysis.found import Found, SearchResult
from evenhand.analysis.subgroups import Finding
from evenhand.report import words

_MUCH_MISSING = 0.05
FINDINGS = ("who", "exploring", "fresh items", "scores of both", "items", "p (Holm)", "")
FINDINGS_CAPTION = (
    "Points less or more than others of whom the same kinds of things are said. Exploring: drawn towards zero, and too "
    "large all the same for the best of many. Fresh items: intervals hold for all rows at once."
)
CONDITIONS = ("what is said", "mean score", "'as found' beside it", "items")
CONDITIONS_CAPTION = (
    "Nothing but this is said of the user, on third items. 'Another instead': other levels of the same kinds."
)


def search_sentences(found: SearchResult) -> list[str]:
    """The outcome as a person would say it: what is missing first, then what was found, or what was not."""
    told = [missing_sentence(found.missing, sum(found.calls.values()))] if found.missing else []
    if found.stopped:
        return [*told, "Stopped before its end: nothing is confirmed yet."]
    confirmed = found.confirmed
    told += [finding_sentence(one, found) for one in confirmed]
    if not confirmed:
        told.append(nothing_sentence(found))
    return told


def missing_sentence(missing: Mapping[str, int], asked: int) -> str:
    """What has no score; a warning where it is much."""
    count = sum(missing.values())
    much = (
        " What is missing for a reason may hide, or look like, a difference." if count > _MUCH_MISSING * asked else ""
    )
    return f"{count:,} of {asked:,} answers have no score and are left out ({missing_labels(missing)}).{much}"


def missing_labels(missing: Mapping[str, int]) -> str:
    """Labels of what has no score, with their counts, the most frequent first."""
    return ", ".join(f"{n:,} {label}" for label, n in sorted(missing.items(), key=lambda pair: -pair[1]))


def how_far(finding: Finding) -> tuple[float, float]:
    """The interval of a difference as a person says it: so many points fewer, or more."""
    low, high = finding.interval
    return (-high, -low) if finding.difference < 0 else (low, high)


def finding_sentence(one: Found, found: SearchResult) -> str:
    """One finding: how much, how sure, found among how many, confirmed on what."""
    low, high = how_far(one.finding)
    more = "fewer" if one.finding.difference < 0 else "more"
    return (
        f"{_capital(one.who)}: {words.points(abs(one.finding.difference))} points {more} ({words.points(low)} to "
        f"{words.points(high)}) than others of whom the same kinds of things are said. Found among "
        f"{found.candidates:,} combinations, confirmed on {one.finding.items:,} fresh items "
        f"(p after Holm: {words.p_value(one.finding.adjusted)})."
    )


def nothing_sentence(found: SearchResult) -> str:
    """What a search that confirmed nothing may say, and what it may not."""
    if not found.found:
        return (
            f"Nobody stood out among {found.candidates:,} combinations in {found.calls['explore']:,} calls, so nothing "
            "was asked to confirm it. Smaller differences, and rarer combinations, are not excluded."
        )
    worst = max(max(abs(end) for end in one.finding.interval) for one in found.found)
    return (
        f"Nothing was confirmed: of {found.candidates:,} combinations the {len(found.found)} that stood out do not "
        f"differ beyond noise on fresh items (differences up to {words.points(worst)} points are not excluded for "
        "them, and more for the others)."
    )


def findings_table(found: SearchResult) -> Table:
    """Everything that was to be confirmed."""
    title = "Whom exploring pointed at, and what fresh items say"
    table = Table(*FINDINGS, title=title, caption=FINDINGS_CAPTION)
    for row in findings_rows(found):
        table.add_row(*row)
    return table


def findings_rows(found: SearchResult) -> list[tuple[str, ...]]:
    """The same, as texts under ``FINDINGS``."""
    return [
        (
            one.who,
            words.signed(one.expected[0]),
            _with_interval(one.finding.difference, one.finding.interval),
            f"{words.points(one.mean)} / {words.points(one.other_mean)}",
            f"{one.finding.items}" + (f" ({one.missing} pairs missing)" if one.missing else ""),
            words.p_value(one.finding.adjusted),
            "confirmed" if one.finding.confirmed else "not shown",
        )
        for one in found.found
    ]


def conditions_table(one: Found) -> Table:
    """Which part of a description does it."""
    title = f"Which part does it: {one.who}"
    table = Table(
        "what is said", "mean score", "'as found' beside it", "items", title=title, caption=CONDITIONS_CAPTION
    )
    for row in conditions_rows(one):
        table.add_row(*row)
    return table


def conditions_rows(one: Found) -> list[tuple[str, ...]]:
    """The same, as texts."""
    rows: list[tuple[str, ...]] = []
    for n, condition in enumerate(one.conditions):
        beside = _with_interval(condition.difference, condition.interval) if n else ""
        rows.append((condition.name, words.points(condition.mean), beside, str(condition.items)))
    return rows


def details(one: Found) -> list[str]:
    """Groups of items, words, and a minimal pair of one finding, line by line."""
    told = []
    if len(one.groups) > 1:
        groups = ", ".join(f"{group} {words.signed(value)} ({items})" for group, value, items in one.groups[:6])
        told.append(f"By group of items (difference, items; no claims of their own): {groups}.")
    more, less = one.words
    if more or less:
        told.append(f"Words that these users are answered more often: {_listed(more)}; less often: {_listed(less)}.")
    if one.example:
        told.append(
            f'The shortest change that changes the outcome: "{one.example.other}" instead of "{one.example.who}" takes '
            f"this question from {words.points(one.example.score)} to {words.points(one.example.other_score)} points: "
            f"{_short(one.example.question)}"
        )
        told.append(f"  {one.example.who}: {_short(one.example.answer)}")
        told.append(f"  {one.example.other}: {_short(one.example.other_answer)}")
    return told


def scope_sentence(found: SearchResult) -> str:
    """How much was searched, and by how much."""
    calls = ", ".join(f"{count:,} to {part}" for part, count in found.calls.items() if count)
    items = ", ".join(f"{count:,} to {part}" for part, count in found.items.items())
    cost = "" if found.cost is None else f" Cost so far: {found.cost:.4f}."
    return (
        f"{found.users:,} users times {found.groups} groups of items ({found.cells:,} cells, {found.candidates:,} "
        f"combinations to be found) by {sum(found.calls.values()):,} calls: {calls}. Items: {items}, "
        f"none in two parts.{cost}"
    )


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    if math.isnan(value):
        return words.MISSING
    low, high = (words.signed(end) for end in interval)
    return f"{words.signed(value)} ({low} to {high})"


def _listed(found: tuple[str, ...]) -> str:
    return ", ".join(found) or "none"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(text: str, most: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"

"""The gate's result for people and for machines: terminal, Markdown for a pull request, JUnit XML for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from evenhand.analysis.certainty import Certainty
from evenhand.analysis.gate import Check, verdict
from evenhand.report import words
from evenhand.visible import markdown, printable

_MARKS = {"pass": "✅", "fail": "❌", "not enough data": "❔"}
_FILLED = "whatever is missing was"


def sentence(check: Check) -> str:
    """A check in one sentence."""
    who = f" ({check.detail})" if check.detail else ""
    text = (
        f"{check.name}{who} is {words.points(check.value)} points, {words.interval(check.ci)}; "
        f"the limit is {check.bound} {check.limit:g}"
    )
    if check.decision == "pass":
        return f"{text}: pass, with {100 - 100 * check.error[0]:.4g} % certainty."
    if check.decision == "fail":
        return f"{text}: fail, with {100 - 100 * check.error[1]:.4g} % certainty."
    if check.reason:
        return f"{text}: not enough data; {check.reason}."
    more = (
        f"about {check.more_trials:,} more trials would settle it"
        if check.more_trials is not None
        else "too close to the limit, or not measured"
    )
    return f"{text}: not enough data, {more}."


def power_sentence(check: Check) -> str:
    """How likely a study like this one passes which model; "" where that is not known, or nobody does."""
    if check.operating is None or not check.operating.at_limit:
        return ""
    half = "with half of that" if check.bound == "at most" else "half as far from 100"
    at, halfway, without = (
        words.probability(p) for p in (check.operating.at_limit, check.operating.halfway, check.operating.without)
    )
    return (
        f"{check.name}: with this much data, a model exactly at {check.limit:g} passes with a probability of at most "
        f"{at}, one {half} of about {halfway}, a flawless one of about {without}."
    )


def calls_sentence(new: int, answered: int, most: int) -> str:
    """What deciding took, against measuring first."""
    return (
        f"{new:,} new calls; {answered:,} answers in the study, of {most:,} that there could have been "
        f"({most / max(answered, 1):.1f} times as many)."
    )


COLUMNS = ("check", "limit", "value", "interval", "decision", "who")


def cells(check: Check) -> tuple[str, ...]:
    """One line of the report's table, as :data:`COLUMNS` has them."""
    limit = f"{check.bound} {check.limit:g}"
    return check.name, limit, words.points(check.value), words.interval(check.ci), check.decision, check.detail


def gate_table(checks: Sequence[Check]) -> Group:
    """For the terminal."""
    filled = any(c.bounds for c in checks)
    wide = (_FILLED,) if filled else ()
    table = Table("check", "limit", "value", "interval", *wide, "decision", "more trials", "who")
    for c in checks:
        more = f"{c.more_trials:,}" if c.more_trials is not None else ""
        bounds = (words.interval(c.bounds) if c.bounds else "",) if filled else ()
        limit = f"{c.bound} {c.limit:g}"
        table.add_row(
            c.name, limit, words.points(c.value), words.interval(c.ci), *bounds, c.decision, more, Text(c.detail)
        )
    return Group(table, *(Text(line) for line in said(checks)))


def said(checks: Sequence[Check]) -> list[str]:
    """What the table cannot: why checks are open, what passing means, and how much the decisions are worth."""
    decided = [sentence(c) for c in checks if c.reason or c.decision == "pass"]
    return [*decided, *(line for line in map(power_sentence, checks) if line)]


def gate_markdown(study: str, checks: Sequence[Check], curves: Mapping[str, Certainty] | None = None) -> str:
    """A summary for a pull request, with how certain other limits would be."""
    filled = any(c.bounds for c in checks)
    lines = [
        f"## {_MARKS[verdict(list(checks))]} evenhand: {verdict(list(checks))}",
        "",
        f"Study `{printable(study).replace('`', '')}`. Intervals have the error that this look may spend.",
        "",
        f"| | check | limit | value | interval |{f' {_FILLED} |' if filled else ''} who | more trials |",
        f"|---|---|---|---|---|{'---|' if filled else ''}---|---|",
    ]
    for c in checks:
        more = f"{c.more_trials:,}" if c.more_trials is not None else ""
        who = markdown(c.detail)
        bounds = f" {words.interval(c.bounds) if c.bounds else ''} |" if filled else ""
        lines.append(
            f"| {_MARKS[c.decision]} | {markdown(c.name)} | {c.bound} {c.limit:g} | {words.points(c.value)} "
            f"| {words.interval(c.ci)} |{bounds} {who} | {more} |"
        )
    reasons = [f"- {markdown(line)}" for line in [*said(checks), *words.certainty_sentences(curves or {})]]
    return "\n".join([*lines, *([""] if reasons else []), *reasons]) + "\n"


def gate_junit(study: str, checks: Sequence[Check]) -> str:
    """JUnit XML: a failed check is a failure, one without enough data is an error."""
    failures = sum(c.decision == "fail" for c in checks)
    errors = sum(c.decision == "not enough data" for c in checks)
    suite = ET.Element("testsuite", name="evenhand", tests=str(len(checks)), failures=str(failures), errors=str(errors))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname=printable(study), name=printable(check.name))
        if check.decision != "pass":
            kind = "failure" if check.decision == "fail" else "error"
            ET.SubElement(case, kind, message=printable(sentence(check)), type=check.decision)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

"""The gate's result for people and for machines: terminal, Markdown for a pull request, JUnit XML for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from rich.table import Table

from evenhand.analysis.gate import Check, verdict
from evenhand.report import words

_MARKS = {"pass": "✅", "fail": "❌", "not enough data": "❔"}


def sentence(check: Check) -> str:
    """A check in one sentence."""
    who = f" ({check.detail})" if check.detail else ""
    text = (
        f"{check.name}{who} is {words.points(check.value)} points, {words.interval(check.ci)}; "
        f"the limit is {check.bound} {check.limit:g}"
    )
    if check.decision != "not enough data":
        return f"{text}: {check.decision}."
    more = (
        f"about {check.more_trials:,} more trials would settle it"
        if check.more_trials is not None
        else "too close to the limit, or not measured"
    )
    return f"{text}: not enough data, {more}."


def gate_table(checks: Sequence[Check]) -> Table:
    """For the terminal."""
    table = Table("check", "limit", "value", "95 % interval", "decision", "more trials", "who")
    for c in checks:
        more = f"{c.more_trials:,}" if c.more_trials is not None else ""
        limit = f"{c.bound} {c.limit:g}"
        table.add_row(c.name, limit, words.points(c.value), words.interval(c.ci), c.decision, more, c.detail)
    return table


def gate_markdown(study: str, checks: Sequence[Check]) -> str:
    """A summary for a pull request."""
    lines = [
        f"## {_MARKS[verdict(list(checks))]} evenhand: {verdict(list(checks))}",
        "",
        f"Study `{study.replace('`', '')}`. Decisions are made on 95 % intervals.",
        "",
        "| | check | limit | value | 95 % interval | who | more trials |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in checks:
        more = f"{c.more_trials:,}" if c.more_trials is not None else ""
        who = c.detail.replace("|", "/").replace("\n", " ")
        lines.append(
            f"| {_MARKS[c.decision]} | {c.name} | {c.bound} {c.limit:g} | {words.points(c.value)} "
            f"| {words.interval(c.ci)} | {who} | {more} |"
        )
    return "\n".join(lines) + "\n"


def gate_junit(study: str, checks: Sequence[Check]) -> str:
    """JUnit XML: a failed check is a failure, one without enough data is an error."""
    failures = sum(c.decision == "fail" for c in checks)
    errors = sum(c.decision == "not enough data" for c in checks)
    suite = ET.Element("testsuite", name="evenhand", tests=str(len(checks)), failures=str(failures), errors=str(errors))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname=_printable(study), name=check.name)
        if check.decision != "pass":
            kind = "failure" if check.decision == "fail" else "error"
            ET.SubElement(case, kind, message=_printable(sentence(check)), type=check.decision)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(c for c in text if c.isprintable())

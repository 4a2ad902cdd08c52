"""The analysis as tables in the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.comparison import Comparison
from evenhand.analysis.deviations import Contrast
from evenhand.analysis.missing_notes import missing_notes
from evenhand.analysis.summary import AxisResult
from evenhand.analysis.tradeoff import TradeOff
from evenhand.report import unpaired, worth
from evenhand.report.answer import answer
from evenhand.report.conditions import conditions_table
from evenhand.report.further import further_table
from evenhand.report.missing import missing_tables, unanswered_lines
from evenhand.report.telling import leak_table
from evenhand.report.ways import ways_lines, ways_tables
from evenhand.report.wins import lines as win_lines
from evenhand.report.wins import wins_table
from evenhand.report.wordings import lines as wording_lines
from evenhand.report.wordings import wordings_table
from evenhand.report.words import (
    axes_of,
    certainty_sentences,
    confidence,
    interval,
    judge_caveat,
    p_value,
    points,
    probability,
    share,
    signed,
    starred,
    verdict,
)
from evenhand.runner import Estimate
from evenhand.study.doctor import Diagnosis
from evenhand.study.status import Status
from evenhand.types import AXES
from evenhand.visible import cell

_DRAWN_WIDTH = 23
_IDENTITY_CAPTION = "* differs from the identity mean at q < 0.05; shrunk: drawn towards it by as much as is noise"


def analysis_tables(analysis: Analysis) -> RenderableType:
    """The report's sentence, PB, identities, and what is missing."""
    said = Text(answer(analysis, "").said, style="bold")
    # Answers that are missing for a reason come before all else; whatever it takes to read the numbers, before them.
    missing, _ = missing_notes(analysis.missing, analysis.pb)
    notes = {note: Text(f"Note: {note}", style="yellow") for note in analysis.notes}
    first = [shown for note, shown in notes.items() if note in missing]
    parts: list[RenderableType] = [*first, said, *(shown for note, shown in notes.items() if note not in missing)]
    if analysis.unpaired:
        return Group(*parts, *_unpaired_parts(analysis))
    parts += [_bias_table(analysis), *ways_tables(analysis), *conditions_table(analysis), *wordings_table(analysis)]
    parts += wins_table(analysis.wins)
    parts += [*further_table(analysis), *leak_table(analysis)]
    parts += [_identity_table(analysis), *_forest(analysis), *missing_tables(analysis)]
    lines = [analysis.estimand, *certainty_sentences(analysis.certainty), *reading(analysis)]
    lines += [worth.line(judge, analysis) for judge in analysis.judges]
    parts += [Text(line) for line in lines]
    parts.append(_trial_line(analysis))
    return Group(*parts)


def _unpaired_parts(analysis: Analysis) -> list[RenderableType]:
    told = [Text(worth.line(judge, analysis)) for judge in analysis.judges]
    cautions = [Text(f"Note: {note}", style="yellow") for note in unpaired.notes(analysis)]
    lines = [Text(f"{line}.") for found in analysis.unpaired for line in unpaired.how_sure(found, confidence(analysis))]
    return [*cautions, *unpaired.unpaired_tables(analysis), *lines, *told, _trial_line(analysis)]


def reading(analysis: Analysis) -> list[str]:
    """What else the numbers say, a sentence each."""
    lines = [*wording_lines(analysis), *win_lines(analysis.wins)]
    for axis, result in analysis.axes.items():
        lines.append(
            f"Gap on {axis}: {points(result.gap.value)} points, from {result.gap.worst} to {result.gap.best}; without "
            f"bias {points(result.gap.expected)} would be usual (p {p_value(result.gap.p_value)})."
        )
        if (ratio := result.impact_ratio) and math.isfinite(ratio.value):
            lines.append(
                f"Impact ratio on {axis}, lowest over highest score: {ratio.value:.2f} ({ratio.ci[0]:.2f} to "
                f"{ratio.ci[1]:.2f}); the four-fifths rule asks for 0.80."
            )
        lines += _rank_lines(analysis, axis)
        lines += _category_lines(analysis, axis, result)
        for name, contrast in result.additivity.items():
            beyond = f"{signed(contrast.value)} points ({interval(contrast.ci)})"
            lines.append(f"{name}: {beyond} beyond the sum of its parts on {axis}.")
    for suite in analysis.suites:
        for group, contrasts in suite.groups.deviations.items():
            lines += [
                f"{suite.suite}, {group}: {name} lies {signed(c.value)} points ({interval(c.ci)}) from the mean."
                for name, c in contrasts.items()
                if c.q_value < 0.05
            ]
    lines += ways_lines(analysis)
    if (trade := analysis.trade_off) is not None:
        lines.append(_trade_off_line(trade, confidence(analysis)))
    return lines


def _trade_off_line(trade: TradeOff, sure: str) -> str:
    tested = f"p {p_value(trade.p_value)}"
    if not math.isfinite(trade.corrected):
        unknown = "How safety and utility deviations go together is not known"
        return f"{unknown}: an axis shows no bias beyond noise ({tested})."
    between = f"{trade.ci[0]:+.2f} to {trade.ci[1]:+.2f}".replace("-", "−")
    if not trade.enough:
        return (
            f"Not enough data to say how safety and utility deviations correlate: {between} without noise ({tested})."
        )
    corrected = f"{trade.corrected:+.2f} without noise, {sure} interval {between}".replace("-", "−")
    return f"Safety and utility deviations correlate {signed(trade.correlation, 2)} ({corrected}; {tested})."


def _rank_lines(analysis: Analysis, axis: str) -> list[str]:
    """Who is served worst, with which probability."""
    standing = {r.identity: r.standing[axis] for r in analysis.identities if axis in r.standing}
    if not standing:
        return []
    name = max(standing, key=lambda who: standing[who].lowest)
    told = f"with probability {probability(standing[name].lowest)} ({1 / len(standing):.3f} each if nobody differs)"
    pb = analysis.pb[axis]
    if pb is None or not pb.p_value <= 0.05:
        return [f"Who is served worst on {axis} is not known: {name} is the likeliest, {told}."]
    return [f"Served worst on {axis}: {name}, {told}."]


def _category_lines(analysis: Analysis, axis: str, result: AxisResult) -> list[str]:
    """Who deviates alone in a category first: that is no word about the category."""
    lines = []
    for found in analysis.identities:
        if found.identity in result.apart:
            deviation = found.deviation[axis]
            lines.append(
                f"{found.identity} lies {signed(deviation.value)} points ({interval(deviation.ci)}) from the mean on "
                f"{axis}, alone in the category {found.category}."
            )
    lines += [
        f"The category {name} lies {signed(c.value)} points ({interval(c.ci)}) from the identities that do not deviate "
        f"on {axis}."
        for name, c in result.categories.items()
        if c.q_value < 0.05
    ]
    return lines


def comparison_table(name: str, comparison: Comparison) -> Table:
    """A comparison of two studies."""
    table = Table(title=name, title_justify="left", caption=_compared(comparison), caption_justify="left")
    table.add_column("")
    for column in ("before", "after", "change", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for what, changes in (("PB, corrected", comparison.pb), ("mean score", comparison.score)):
        for axis, change in changes.items():
            table.add_row(
                f"{axis}: {what}",
                points(change.before, 2),
                points(change.after, 2),
                signed(change.difference, 2),
                interval(change.ci, 2),
                p_value(change.p_value),
            )
    if comparison.share:
        table.add_row("share of the bias that is gone", "", "", share(comparison.share), "", "")
    for axis, people in comparison.changes.items():
        for name, contrast in people.items():
            if contrast.q_value < 0.05:
                numbers = signed(contrast.value, 2), interval(contrast.ci, 2), p_value(contrast.q_value)
                table.add_row(f"{axis}: {name} against the mean", "", "", *numbers)
    return table


def estimate_table(estimates: Sequence[Estimate], each: str = "suite") -> Table:
    """What a run would take, per suite (or whatever ``each`` estimate is about) and together."""
    table = Table(title="What is left to ask", title_justify="left", caption_justify="left")
    table.add_column(each)
    for name in ("trials", "prompt tokens", "completion tokens", "cost"):
        table.add_column(name, justify="right")
    for e in estimates:
        most = "" if e.measured else "at most "
        cost = "–" if e.cost is None else f"{most}{e.cost:,.2f}"
        table.add_row(
            e.suite, f"{e.trials:,}", f"about {e.prompt_tokens:,}", f"{most or 'about '}{e.completion_tokens:,}", cost
        )
    if len(estimates) > 1:
        sums = [sum(getattr(e, name) for e in estimates) for name in ("trials", "prompt_tokens", "completion_tokens")]
        known = [e.cost for e in estimates if e.cost is not None]
        table.add_row("together", *(f"{n:,}" for n in sums), f"{sum(known):,.2f}" if known else "–", style="bold")
    if not all(e.measured for e in estimates):
        table.caption = "Before the first answers: four characters a token, and --max-tokens for every answer."
    return table


def status_table(status: Status) -> Table:
    """How far a study is, and what it cost so far."""
    table = Table("", "", show_header=False, title=status.study, title_justify="left")
    table.add_row("model", status.model or "none yet")
    table.add_row("answered", f"{status.answered:,} of {status.planned:,}")
    table.add_row("failed for good", f"{status.failed:,}")
    table.add_row("runs", ", ".join(status.runs))
    table.add_row("calls", f"{status.calls:,}")
    table.add_row("tokens", f"{status.prompt_tokens:,} in, {status.completion_tokens:,} out")
    for suite, judge in status.judges.items():
        table.add_row(f"judge of {suite}", judge)
    for reason, count in status.failure_reasons.items():
        table.add_row(f"{count} failed calls", Text(reason))
    for title, settings in (("fixed", status.fixed), ("may grow", status.held)):
        if settings:
            table.add_row(title, Text(", ".join(f"{k} = {v}" for k, v in settings.items())))
    for line in unanswered_lines(status.unanswered):
        table.add_row("without an answer", Text(line, style="yellow"))
    return table


def diagnosis_table(found: Diagnosis) -> Table:
    """What a store is like, and what its repair lost."""
    table = Table("", "", show_header=False, title=found.study, title_justify="left")
    state = "sound" if found.sound and not found.problems else "repaired" if found.repaired else "damaged"
    table.add_row("store", state)
    for problem in found.problems[:5]:
        table.add_row("", Text(problem))
    table.add_row("responses", "unknown" if found.trials is None else f"{found.trials:,}")
    if found.unjudged:
        table.add_row("not judged yet", f"{found.unjudged:,}: the next run judges them")
    if found.astray:
        table.add_row("of nothing it has", f"{found.astray:,}: their suite, item or identity is gone")
    if found.repaired:
        lost = "an unknown number" if found.lost is None else f"{found.lost:,}"
        table.add_row("responses lost", f"{lost}: the next run asks them again")
        table.add_row("the damaged file", Text(str(found.kept_as)))
    elif found.problems:
        table.add_row("to do", "run it with --repair, or restore the study from a copy")
    elif found.astray:
        table.add_row("to do", "run the study again, which brings back what is gone, or restore it from a copy")
    return table


def _compared(comparison: Comparison) -> str:
    items = ", ".join(f"{n} of {suite}" for suite, n in comparison.items.items())
    return " ".join(
        (f"Paired over {comparison.identities} identities and the common items: {items}.", *comparison.notes)
    )


def _bias_table(analysis: Analysis) -> Table:
    table = Table(title="Personalization bias (points, 0-100)", title_justify="left")
    for name in (
        "",
        "plug-in",
        "corrected",
        f"{confidence(analysis)} interval",
        "noise floor",
        "p",
        "items that differ",
    ):
        table.add_column(name, justify="left" if not name else "right")
    rows = [(axis, analysis.pb[axis]) for axis in (*axes_of(analysis), "joint")]
    rows += [(f"  {s.suite}", s.pb) for s in analysis.suites] if len(analysis.suites) > 1 else []
    for name, pb in rows:
        if pb is None:
            table.add_row(name, *["–"] * 6)
        else:
            table.add_row(
                name,
                points(pb.plugin, 2),
                points(pb.corrected, 2),
                interval(pb.ci, 2),
                points(pb.noise_floor, 2),
                p_value(pb.p_value),
                f"{pb.information.discordant} of {pb.information.items}",
            )
    name = next((name for name in ("joint", *AXES) if analysis.pb[name]), "joint")
    bounds = analysis.missing.bounds
    sentences = (
        verdict(analysis.pb[name], confidence(analysis), bounds.pb.get(name) if bounds else None),
        judge_caveat(analysis.sensitivity, name),
    )
    table.caption = " ".join(s for s in sentences if s)
    table.caption_justify = "left"
    return table


def _identity_table(analysis: Analysis) -> Table:
    table = Table(title="Identities", title_justify="left", caption=_IDENTITY_CAPTION)
    table.caption_justify = "left"
    table.add_column("identity")
    table.add_column("category")
    axes = axes_of(analysis)
    for name in (*(column for axis in axes for column in (axis, "± mean", "shrunk")), "n"):
        table.add_column(name, justify="right")
    for result in analysis.identities:
        cells = []
        for axis in axes:
            score: float | None = getattr(result, axis)
            contrast = result.deviation.get(axis)
            cells += [points(score), starred(contrast) if contrast else "–"]
            cells.append(signed(result.standing[axis].shrunken) if axis in result.standing else "–")
        style = "dim" if result.is_baseline else ""
        table.add_row(Text(result.identity), Text(result.category), *cells, str(result.n), style=style)
    return table


def _forest(analysis: Analysis) -> list[Table]:
    """Deviations from the identity mean with their intervals, drawn; nothing where there are none."""
    table = Table(
        title=f"Deviation from the identity mean, with its {confidence(analysis)} interval",
        title_justify="left",
        box=None,
    )
    table.add_column("")
    drawn = [axis for axis in AXES if any(axis in r.deviation for r in analysis.identities)]
    if not drawn:
        return []
    reach = {axis: _reach(analysis, axis) for axis in drawn}
    for axis in drawn:
        table.add_column(f"{axis}, ±{reach[axis]:g} points", justify="center")
    for result in analysis.identities:
        if not result.is_baseline and result.deviation:
            rows = [_line(result.deviation.get(axis), reach[axis]) for axis in drawn]
            table.add_row(Text(result.identity), *rows)
    return [table]


def _reach(analysis: Analysis, axis: str) -> float:
    """Half of what a drawing spans: the widest interval, as a round number."""
    ends = [abs(end) for r in analysis.identities if axis in r.deviation for end in r.deviation[axis].ci]
    widest = max((end for end in ends if math.isfinite(end)), default=1.0)
    return next((r for r in (1, 2, 5, 10, 20, 50) if r >= widest), 100)


def _line(contrast: Contrast | None, reach: float) -> Text:
    if contrast is None or not math.isfinite(contrast.value):
        return Text("–", style="dim")

    def place(value: float) -> int:
        return round((min(max(value / reach, -1), 1) + 1) / 2 * (_DRAWN_WIDTH - 1))

    cells = [" "] * _DRAWN_WIDTH
    if all(math.isfinite(end) for end in contrast.ci):
        low, high = (place(end) for end in contrast.ci)
        cells[low : high + 1] = "─" * (high + 1 - low)
    cells[place(0)] = "┼" if cells[place(0)] == "─" else "│"
    cells[place(contrast.value)] = "●"
    return Text("".join(cells), style="bold" if contrast.q_value < 0.05 else "")


def _trial_line(analysis: Analysis) -> Text:
    counts = analysis.trials
    text = f"Trials: {counts['done']} scored, {counts['missing']} missing, {counts['failed']} failed"
    reasons = "; ".join(f"{n} {reason}" for reason, n in analysis.missing_reasons.items())
    return Text(f"{text} of {counts['planned']} planned{f' ({reasons})' if reasons else ''}.")


def identities_csv(analysis: Analysis) -> str:
    """One row per identity; an axis that was not run is empty, not zero."""
    suites = [s.suite for s in analysis.suites]
    axes = axes_of(analysis)
    header = ("identity", "category", *axes, "n", *suites)
    return csv_text(
        [
            header,
            *(
                (r.identity, r.category, *(getattr(r, axis) for axis in axes), r.n, *(r.suites.get(s) for s in suites))
                for r in analysis.identities
            ),
        ]
    )


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as a CSV file, the header among them."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(cell, row) for row in rows)
    return out.getvalue()

"""Personalizers side by side: what the user's data brings and what it costs, as a table and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evenhand.analysis import Analysis
from evenhand.analysis.conditions import NOTHING, Condition
from evenhand.analysis.deviations import Contrast
from evenhand.report import words
from evenhand.report.words import MISSING, axes_of, confidence, interval, points, signed, starred
from evenhand.visible import markdown

_SHOWN = 0.05
# A number, and its interval where it has one.
Cell = tuple[str, str]


def columns(analysis: Analysis) -> list[str]:
    """The names of the columns of :func:`rows`."""
    names = {"fit": "gain"}
    return [part for axis in _axes(analysis) for part in (axis, names.get(axis, f"± {axis}"), f"PB {axis}")]


def rows(analysis: Analysis) -> list[tuple[str, list[Cell]]]:
    """Per personalizer each axis's score, its difference from without the user's data, and its bias; fit first."""
    return [
        (c.personalizer, [cell for axis in _axes(analysis) for cell in _cells(c, axis)]) for c in analysis.conditions
    ]


def caption(analysis: Analysis) -> str:
    """What the table is about."""
    without = analysis.conditions[0].without
    what = {
        NOTHING: "the identity alone (personalizer none)",
        "": "nothing: the study has no condition without the user's data",
    }.get(without, f"nobody in particular (baseline {without})")
    members = {axis: [s.suite for s in analysis.suites if s.axis == axis] for axis in _axes(analysis)}
    means = [f"{axis} is the mean of {', '.join(suites)}" for axis, suites in members.items() if len(suites) > 1]
    return (
        f"Gain, and ±: against {what}, paired by item, with the {confidence(analysis)} interval; "
        "* q < 0.05. Gain is what personalization is for. PB: corrected, among the identities; * p < 0.05 after Holm "
        f"over the personalizers. {_sentence(means)}"
    ).strip()


def shown_to_gain(analysis: Analysis) -> list[str]:
    """Personalizers whose gain is more than noise, when all are considered."""
    return [c.personalizer for c in analysis.conditions if c.gain and c.gain.q_value < _SHOWN and c.gain.value > 0]


def worth_caption(analysis: Analysis) -> str:
    """What the picture of gain beside bias shows, and whether anything in it can be ranked."""
    what = (
        f"Gain beside bias, with {confidence(analysis)} intervals: to the right is more use to the user, and more bias."
    )
    if not shown_to_gain(analysis):
        return f"{what} No personalizer is shown to gain anything (q < 0.05): nothing here is a ranking."
    return (
        f"{what} Blue diamonds: their gain is shown (q < 0.05), and by the estimates no other personalizer has both "
        "more gain and less of this bias; where intervals overlap, that may be noise."
    )


PRICE_TITLE = "What it takes"
PRICE_COLUMNS = (
    "given away",
    "more than untold",
    "calls an answer",
    "seconds an answer",
    "calls to learn a user",
    "seconds to learn",
)
PRICE_NOTE = (
    "Given away: % of answers with a sensitive fact that the question did not need (suite leakage), and what that is "
    "more than is said by chance, with its interval. Seconds: of the model, a batch's shared among "
    "its answers. Learning counts what is asked about an item, too."
)


def price_rows(analysis: Analysis) -> list[tuple[str, list[Cell]]]:
    """Per personalizer what it gives away and what it takes: leakage, calls and seconds."""
    return [(c.personalizer, _price(c)) for c in analysis.conditions]


def _sentence(parts: Sequence[str]) -> str:
    told = "; ".join(parts)
    return f"{told[:1].upper()}{told[1:]}." if told else ""


SAFETY_TITLE = "What each does to safety"
SAFETY_NOTE = (
    "Changes: against the same answers without the user's data. Shown: q < 0.05 over all personalizers, for bias "
    "p < 0.05 after Holm over them. What is not shown may be there: the interval, each its own, says how much of it."
)


def safety_sentences(analysis: Analysis) -> list[str]:
    """What each personalizer does to safety, a sentence each: what is shown, and what lies within noise."""
    return [f"{c.personalizer}: {'; '.join(parts)}." for c in analysis.conditions if (parts := _to_safety(analysis, c))]


def _to_safety(analysis: Analysis, condition: Condition) -> list[str]:
    leak = condition.leak
    own = [s.suite for s in analysis.suites if s.axis == "safety" and s.suite in condition.on_suite]
    parts = [_safer(suite, condition.on_suite[suite]) for suite in own if not leak or suite != leak.suite]
    if leak:
        parts.append(_given_away(leak.more))
    if pb := condition.pb.get("safety"):
        shown = "" if _biased(condition, "safety") else " is not shown"
        parts.append(f"bias among the identities{shown} ({points(pb.corrected)}, {interval(pb.ci)})")
    return parts


def _biased(condition: Condition, axis: str) -> bool:
    """Whether a bias is more than noise, when all personalizers are considered."""
    pb = condition.pb.get(axis)
    return pb is not None and pb.ci[0] > 0 and condition.bias_p.get(axis, 1.0) < _SHOWN


def _safer(suite: str, change: Contrast) -> str:
    told = f"{suite} ({signed(change.value)} points, {interval(change.ci)})"
    if not change.q_value < _SHOWN:
        return f"no change is shown on {told}"
    return f"{'less' if change.value < 0 else 'more'} safe on {told}"


def _given_away(more: Contrast) -> str:
    told = f"({signed(more.value)} points, {interval(more.ci)})"
    if not more.q_value < _SHOWN:
        return f"that sensitive facts are given away is not shown {told}"
    return f"{'fewer' if more.value < 0 else 'more'} answers give sensitive facts away than untold {told}"


def conditions_table(analysis: Analysis) -> list[RenderableType]:
    """For the terminal; empty where the study has nothing to set side by side."""
    if not analysis.conditions:
        return []
    title, note = "What the user's data does (points, 0-100)", caption(analysis)
    table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
    table.add_column("personalizer")
    for name in columns(analysis):
        table.add_column(name, justify="right")
    for name, cells in rows(analysis):
        table.add_row(name, *map(_stacked, cells))
    price = Table("personalizer", title=PRICE_TITLE, title_justify="left", caption=PRICE_NOTE, caption_justify="left")
    for name in PRICE_COLUMNS:
        price.add_column(name, justify="right")
    for name, cells in price_rows(analysis):
        price.add_row(name, *map(_stacked, cells))
    told = safety_sentences(analysis)
    safety = [Text(f"{SAFETY_TITLE}. {SAFETY_NOTE}"), *map(Text, told)] if told else []
    return [table, price, *safety]


def as_markdown(analysis: Analysis) -> str:
    """The tables, and what each personalizer does to safety, as Markdown."""
    what = words.markdown_rows(["personalizer", *columns(analysis)], _in_lines(rows(analysis)))
    price = words.markdown_rows(["personalizer", *PRICE_COLUMNS], _in_lines(price_rows(analysis)))
    safety = "".join(f"- {markdown(line)}\n" for line in safety_sentences(analysis))
    told = f"\n{SAFETY_TITLE}. {SAFETY_NOTE}\n\n{safety}" if safety else ""
    return f"{what}\n{caption(analysis)}\n\n{price}\n{PRICE_NOTE}\n{told}"


def _in_lines(rows: Iterable[tuple[str, list[Cell]]]) -> Iterator[list[str]]:
    for name, cells in rows:
        yield [name, *(f"{value} ({ends})" if ends else value for value, ends in cells)]


def _stacked(cell: Cell) -> str:
    return "\n".join(part for part in cell if part)


def _price(condition: Condition) -> list[Cell]:
    leak, effort = condition.leak, condition.effort
    answers = effort.answers if effort else 0
    each = (effort.calls / answers, effort.seconds / answers) if effort and answers else (None, None)
    learned: tuple[float | None, ...] = (None, None)
    if effort and effort.memories:
        learned = effort.learning_calls / effort.memories, effort.learning_seconds / effort.memories
    return [
        (points(leak.rate) if leak else MISSING, ""),
        shown(leak.more if leak else None),
        *((points(value), "") for value in (*each, *learned)),
    ]


def _axes(analysis: Analysis) -> list[str]:
    run = [axis for axis in axes_of(analysis) if any(axis in c.scores for c in analysis.conditions)]
    return sorted(run, key=lambda axis: axis != "fit")


def _cells(condition: Condition, axis: str) -> tuple[Cell, Cell, Cell]:
    pb = condition.pb.get(axis)
    bias = (points(pb.corrected) + "*" * _biased(condition, axis), interval(pb.ci)) if pb else (MISSING, "")
    return (points(condition.scores.get(axis)), ""), shown(condition.change.get(axis)), bias


def shown(change: Contrast | None) -> Cell:
    """A difference and its interval; missing without one."""
    if change is None:
        return MISSING, ""
    return starred(change), interval(change.ci)

"""What a study of personalized disinformation says, for the terminal: counts, differences, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evenhand.analysis.disinformation import GRADES, FilterGap, Tally, smallest_p
from evenhand.disinforming import DEBUNK, Disinformed
from evenhand.judges.disinformation import STANCES
from evenhand.report.words import MISSING, interval, p_value, points, signed, starred
from evenhand.suites.disinformation import DETAILED, LENGTH, PERSONALIZED, SHOWCASE, SIMPLE
from evenhand.types import STANDARD

_CLEAR = 0.05
_WHAT = {DEBUNK: "over-refusal"}
_NOBODY = "no audience"
_DOING = {
    SIMPLE: "Naming an audience",
    DETAILED: "Describing an audience",
    LENGTH: "As much text about a newspaper",
    SHOWCASE: "Describing one reader",
}


def disinformation_tables(found: Sequence[Disinformed]) -> Iterator[RenderableType]:
    """All of it, the sentences last."""
    for one in found:
        yield Text(known(one), style="bold")
        yield _tally_table(one, "By condition", one.conditions)
        yield _gap_table(one, "Against other conditions, paired by narrative", [g for g in one.gaps if not g.target])
        if one.scores:
            scores = [g for g in one.scores if not g.target]
            yield _gap_table(one, "The same in scores: declined or disputed 100, both sides 50, agreed 0", scores)
        yield _audience_table(one)
        yield _tally_table(one, "By narrative", one.narratives)
        yield _who_table(one)
        if len(one.crossed) > 1:
            yield _crossed_table(one)
        yield Text("\n".join(lines(one)))


def lines(one: Disinformed) -> list[str]:
    """The study's answers to the two questions, a sentence each."""
    whole = [gap for gap in one.gaps if not gap.target]
    said = [_lowers(one, gap) for gap in whole]
    texts, agree = (sum(getattr(row, name) for row in one.conditions) for name in ("texts", "agree"))
    if texts:
        said.insert(0, f"On {100 * agree / texts:.0f} % of the texts the authors' phrases say the same as the judge.")
    audiences = [gap for gap in one.gaps if gap.target and gap.against == STANDARD]
    if clear := [gap for gap in audiences if gap.gap.difference.q_value < _CLEAR]:
        said += [_lowers(one, gap) for gap in clear]
    elif audiences:
        said.append("No single audience clearly changes it, looking at all of them.")
    said += [_who_asks(gap) for gap in _asked_by(one)]
    narratives = max((gap.gap.questions for gap in whole), default=0)
    if narratives:
        said.append(
            f"Few narratives: a difference over {narratives} cannot have a p-value below "
            f"{p_value(smallest_p(narratives))}, however many texts there are."
        )
    return said


def known(one: Disinformed) -> str:
    """What the numbers are about, and what they are not."""
    judge = ", ".join(one.judges)
    if one.suite == DEBUNK:
        return f"{one.suite}: how often answers decline to refute a false narrative (over-refusal; judge {judge})."
    if one.stances_judged:
        return f"{one.suite}: refusals, and whose side the texts take (judge {judge})."
    return (
        f"{one.suite}: REFUSALS ONLY. The judge {judge} does not tell whose side a text takes: an article that "
        "disputes its narrative counts as unsafe here. For that: evenhand judge again STUDY --judge "
        f"{one.references[0]}=llm-disinformation:MODEL"
    )


def _condition(name: str) -> str:
    return _NOBODY if name == STANDARD else name


def counts(one: Disinformed, rows: Sequence[Tally]) -> tuple[list[str], list[list[str]]]:
    """The names of columns, and per row its name and a cell for each of them."""
    stances = STANCES if one.stances_judged else ()
    grades = GRADES if any(row.grades for row in rows) else ()
    columns = ["texts", "declined", "%", "interval", "by phrases", "articles", "disclaimers", "words", "names it"]
    columns += [*stances, *map(str, grades), *(["2 or 3 (%)"] if grades else ())]
    cells = [
        [
            _condition(row.name), str(row.texts), str(row.refused), points(row.rate), interval(row.ci),
            str(row.phrases), f"{row.articles}/{row.written}", str(row.disclaimers), points(row.words, 0),
            f"{row.named}/{row.for_audience}" if row.for_audience else MISSING,
            *(str(row.stances.get(stance, 0)) for stance in stances),
            *(str(row.grades.get(grade, 0)) for grade in grades),
            *([points(row.well)] if grades else ()),
        ]
        for row in rows
    ]  # fmt: skip
    return columns, cells


def caption(rows: Sequence[Tally]) -> str:
    """What the columns of :func:`counts` are, and how many texts are in none."""
    unjudged = sum(row.unjudged for row in rows)
    left_out = f" {unjudged} texts could not be judged and are left out." if unjudged else ""
    return (
        "by phrases: with one of the authors' phrases of refusal. From 'articles' on: of texts that do not decline."
        f"{left_out}"
    )


def _tally_table(one: Disinformed, title: str, rows: Sequence[Tally]) -> Table:
    table = _table(f"{title}: {one.suite}", "")
    columns, cells = counts(one, rows)
    for name in columns:
        table.add_column(name, justify="right")
    for row in cells:
        table.add_row(*map(Text, row))
    table.caption = caption(rows)
    return table


def _gap_table(one: Disinformed, title: str, gaps: Sequence[FilterGap]) -> Table:
    table = _table(f"{title}: {one.suite}", "condition", "against")
    for name in ("narratives", "there (%)", "here (%)", "difference", "95 % interval", "p", "nobody in particular"):
        table.add_column(name, justify="right")
    for found in gaps:
        gap = found.gap
        cells = [
            _condition(found.condition), _condition(found.against), str(gap.questions), *map(points, gap.scores),
            starred(gap.difference), interval(gap.difference.ci), p_value(gap.difference.p_value),
            f"{signed(gap.nobody.value)} ({interval(gap.nobody.ci)})" if gap.nobody else MISSING,
        ]  # fmt: skip
        table.add_row(*map(Text, cells))
    table.caption = "* q < 0.05 among the differences of this table with the same reference."
    return table


def _audience_table(one: Disinformed) -> Table:
    """Per audience, the differences of every condition side by side."""
    named = [gap for gap in one.gaps if gap.target]
    kinds = list(dict.fromkeys((gap.condition, gap.against) for gap in named))
    table = _table(f"By audience, difference in % declined: {one.suite}", "audience", "texts", "declined (%)")
    for condition, against in kinds:
        table.add_column(f"{_condition(condition)} - {_condition(against)}", justify="right")
    grades = any(row.grades for row in one.audiences)
    if grades:
        table.add_column("2 or 3 (%)", justify="right")
    cells = {(gap.target, gap.condition, gap.against): gap.gap.difference for gap in named}
    for row in one.audiences:
        found = [cells.get((row.name, *kind)) for kind in kinds]
        shown = [f"{starred(c)} ({interval(c.ci)})" if c else MISSING for c in found]
        told = [row.name, str(row.texts), points(row.rate), *shown, *([points(row.well)] if grades else [])]
        table.add_row(*map(Text, told))
    return table


def _who_table(one: Disinformed) -> Table:
    """Who asks, by condition, and whether that changes what an audience does."""
    conditions = list(dict.fromkeys(row.name for rows in one.who.values() for row in rows))
    table = _table(f"Who asks, % declined: {one.suite}", "identity")
    changes = _asked_by(one)
    for name in conditions:
        table.add_column(_condition(name), justify="right")
    for gap in changes:
        table.add_column(f"({gap.condition} - {_condition(gap.against)}) ± {gap.gap.baseline}", justify="right")
    for who, rows in one.who.items():
        rates = {row.name: row.rate for row in rows}
        moved = [gap.gap.changes.get(who) for gap in changes]
        shown = [f"{starred(c)} ({interval(c.ci)})" if c else MISSING for c in moved]
        table.add_row(*map(Text, [who, *(points(rates.get(name)) for name in conditions), *shown]))
    table.caption = "±: the difference between the two conditions, minus the same of the baseline. * q < 0.05."
    return table


def _crossed_table(one: Disinformed) -> Table:
    """Who asks for whom."""
    audiences = [row.name for row in one.audiences]
    table = _table(f"Who asks for whom, % declined when an audience is asked for: {one.suite}", "identity")
    for name in audiences:
        table.add_column(Text(name), justify="right")
    for who, rows in one.crossed.items():
        rates = {row.name: row.rate for row in rows}
        table.add_row(*map(Text, [who, *(points(rates.get(name)) for name in audiences)]))
    table.caption = "Counts, of a few narratives each: not tested."
    return table


def _asked_by(one: Disinformed) -> list[FilterGap]:
    """The differences of which one asks whether they depend on who asks."""
    return [gap for gap in one.gaps if not gap.target and gap.condition in PERSONALIZED and gap.gap.changes]


def _lowers(one: Disinformed, found: FilterGap) -> str:
    gap, what = found.gap, _WHAT.get(one.suite, "the safety filter")
    clear = gap.difference.q_value < _CLEAR
    does = "does not clearly change" if not clear else "lowers" if gap.difference.value < 0 else "raises"
    whom = f" ({found.target})" if found.target else ""
    before, after = map(points, gap.scores)
    return (
        f"{_DOING[found.condition]}{whom} {does} {what}: {after} % of answers decline, {before} % with "
        f"{_than(found.against)} ({signed(gap.difference.value)}, {interval(gap.difference.ci)})."
    )


def _than(against: str) -> str:
    return "as much text about a newspaper" if against == LENGTH else _condition(against)


def _who_asks(found: FilterGap) -> str:
    changes = found.gap.changes
    where = f"{found.condition} - {_condition(found.against)}"
    clear = [f"{name} ({signed(c.value)})" for name, c in changes.items() if c.q_value < _CLEAR]
    if clear:
        return f"It depends on who asks: {where}, from the baseline {found.gap.baseline}: {', '.join(clear)}."
    most = max(changes, key=lambda name: abs(changes[name].value))
    change = changes[most]
    return (
        f"Who asks does not clearly change that ({where}): at most {signed(change.value)} ({interval(change.ci)}) from "
        f"the baseline {found.gap.baseline}, for {most}."
    )


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", caption_justify="left")

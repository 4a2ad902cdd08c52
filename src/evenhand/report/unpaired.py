"""Unpaired answers: how far apart identities are, with the words that this can carry."""

from __future__ import annotations

from rich.table import Table

from evenhand.analysis import Analysis
from evenhand.analysis.unpaired import Unpaired, UnpairedMean
from evenhand.report.words import interval, named, p_value, points, signed

TITLE = "{suite}, {axis}: what different people got for their own questions (points, 0-100)"
CAPTION = (
    "Raw: as it is; balanced: weighed so that what is named above is alike for all identities. * differs from the mean "
    "over identities at q < 0.05. Worth: so many answers the balanced mean rests on."
)
_COUNTED = {
    "people": "People: or conversations, whichever the answers name; an answer that names none counts by its question.",
    "questions": "Questions: different ones, since the answers do not say who asked.",
}
_NOBODY_NAMED = (
    "who asked is not known: one person's many answers count as many people's, which makes intervals too narrow "
    "(import with --column cluster=YOURS, where a column names the person)"
)
_NO_INTERVAL = "the distance from worst to best has no interval: picking the two by what they got widens it"
_MOST_NAMED = 5


def sentence(found: Unpaired, sure: str) -> str:
    """What a suite's unpaired answers say; ``sure`` is what their intervals are called by."""
    if not is_shown(found):
        return (
            f"{found.suite}: no difference between identities is shown. There may still be one: a disparity of up to "
            f"{points(found.ci[1])} points."
        )
    worst, best = found.identities[0], found.identities[-1]
    apart = points(best.mean - worst.mean)
    between = f"{named(worst.identity)} ({points(worst.mean)}) and {named(best.identity)} ({points(best.mean)})"
    beyond = _beyond_noise(found)
    if worst in beyond:
        below = sum(row.deviation < 0 for row in beyond)
        # Which of several is the very worst may be chance.
        is_worst = "is served worst" if below == 1 else f"is the lowest of {below} who are served worse than the mean"
        return (
            f"{found.suite}: on their own questions, {named(worst.identity)} {is_worst} on {found.axis}, "
            f"{_from_the_mean(worst, sure)}. {apart} points lie between the lowest and the highest, {between}."
        )
    if beyond:
        first = beyond[0]
        lies = f"{named(first.identity)} lies {_from_the_mean(first, sure)} on {found.axis}"
        return (
            f"{found.suite}: on their own questions, {lies}. "
            f"Who is served worst is not known. {apart} points lie between the lowest and the highest, {between}."
        )
    return (
        f"{found.suite}: on their own questions, identities are served unlike on {found.axis}, but nobody can be "
        f"singled out. {apart} points lie between the lowest and the highest, {between}."
    )


def is_shown(found: Unpaired) -> bool:
    """Whether identities differ beyond noise, all together or one of them."""
    return found.p_value <= 0.05 or bool(_beyond_noise(found))


def how_sure(found: Unpaired, sure: str) -> list[str]:
    """What the sentence rests on, a clause each."""
    beyond, among = _beyond_noise(found), f"adjusted over {len(found.identities)} identities"
    if beyond:
        first = ", ".join(f"{named(row.identity)} (q {p_value(row.q_value)})" for row in beyond[:_MOST_NAMED])
        more = f" and {len(beyond) - _MOST_NAMED} more" if len(beyond) > _MOST_NAMED else ""
        lines = [f"{found.suite}: differ from the mean beyond noise, {among}: {first}{more}"]
    else:
        lines = [f"{found.suite}: nobody differs from the mean beyond noise, {among}"]
    before = f"; {points(found.raw)} before balancing" if found.balanced_for else ""
    lines.append(
        f"{found.suite}: disparity (root mean square distance of identities from their mean, freed from noise) "
        f"{points(found.disparity)} points, {sure} interval {interval(found.ci)}, p {p_value(found.p_value)}{before}"
    )
    if is_shown(found):
        lines.append(f"{found.suite}: {_NO_INTERVAL}")
    if found.counted == "questions":
        lines.append(f"{found.suite}: {_NOBODY_NAMED}")
    return lines


def _beyond_noise(found: Unpaired) -> list[UnpairedMean]:
    """Who deviates from the mean beyond noise, the farthest first."""
    return sorted((row for row in found.identities if row.q_value < 0.05), key=lambda row: -abs(row.deviation))


def _from_the_mean(row: UnpairedMean, sure: str) -> str:
    """How far someone lies from the mean, as a size with its interval."""
    low, high = row.deviation_ci
    ends, side = ((low, high), "above") if row.deviation > 0 else ((-high, -low), "below")
    size = f"{points(abs(row.deviation))} of 100 points"
    return f"{size} {side} the mean of all identities ({sure} interval {interval(ends)})"


def identities_of(analysis: Analysis) -> list[str]:
    """Who is in the figures, without baselines; of unpaired answers as well as of paired ones."""
    own = [row.identity for found in analysis.unpaired for row in found.identities]
    return [*dict.fromkeys(own)] or [result.identity for result in analysis.identities if not result.is_baseline]


def answers_of(analysis: Analysis, suite: str) -> int:
    """How many unpaired answers of a suite are in its figures."""
    return sum(row.answers for found in analysis.unpaired if found.suite == suite for row in found.identities)


def columns(found: Unpaired) -> tuple[str, ...]:
    """What stands above a suite's table."""
    return (
        "identity", "answers", found.counted, "raw", "interval", "balanced", "interval", "± mean", "interval", "worth"
    )  # fmt: skip


def caption(found: Unpaired) -> str:
    """How a suite's table is read."""
    return f"{_COUNTED[found.counted]} {CAPTION}"


def cells(row: UnpairedMean) -> tuple[str, ...]:
    """One line of the table, as :func:`columns` names them."""
    star = "*" if row.q_value < 0.05 else ""
    return (
        row.identity,
        f"{row.answers:,}",
        f"{row.clusters:,}",
        points(row.raw),
        interval(row.raw_ci),
        points(row.mean),
        interval(row.ci),
        signed(row.deviation) + star,
        interval(row.deviation_ci),
        f"{row.worth:,.0f}",
    )


def title(found: Unpaired) -> str:
    """What a suite's table shows."""
    return TITLE.format(suite=found.suite, axis=found.axis)


def notes(analysis: Analysis) -> list[str]:
    """What must be said before any number, once each."""
    return list(dict.fromkeys(note for found in analysis.unpaired for note in found.notes))


def unpaired_tables(analysis: Analysis) -> list[Table]:
    """For the terminal; empty where the answers are paired."""
    tables = []
    for found in analysis.unpaired:
        table = Table(title=title(found), title_justify="left", caption=caption(found), caption_justify="left")
        for number, name in enumerate(columns(found)):
            table.add_column(name, justify="right" if number else "left")
        for row in found.identities:
            table.add_row(*cells(row))
        tables.append(table)
    return tables

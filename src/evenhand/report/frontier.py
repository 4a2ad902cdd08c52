"""Mitigations side by side: what was chosen and confirmed, in the terminal, in Markdown, and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from evenhand.analysis.choosing import Candidate
from evenhand.analysis.comparison import Change
from evenhand.analysis.confirmation import BETTER, NOT_SHOWN, OPEN, TRADED, WORSE, Confirmed, Kept, Measure
from evenhand.analysis.frontier import UNCONFIRMED, Outcome
from evenhand.analysis.reduction import Share
from evenhand.report import words
from evenhand.types import AXES
from evenhand.visible import all_visible, markdown

_CAPTION = (
    "Bias gone: which share of PB over safety and utility together, with its 95 % interval; not known where the bias "
    "before cannot be told from zero. Intervals of scores are of the change. Better: a reduction is shown, and a loss "
    "of {margin:g} points is ruled out in all that was measured, after Holm over the mitigations."
)
CHOOSING = (
    "Seen on the items to choose on only: of the best of many these figures are too good, and nothing here is shown."
)
UNSERVED = (
    "Nothing here measures whether answers still suit the user: a mitigation that deletes the user cannot lose. "
    "Add --suite should-differ --personalizer profile to the study."
)


def columns(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The names of the columns of :func:`rows`."""
    return (
        "mitigation", *(f"PB {axis}" for axis in _axes(outcomes)), "bias gone", *_measures(outcomes), "calls",
        "tokens", "verdict", "frontier",
    )  # fmt: skip


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """One row per outcome, the study without a mitigation first."""
    if not outcomes:
        return []
    first = outcomes[0]
    base = (
        "none", *(words.points(_of(first.change.pb, a, "before"), 2) for a in _axes(outcomes)), "",
        *(words.points(_of(first.seen.kept, m, "before")) for m in _measures(outcomes)),
        *_effort(first.before.calls, first.before.tokens, first.before.responses), "", "",
    )  # fmt: skip
    return [base, *(_row(o, outcomes) for o in outcomes)]


def _axes(outcomes: Sequence[Outcome]) -> list[str]:
    return [axis for axis in AXES if any(axis in o.change.pb for o in outcomes)]


def _measures(outcomes: Sequence[Outcome]) -> list[Measure]:
    return list(dict.fromkeys(measure for o in outcomes for measure in o.seen.kept))


def _row(o: Outcome, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return (
        o.mitigation,
        *(_changed(o.change.pb.get(a), 2) for a in _axes(outcomes)),
        words.share(o.seen.share),
        *(_changed(o.seen.kept.get(m), 1) for m in _measures(outcomes)),
        *_effort(o.after.calls, o.after.tokens, o.after.responses),
        o.verdict,
        "yes" if o.on_frontier else "",
    )


def _effort(calls: int, tokens: int, responses: int) -> tuple[str, str]:
    """Calls and tokens an answer."""
    return f"{calls / max(responses, 1):.1f}", f"{tokens / max(responses, 1):.0f}"


def _of(found: Mapping[Any, Change | Kept], name: str, which: str) -> float | None:
    return getattr(found[name], which) if name in found else None


def _changed(change: Change | Kept | None, digits: int) -> str:
    if change is None:
        return words.MISSING
    low, high = (words.signed(end, digits) for end in change.ci)
    return f"{words.points(change.after, digits)} ({low} to {high})"


def frontier_table(outcomes: Sequence[Outcome]) -> Table:
    """For the terminal."""
    fresh = all(o.fresh for o in outcomes)
    title = "Mitigations on fresh items" if fresh else "Mitigations compared, not confirmed"
    table = Table(*columns(outcomes), title=title, caption=caption(outcomes))
    for row in rows(outcomes):
        table.add_row(*row)
    return table


def caption(outcomes: Sequence[Outcome]) -> str:
    """What the columns of :func:`rows` say."""
    return _CAPTION.format(margin=outcomes[0].seen.margin) if outcomes else ""


def choosing_table(candidates: Mapping[str, Candidate]) -> Table:
    """The mitigations on the items to choose on, for the terminal."""
    table = Table(*choosing_columns(candidates), title="Choosing", caption=CHOOSING)
    for row in choosing_rows(candidates):
        table.add_row(*row)
    return table


def choosing_columns(candidates: Mapping[str, Candidate]) -> tuple[str, ...]:
    """The names of the columns of :func:`choosing_rows`."""
    return ("mitigation", "items", "PB", *_changes_of(candidates), "gained − lost", "round", "what became of it")


def choosing_rows(candidates: Mapping[str, Candidate]) -> list[tuple[str, ...]]:
    """One row per mitigation that was chosen among: what was seen, and what became of it."""
    measures = _changes_of(candidates)
    return [
        (
            name, f"{sum(c.items.values()):,}",
            f"{words.points(c.seen.share.before, 2)} → {words.points(c.seen.share.after, 2)}",
            *(_moved(c.seen.kept.get(m)) for m in measures), words.signed(c.merit, 1), str(c.round),
            c.fate,
        )
        for name, c in candidates.items()
    ]  # fmt: skip


def _changes_of(candidates: Mapping[str, Candidate]) -> list[Measure]:
    return list(dict.fromkeys(measure for c in candidates.values() for measure in c.seen.kept))


def _moved(kept: Kept | None) -> str:
    return words.MISSING if kept is None else words.signed(kept.after - kept.before, 1)


def frontier_markdown(outcomes: Sequence[Outcome], candidates: Mapping[str, Candidate] | None = None) -> str:
    """As Markdown: what fresh items show, in a table and in sentences, and what was seen when it was chosen."""
    parts = []
    if outcomes:
        parts += [_markdown_table(columns(outcomes), rows(outcomes)), caption(outcomes)]
        parts += [markdown(sentence) for sentence in sentences(outcomes)]
    if candidates:
        parts += ["## Choosing", CHOOSING, _markdown_table(choosing_columns(candidates), choosing_rows(candidates))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(map(markdown, row))} |" for row in body)])


def sentences(outcomes: Sequence[Outcome]) -> list[str]:
    """What the evidence carries, one sentence per mitigation; what nobody measured comes first."""
    unserved = [UNSERVED] if outcomes and not any(o.seen.serves for o in outcomes) else []
    return [*unserved, *(f"{o.mitigation}: {_sentence(o)}" for o in outcomes)]


def _sentence(o: Outcome) -> str:
    seen = o.seen
    margin = f"{seen.margin:g} points"
    worse = [m for m, k in seen.kept.items() if k.worse]
    open_ = [f"{m} (up to {words.points(k.risk)} points)" for m, k in seen.kept.items() if not k.kept]
    return {
        BETTER: f"better: {_gone(seen)}, and a loss of {margin} is ruled out in {', '.join(seen.kept)}.",
        UNCONFIRMED: f"{_gone(seen)}, and a loss of {margin} is ruled out; these are not the items kept for "
        "confirming, so that it is not called better.",
        OPEN: f"{_gone(seen)}, but a loss of {margin} is not ruled out in {', '.join(open_)}.",
        TRADED: f"{_gone(seen)}, and worse in {', '.join(worse)}: a trade.",
        NOT_SHOWN: f"no reduction shown. {_unknown(seen.share)}",
        WORSE: f"worse in {', '.join([*worse, *(['bias'] if seen.grown else [])])}.",
    }[o.verdict]


def _gone(seen: Confirmed) -> str:
    at_least = f"at least {words.hundredths(seen.at_least)} % of the bias is gone" if seen.at_least > 0 else "less bias"
    return f"{at_least} (as seen {words.share(seen.share)})"


def _unknown(found: Share) -> str:
    if not found.known:
        return "The bias without it cannot be told from zero on these items."
    return f"Between {words.hundredths(found.ci[0])} and {words.hundredths(found.ci[1])} % of the bias may be gone."


def frontier_svg(outcomes: Sequence[Outcome], candidates: Mapping[str, Candidate] | None = None) -> str:
    """Bias against utility (or safety, where utility was not run), with intervals of the change; an SVG picture.

    What was only seen when it was chosen among is grey.
    """
    import altair as alt
    import polars as pl
    import vl_convert

    seen = {n: (c.seen, "seen when choosing") for n, c in (candidates or {}).items() if not c.chosen}
    seen |= {o.mitigation: (o.seen, _kind(o)) for o in outcomes}
    axis = "utility" if all("utility" in found.kept for found, _ in seen.values()) else "safety"
    records = [_point(name, found, kind, axis) for name, (found, kind) in seen.items() if axis in found.kept]
    first = outcomes[0].seen if outcomes else next(iter(seen.values()))[0]
    if axis in first.kept:
        start = first.kept[axis].before
        records.append(_record("none", first.share.before, start, (start, start), "no mitigation"))
    data = alt.Chart(pl.DataFrame(records))
    x = alt.X("bias:Q", title="corrected personalization bias, both axes (points)")
    color = alt.Color("kind:N", scale=alt.Scale(domain=list(_COLORS), range=list(_COLORS.values())), title=None)
    y = alt.Y("score:Q", title=f"mean {axis} (points)", scale=alt.Scale(zero=False))
    bars = data.mark_rule(opacity=0.5).encode(
        x=x, y=alt.Y("low:Q", title=f"mean {axis} (points)"), y2="high:Q", color=color
    )
    dots = data.mark_point(filled=True, size=70).encode(x=x, y=y, color=color, shape=alt.Shape("kind:N", legend=None))
    names = data.mark_text(align="left", dx=7, dy=-5, fontSize=10).encode(x=x, y=y, text="mitigation:N")
    chart = (bars + dots + names).properties(width=680, height=420)
    return str(vl_convert.vegalite_to_svg(all_visible(chart.to_dict())))


# Letters of a mitigation's name in the plot.
_LABEL = 40
_COLORS = {
    "no mitigation": "#555555", BETTER: "#0072b2", "confirmed, not better": "#d55e00", "not confirmed": "#e69f00",
    "seen when choosing": "#aaaaaa",
}  # fmt: skip


def _kind(o: Outcome) -> str:
    if not o.fresh:
        return "not confirmed"
    return BETTER if o.verdict == BETTER else "confirmed, not better"


def _point(name: str, found: Confirmed, kind: str, axis: Any) -> dict[str, Any]:
    kept = found.kept[axis]
    low, high = (kept.before + end for end in kept.ci)
    return _record(name, found.share.after, kept.after, (low, high), kind)


def _record(name: str, bias: float, score: float, ends: tuple[float, float], kind: str) -> dict[str, Any]:
    return {"mitigation": name[:_LABEL], "bias": bias, "score": score, "low": ends[0], "high": ends[1], "kind": kind}

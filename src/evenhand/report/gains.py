"""The picture of what personalizers bring, and at what price."""

from __future__ import annotations

from typing import Any

from evenhand.analysis import Analysis
from evenhand.report.charts import as_plain
from evenhand.report.conditions import shown_to_gain
from evenhand.report.words import confidence, interval, signed
from evenhand.types import AXES

# Of those that no other beats, and of the others; told apart by colour-blind readers.
_COLOURS = ["#0072B2", "#777777"]


def gain_beside_bias(analysis: Analysis) -> dict[str, Any] | None:
    """Gain beside bias, a line per personalizer: what each brings, and at what price; None without two of them."""
    import altair as alt

    asked = {c.personalizer: (c.gain, c.pb) for c in analysis.conditions if c.gain is not None and any(c.pb.values())}
    if len(asked) < 2:
        return None
    rows = [_row(name, "gain", gain.value, gain.ci) for name, (gain, _) in asked.items()]
    gaining = set(shown_to_gain(analysis))
    for axis in AXES:
        biases = {name: (gain.value, bias) for name, (gain, pb) in asked.items() if (bias := pb.get(axis))}
        for name, (gained, bias) in biases.items():
            best = name in gaining and not any(
                value >= gained
                and other.corrected <= bias.corrected
                and (value, other.corrected) != (gained, bias.corrected)
                for value, other in biases.values()
            )
            rows.append(_row(name, f"PB {axis}", bias.corrected, bias.ci, best=best))
        # What the others' bias is to be read against.
        without = [(c.personalizer, bias) for c in analysis.conditions if c.gain is None and (bias := c.pb.get(axis))]
        rows += [_row(name, f"PB {axis}", bias.corrected, bias.ci) for name, bias in without]
    domain = [True, False]
    names = [c.personalizer for c in analysis.conditions]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("personalizer:N", title=None, sort=names),
        color=alt.Color("best:N", legend=None, scale=alt.Scale(domain=domain, range=_COLOURS)),
    )
    line = base.mark_rule(opacity=0.5).encode(x=alt.X("low:Q", title="points"), x2="high:Q")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x="value:Q",
        shape=alt.Shape("best:N", legend=None, scale=alt.Scale(domain=domain, range=["diamond", "circle"])),
        tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in ("personalizer", "what", "told")],
    )
    chart = alt.layer(line, dots).properties(width=280, height=alt.Step(22))
    order = ["gain", *(f"PB {axis}" for axis in AXES)]
    shown = chart.facet(facet=alt.Facet("what:N", title=None, sort=order), columns=2).resolve_scale(x="independent")
    return as_plain(
        shown, f"Gain of each personalizer beside its bias on each axis, with {confidence(analysis)} intervals"
    )


def _row(personalizer: str, what: str, value: float, ci: tuple[float, float], *, best: bool = False) -> dict[str, Any]:
    told = f"{signed(value) if what == 'gain' else f'{value:.1f}'} ({interval(ci)})"
    return {
        "personalizer": personalizer, "what": what, "value": value, "low": ci[0], "high": ci[1], "best": best,
        "told": told,
    }  # fmt: skip

"""An evolved defense: how the search went and what the confirmation shows, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from evenhand.analysis.evolution import (
    NOT_SHOWN,
    OBJECTIVES,
    PARTLY,
    SHOWN,
    TRADED,
    WORSE,
    Changes,
    Claim,
    Confirmation,
    Objective,
)
from evenhand.report import words


def search_table(tried: Mapping[str, Changes], front: Sequence[str], chosen: str) -> Table:
    """Every defense on the items for tuning.

    Args:
        tried: name -> its changes from no defense.
        front: those that no other replaced.
        chosen: the one that was confirmed.
    """
    objectives = [o for o in OBJECTIVES if any(o in found for found in tried.values())]
    table = Table(
        "defense", *objectives, "front", title="The search, on the items and identities to improve on",
        caption="Of the best of many these figures are too good. Front: no other is better beyond noise in something "
        "and worse in nothing.",
    )  # fmt: skip
    for name, found in tried.items():
        cells = [
            words.points(found[o].after, 2 if o == "bias" else 1) if o in found else words.MISSING for o in objectives
        ]
        table.add_row(name, *cells, "chosen" if name == chosen else "yes" if name in front else "")
    return table


def confirmation_table(found: Confirmation) -> Table:
    """The evolved defense against none and against each shipped one, on fresh items and identities."""
    table = Table(
        "against", *(f"change of {objective}" for objective in found.none), "shown",
        title="The evolved defense on fresh items and identities: what it changes, with 95 % intervals",
        caption="Bias: corrected, of safety and utility together; less is better. Shown: after Holm, over all "
        "objectives against none, and over all of the others together.",
    )  # fmt: skip
    for name, claims in {"none": found.none, **found.rivals}.items():
        cells = [_cell(objective, claims.get(objective)) for objective in found.none]
        table.add_row(name, *cells, _shown(claims))
    return table


def _cell(objective: Objective, claim: Claim | None) -> str:
    if claim is None:
        return words.MISSING
    digits = 2 if objective == "bias" else 1
    low, high = (words.signed(end, digits) for end in claim.change.ci)
    after = words.points(claim.change.after, digits)
    return f"{words.signed(claim.change.difference, digits)} ({low} to {high}), to {after}"


def _shown(claims: Mapping[Objective, Claim]) -> str:
    better = [o for o, c in claims.items() if c.better]
    worse = [o for o, c in claims.items() if c.worse]
    told = [f"better: {', '.join(better)}" if better else "", f"worse: {', '.join(worse)}" if worse else ""]
    return "; ".join(text for text in told if text) or "nothing"


def verdict_sentence(found: Confirmation) -> str:
    """What the confirmation carries, in one or two sentences."""
    better = _listed([o for o, c in found.none.items() if c.better])
    worse = _listed([o for o, c in found.none.items() if c.worse])
    risky = [f"{o} (up to {words.points(c.risk)} points)" for o, c in found.none.items() if not (c.kept or c.better)]
    margin = f"{found.margin:g} points"
    first = {
        SHOWN: f"Improvement shown: better than no defense in {better}; a loss of {margin} elsewhere is ruled out.",
        PARTLY: f"Better than no defense in {better}, but a loss of {margin} is not ruled out in {_listed(risky)}.",
        TRADED: f"Better than no defense in {better}, and worse in {worse}: a trade.",
        NOT_SHOWN: "No improvement shown: nothing that was measured is better than without a defense beyond noise.",
        WORSE: f"Worse than no defense in {worse}.",
    }[found.verdict]
    unmeasured = "" if "gain" in found.none else " Whether answers still suit the user was not measured."
    return f"{first}{unmeasured} {_rivals(found)}".strip()


def _rivals(found: Confirmation) -> str:
    count = len(found.rivals)
    if not count:
        return ""
    beaten, beaten_by = _listed(found.beaten), _listed(found.beaten_by)
    told = f"Of {count} shipped defenses it is shown to be better than {beaten or 'none'}"
    return f"{told}; shown to be better than it: {beaten_by or 'none'}."


def _listed(names: list[str]) -> str:
    return ", ".join(names)

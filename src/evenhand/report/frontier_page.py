"""Mitigations side by side as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenhand.analysis.choosing import Candidate
from evenhand.analysis.frontier import Outcome
from evenhand.report import frontier
from evenhand.report.small_page import embedded, small_page


def frontier_page(outcomes: Sequence[Outcome], candidates: Mapping[str, Candidate], reason: str = "") -> str:
    """What fresh items show, the plot, and what was seen when it was chosen.

    Args:
        outcomes: what was confirmed, or compared.
        candidates: what was chosen among.
        reason: why nothing was confirmed.
    """
    picture = frontier.frontier_svg(outcomes, candidates) if outcomes or candidates else ""
    return small_page(
        "frontier.html.j2",
        outcomes=outcomes,
        columns=frontier.columns(outcomes),
        rows=frontier.rows(outcomes),
        caption=frontier.caption(outcomes),
        sentences=frontier.sentences(outcomes),
        choosing_columns=frontier.choosing_columns(candidates),
        choosing_rows=frontier.choosing_rows(candidates),
        choosing=frontier.CHOOSING,
        reason=reason,
        picture=embedded(picture),
    )

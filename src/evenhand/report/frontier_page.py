"""Mitigations side by side as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

import evenhand
from evenhand.analysis.choosing import Candidate
from evenhand.analysis.frontier import Outcome
from evenhand.report import frontier
from evenhand.visible import visible


def frontier_page(outcomes: Sequence[Outcome], candidates: Mapping[str, Candidate], reason: str = "") -> str:
    """What fresh items show, the plot, and what was seen when it was chosen.

    Args:
        outcomes: what was confirmed, or compared.
        candidates: what was chosen among.
        reason: why nothing was confirmed.
    """
    environment = Environment(
        loader=PackageLoader("evenhand.report"), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    picture = frontier.frontier_svg(outcomes, candidates) if outcomes or candidates else ""
    return environment.get_template("frontier.html.j2").render(
        outcomes=outcomes,
        columns=frontier.columns(outcomes),
        rows=frontier.rows(outcomes),
        caption=frontier.caption(outcomes),
        sentences=frontier.sentences(outcomes),
        choosing_columns=frontier.choosing_columns(candidates),
        choosing_rows=frontier.choosing_rows(candidates),
        choosing=frontier.CHOOSING,
        reason=reason,
        picture=base64.b64encode(picture.encode()).decode(),
        version=evenhand.__version__,
    )


def _shown(value: object) -> object:
    return visible(value) if type(value) is str else value

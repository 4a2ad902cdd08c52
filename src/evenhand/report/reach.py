"""What a study of mitigations could show, in sentences."""

from __future__ import annotations

import math

from evenhand.analysis.reach import Reach
from evenhand.report import words


def reach_sentences(found: Reach) -> list[str]:
    """What could be shown of a mitigation that takes all of the bias away, and of one that loses nothing."""
    items = ", ".join(f"{count:,} of {suite}" for suite, count in found.items.items())
    often = f"{100 * found.reduction:.0f} %"
    if found.decidable:
        shown = (
            f"With {items}, a mitigation that took all of it away would be shown to take at least "
            f"{words.hundredths(found.share)} % in half of such studies, and some of it in {often}."
        )
    else:
        shown = (
            f"It cannot be decided with these items ({items}): a mitigation that took all of the bias away would be "
            f"shown to lower it in {often} of such studies only. Take more items, or identities between which the "
            "bias is larger."
        )
    lines = [f"Bias in the study: {words.points(found.bias, 2)} points, corrected. {shown}"]
    if found.target is not None:
        lines.append(_needed(found, found.target))
    if found.open:
        risks = ", ".join(f"{measure} ({words.points(risk)} points)" for measure, risk in found.open.items())
        lines.append(
            f"Even where nothing changes, a loss of the margin cannot be ruled out with these items in {risks}."
        )
    return lines


def _needed(found: Reach, target: float) -> str:
    wanted = f"More than {words.hundredths(target)} %"
    if found.bias <= 0:
        return f"{wanted} cannot be shown of a bias that is not there."
    if found.factor is None:
        return f"{wanted} would take more items than are looked at here."
    if math.isclose(found.factor, 1.0):
        return f"{wanted} can be shown with as many items."
    items = ", ".join(f"{round(found.factor * count):,} of {suite}" for suite, count in found.items.items())
    return f"{wanted} would take about {found.factor:.1f} times as many items ({items})."

"""Axes on which no answer could be read: nothing can be seen of bias there, which is not that there is none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.analysis.bias import PBEstimate
from evenhand.analysis.missing import UNANSWERED
from evenhand.scored import ScoreRows

# Labels of judges that found nothing to score.
UNREADABLE = UNANSWERED | {"no-answer"}
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Silence:
    """An axis whose answers all score 0 and, but for a tenth, hold nothing that can be read.

    Attributes:
        axis: its name.
        answers: scored answers, those of baselines too.
        labels: label of those that could not be read -> how many.
    """

    axis: str
    answers: int
    labels: Mapping[str, int]


def silences(rows: Iterable[Sequence[Any]]) -> list[Silence]:
    """The axes on which no answer could be read, in the order in which they come."""
    found = []
    for axis, asked in ScoreRows.of(rows).by("axis").items():
        scored = asked.where(asked.is_scored)
        labels = Counter({label: n for label, n in scored.counts("label").items() if label in UNREADABLE})
        if len(scored) and not scored.score.any() and labels.total() >= _NEARLY_ALL * len(scored):
            found.append(Silence(axis, len(scored), dict(labels.most_common())))
    return found


def silence_note(silence: Silence, estimate: PBEstimate | None) -> str:
    """What must be said of such an axis before anything else.

    Args:
        silence: the axis.
        estimate: of its PB; None where there is none.
    """
    unread = sum(silence.labels.values())
    whole = unread == silence.answers
    count = f"None of the {unread:,}" if whole else f"All but {silence.answers - unread:,} of the {silence.answers:,}"
    lead = f"{count} answers on {silence.axis} could {'' if whole else 'not '}be read"
    named = ", ".join(f"{label} {n:,}" for label, n in silence.labels.items())
    said = f"{lead}, and every one scores 0 ({named}): nothing can be seen of bias there."
    if estimate is None:
        return said
    items, most = estimate.information.items, estimate.ci[1]
    left = f"of up to {most:.1f} points (the rule of three)" if math.isfinite(most) else "of any size"
    return (
        f"{said} That no item of {items:,} tells identities apart leaves a bias {left}, and is no sign that there is "
        "none. Ask a model that can do some of it."
    )

"""What happened while a study was run that a reader of its numbers must know."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from evenhand.study.reading import Reader

ADJUSTMENTS = "adjustments"
LIMITS = "max_tokens"

_SAID = {
    "system": "The server takes no system message ({said}): its text stood in the user's turn, a blank line between.",
    "api": "The model is served by the Responses API alone ({said}), and was asked through it.",
}


def study_notes(store: Reader) -> list[str]:
    """Sentences about how the study was asked, the weightiest first."""
    return [*adjustment_notes(store.meta(ADJUSTMENTS, {})), *_limit_notes(store)]


def stopping_note(level: float) -> str:
    """What an adaptive study's stopping means for its numbers, whose intervals have this level."""
    return (
        f"The study stopped when it was precise enough. Its intervals have a level of {100 * level:.4g} %, so that "
        "with the looks on the way they hold in 95 %. Where few items show a difference, a study that stopped early "
        "met fewer of them than there are: its estimate rather lies low, which its interval allows for."
    )


def looked_note(level: float) -> str:
    """What it means for a study's numbers that its gate's looks may have ended it; intervals have this level."""
    return (
        f"The gate's looks may have ended this study. Its intervals have a level of {100 * level:.4g} %, so that over "
        "all looks they hold in 95 %. The estimates are not corrected for stopping: they lean towards what ended the "
        "study, low after a pass and high after a failure."
    )


def adjustment_notes(adjustments: Mapping[str, str]) -> list[str]:
    """What a model left out or asked otherwise -> a sentence each.

    Args:
        adjustments: as :meth:`evenhand.models.Model.adjustments` gives them.
    """
    left_out = "The server does not take {name} ({said}): it was left out, and the server's own value holds."
    return [_SAID.get(name, left_out).format(name=name, said=said) for name, said in adjustments.items()]


def _limit_notes(store: Reader) -> list[str]:
    limits = store.meta(LIMITS, [])
    if len(limits) < 2:
        return []
    steps = ", then ".join(f"from {before:,} to {after:,}" for before, after in itertools.pairwise(limits))
    return [f"max_tokens was raised {steps}: {store.count_replaced():,} answers that it had cut were asked again."]

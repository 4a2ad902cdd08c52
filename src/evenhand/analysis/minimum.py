"""The fewest items that can show a limit to be kept: what is rarer cannot have been met.

With ``m`` items of which none shows something, its share may still be ``1 - error^(1/m)`` (the rule of three).
"""

from __future__ import annotations

import math


def rate_bound(items: float, alpha: float) -> float:
    """The largest rate with which ``items`` show nothing in at least ``alpha`` of samples (the rule of three)."""
    return float(1 - alpha ** (1 / items))


def least_items(room: float, error: float) -> int | None:
    """Items needed, when none shows it, to say that something happens on at most ``room`` points of the items.

    Args:
        room: in points (0-100).
        error: one-sided error of saying so.

    Returns:
        None where no number of items would do.
    """
    if room <= 0:
        return None
    if room >= 100:
        return 1
    return max(1, math.ceil(math.log(error) / math.log1p(-room / 100) - 1e-9))


def bias_room(pb: float, identities: int) -> float:
    """Share of items in points on which identities may differ all the way without more bias than ``pb``.

    The most bias comes from half of the identities scoring 0 where the others score 100.

    Args:
        pb: in points.
        identities: how many.
    """
    half = identities // 2
    return pb * identities / math.sqrt(max(half * (identities - half), 1))

"""Tests that draw anew who matches, among those who are interchangeable where it makes no difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.factorial import Codes
from evenhand.analysis.scores import Floats

Mask = NDArray[np.bool_]
# Draws at most, and after how many that reach the difference nothing more is to be learned (Besag and Clifford 1991).
_DRAWS, _REACHED = 1999, 100
# Numbers that are held at once while labels are drawn.
_AT_ONCE = 2_000_000


def p_value(matches: Mask, blocks: Codes, statistic: Callable[[Mask], Floats], size: int, seed: int) -> float:
    """p of no difference, two-sided.

    Args:
        matches: who matches, shape (n,).
        blocks: within which it is drawn anew who does, shape (n,).
        statistic: of each column of labels, shape (n, draws) -> (draws,); 0 where there is no difference.
        size: numbers that it needs for one draw.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    seen = abs(float(statistic(matches[:, None])[0])) - 1e-9
    order = np.argsort(blocks, kind="stable")
    sorted_labels = matches[order][:, None]
    at_once = min(max(1, _AT_ONCE // max(size, len(matches))), _REACHED)
    reached, done = 0, 0
    while done < _DRAWS:
        count = min(_DRAWS - done, at_once)
        # Sorted by block and then at random, everybody takes the label of who stood there before.
        places = np.argsort(blocks[:, None] + rng.random((len(matches), count)), axis=0)
        drawn = np.empty((len(matches), count), dtype=bool)
        np.put_along_axis(drawn, places, np.broadcast_to(sorted_labels, drawn.shape), axis=0)
        further = np.flatnonzero(np.abs(statistic(drawn)) >= seen)
        if reached + len(further) >= _REACHED:
            return _REACHED / (done + int(further[_REACHED - reached - 1]) + 1)
        reached, done = reached + len(further), done + count
    return (reached + 1) / (_DRAWS + 1)

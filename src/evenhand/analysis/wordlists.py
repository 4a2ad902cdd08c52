"""Words that one set of texts uses more than another: log odds with a Dirichlet prior (Monroe and others 2008)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]{2,40}")
_PRIOR = 0.01
_SURE = 2.0


def telling_words(one: Sequence[str], other: Sequence[str], count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that tell the first texts from the second.

    A text counts a word once, so that one that repeats itself weighs no more than another. The prior is what both use
    together. What is less than two standard errors off is left out.

    Args:
        one, other: texts.
        count: how many words, at most, of each.

    Returns:
        Words of the first, and of the second, the most telling first.
    """
    first, second = (Counter(w for text in texts for w in set(_WORD.findall(text.lower()))) for texts in (one, other))
    together = first + second
    total, prior = together.total(), _PRIOR * together.total()
    if not first or not second:
        return ((), ())
    z = {}
    for word, uses in together.items():
        expected = prior * uses / total
        odds = [
            math.log((counts[word] + expected) / (counts.total() + prior - counts[word] - expected))
            for counts in (first, second)
        ]
        z[word] = (odds[0] - odds[1]) / math.sqrt(sum(1 / (counts[word] + expected) for counts in (first, second)))
    ranked = sorted(z, key=lambda word: (-z[word], word))
    more = [word for word in ranked[:count] if z[word] > _SURE]
    less = [word for word in ranked[::-1][:count] if z[word] < -_SURE]
    return tuple(more), tuple(less)

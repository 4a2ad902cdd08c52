"""Vectors of texts, each made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from evenhand.embeddings.base import Encoder, Rows, embed_all
from evenhand.loops import run_async


class Vectors:
    """Remembers the vectors of texts, so that what reads them is a pure function of the texts.

    Args:
        encoder: makes those that are not there yet.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._known: dict[str, Rows] = {}

    async def add(self, texts: Iterable[str]) -> None:
        """Make the vectors of all texts that have none, together: worth doing before they are needed one by one.

        Raises:
            ModelError: the encoder cannot be used, or not for these texts.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, await embed_all(self.encoder, new), strict=True))

    def of(self, texts: Sequence[str]) -> Rows:
        """The vectors of texts: (n, d), of unit length; n must not be 0. Those that are not there yet are made now.

        Raises:
            ModelError: as :meth:`add`.
        """
        if any(text not in self._known for text in texts):
            run_async(self.add(texts))
        return np.stack([self._known[text] for text in texts])

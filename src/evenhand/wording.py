"""What can be counted in open answers: words, reading level, and how like two answers are."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from evenhand.analysis import Settings
from evenhand.analysis.open_answers import OpenMeasure, open_measure
from evenhand.analysis.scores import Floats
from evenhand.study import Store
from evenhand.types import BASELINE_CATEGORY

# (item, who) -> answers.
Answers = Mapping[tuple[str, str], Sequence[str]]

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n\s*\n|\n\s*(?=[-*•\d])")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?:[^laeiouyszxcgh]es|[^aeioudty]ed|[^aeiouyl]e)$")
# Every fourth word of English prose is one of these; of other languages, hardly any.
_ENGLISH = frozenset(
    re.findall(r"\w+", "the of and to in is that for it you with are this be not or as on have can your from i by")
)
_ENGLISH_SHARE = 0.1
_FEWEST_WORDS = 10
MEASURES = {"words": "words", "reading_grade": "US school grades", "similarity": "cosine, 0 to 1"}


def words(text: str) -> list[str]:
    """The words of a text in lower case. Scripts that put no blanks between words count as few long ones."""
    return _WORD.findall(text.casefold())


def reading_grade(text: str) -> float:
    """The US school grade that an English text needs (Kincaid et al. 1975: words per sentence, syllables per word).

    NaN for texts of fewer than ten words and for what does not look like English, because syllables are counted by the
    rules of its spelling.
    """
    found = words(text)
    if len(found) < _FEWEST_WORDS or sum(word in _ENGLISH for word in found) < _ENGLISH_SHARE * len(found):
        return math.nan
    sentences = sum(bool(_WORD.search(part)) for part in _SENTENCE_END.split(text))
    return 0.39 * len(found) / max(sentences, 1) + 11.8 * sum(map(syllables, found)) / len(found) - 15.59


@lru_cache(maxsize=50_000)
def syllables(word: str) -> int:
    """About how many syllables an English word in lower case has; at least one."""
    return max(len(_VOWELS.findall(_SILENT.sub("", word) if len(word) > 3 else word)), 1)


def cosine(one: Counter[str], other: Counter[str]) -> float:
    """The cosine of two texts' word counts, in [0, 1]; 0 where one has no words."""
    return _dot(_direction(one), _direction(other))


def open_answers(store: Store, settings: Settings) -> tuple[OpenMeasure, ...]:
    """Contrasts of the answers in a study's suites, judge-free.

    Whole answers only: what is empty, cut or filtered, or a scored choice, is left out.
    """
    everyone = store.identities()
    people = [row["name"] for row in everyone if row["category"] != BASELINE_CATEGORY]
    baselines = [row["name"] for row in everyone if row["category"] == BASELINE_CATEGORY]
    found: list[OpenMeasure | None] = []
    for suite in store.suites():
        answers: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for item, _, identity, text in store.whole_answers(suite["suite"]):
            answers[item, identity].append(text)
        baseline = next((b for b in baselines if any(who == b for _, who in answers)), None)
        found += [
            _measured(suite["suite"], measure, people, baseline, answers, settings) for measure in MEASURES if answers
        ]
    return tuple(measure for measure in found if measure)


def _measured(
    suite: str, measure: str, people: Sequence[str], baseline: str | None, answers: Answers, settings: Settings
) -> OpenMeasure | None:
    items = sorted({item for item, _ in answers})
    if measure == "similarity":
        if baseline is None:
            return None
        values, own = similarities(items, people, baseline, answers)
        if not np.isfinite(own).any():  # one answer an item shows no noise
            return None
    else:
        count = lru_cache(maxsize=None)(reading_grade if measure == "reading_grade" else _length)
        rows = [
            [_mean([count(t) for t in answers.get((i, who), ())]) for i in items] for who in (*people, baseline or "")
        ]
        values, own = np.array(rows[:-1]).reshape(len(people), len(items)), np.array(rows[-1])
    return open_measure(
        suite,
        measure,
        MEASURES[measure],
        people,
        values,
        (baseline, own) if baseline else None,
        draws=settings.draws,
        seed=settings.seed,
    )


def _length(text: str) -> float:
    return float(len(words(text)))


def similarities(items: Sequence[str], people: Sequence[str], baseline: str, answers: Answers) -> tuple[Floats, Floats]:
    """How like the baseline's answers each identity's are, and how like each other the baseline's are.

    Every pair counts, of different answers on both sides: so both are the same in expectation where the identity makes
    no difference.
    """
    values, own = np.full((len(people), len(items)), np.nan), np.full(len(items), np.nan)
    for column, item in enumerate(items):
        count = len(answers.get((item, baseline), ()))
        if not count:
            continue
        ours, lengths = _sum_of_directions(answers[item, baseline])
        if count > 1:
            own[column] = (_dot(ours, ours) - lengths) / (count * (count - 1))
        for row, who in enumerate(people):
            if said := answers.get((item, who)):
                values[row, column] = _dot(_sum_of_directions(said)[0], ours) / (len(said) * count)
    return values, own


def _direction(counts: Mapping[str, int]) -> dict[str, float]:
    """Word counts at unit length."""
    norm = math.sqrt(sum(n * n for n in counts.values()))
    return {word: n / norm for word, n in counts.items()}


def _sum_of_directions(texts: Sequence[str]) -> tuple[dict[str, float], int]:
    """The sum of the texts' directions, and of their squared lengths.

    The mean cosine over pairs is the product of two such sums, which saves going through the pairs.
    """
    total: defaultdict[str, float] = defaultdict(float)
    with_words = 0
    for text in texts:
        direction = _direction(Counter(words(text)))
        with_words += bool(direction)
        for word, share in direction.items():
            total[word] += share
    return total, with_words


def _dot(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(share * other.get(word, 0.0) for word, share in one.items())


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan

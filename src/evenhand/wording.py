"""What can be said of open answers without a judge: words, reading level, how like two answers are, and their tone."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from evenhand.analysis import Settings
from evenhand.analysis.open_answers import OpenMeasure, open_measure
from evenhand.analysis.scores import Floats
from evenhand.masking import masker
from evenhand.study import Store
from evenhand.tones import Tone
from evenhand.types import BASELINE_CATEGORY

# (item, who) -> answers.
Answers = Mapping[tuple[str, str], Sequence[str]]

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]+(?=\s|$)|\n(?:[^\S\n]*\n)+|\n[^\S\n]*(?=[-*•\d])")
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


def open_answers(
    store: Store, settings: Settings, tones: Sequence[Tone] = (), tell: Callable[[str], None] = lambda _: None
) -> tuple[OpenMeasure, ...]:
    """Contrasts of the answers in a study's suites, judge-free.

    Whole answers only: what is empty, cut or filtered, or a scored choice, is left out.

    Args:
        store: the study.
        settings: of the noise.
        tones: further measures, by classifiers. They see each answer without the words of identities.
        tell: told how far each of these is.

    Raises:
        ModelError: a classifier cannot be used.
    """
    everyone = store.identities()
    people = [row["name"] for row in everyone if row["category"] != BASELINE_CATEGORY]
    baselines = [row["name"] for row in everyone if row["category"] == BASELINE_CATEGORY]
    for tone in tones:
        tone.start()
    masked = lru_cache(maxsize=None)(masker({*people, *(part for row in everyone for part in row["parts"])}))
    found: list[OpenMeasure | None] = []
    for suite in store.suites():
        answers: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for item, _, identity, text in store.whole_answers(suite["suite"]):
            answers[item, identity].append(text)
        if not answers:
            continue
        baseline = next((b for b in baselines if any(who == b for _, who in answers)), None)
        asked = _Asked(suite["suite"], people, baseline, answers, settings)
        found += [asked.counted("words", _length), asked.counted("reading_grade", reading_grade), asked.likeness()]
        found += [asked.toned(tone, masked, tell) for tone in tones]
    return tuple(measure for measure in found if measure)


@dataclass(frozen=True)
class _Asked:
    """The answers to one suite, and who got them."""

    suite: str
    people: Sequence[str]
    baseline: str | None
    answers: Answers
    settings: Settings

    @property
    def items(self) -> list[str]:
        return sorted({item for item, _ in self.answers})

    def counted(self, measure: str, count: Callable[[str], float], unit: str = "") -> OpenMeasure | None:
        """Whatever can be said of one answer; NaN where it cannot."""
        count, items = lru_cache(maxsize=None)(count), self.items
        rows = [
            [_mean([count(t) for t in self.answers.get((i, who), ())]) for i in items]
            for who in (*self.people, self.baseline or "")
        ]
        values = np.array(rows[:-1]).reshape(len(self.people), len(items))
        return self._contrasted(measure, unit or MEASURES[measure], values, np.array(rows[-1]))

    def likeness(self) -> OpenMeasure | None:
        """How like the baseline's answers are; None where one answer an item shows no noise."""
        if self.baseline is None:
            return None
        values, own = similarities(self.items, self.people, self.baseline, self.answers)
        if not np.isfinite(own).any():
            return None
        return self._contrasted("similarity", MEASURES["similarity"], values, own)

    def toned(self, tone: Tone, masked: Callable[[str], str], tell: Callable[[str], None]) -> OpenMeasure | None:
        """What a classifier says of each answer without the words of identities."""

        def progress(done: int, of: int) -> None:
            tell(f"{tone.name}: {done:,} of {of:,} answers")

        texts = [masked(text) for said in self.answers.values() for text in said]
        values = tone.of(texts, progress)
        found = self.counted(tone.name, lambda text: values[masked(text)], tone.unit)
        return found and replace(found, how=tone.how(sum(math.isnan(values[text]) for text in texts)))

    def _contrasted(self, measure: str, unit: str, values: Floats, own: Floats) -> OpenMeasure | None:
        baseline = (self.baseline, own) if self.baseline else None
        draws, seed = self.settings.draws, self.settings.seed
        return open_measure(self.suite, measure, unit, self.people, values, baseline, draws=draws, seed=seed)


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

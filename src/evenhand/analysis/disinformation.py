"""Personalized disinformation: does asking for an audience lower the safety filter, and does it matter who asks?

Counts of texts as the paper's tables have them (arXiv 2412.13666), and differences between conditions, paired by
narrative. Narratives are what is sampled: texts on one narrative are no independent evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from evenhand.analysis.label_rates import proportion
from evenhand.analysis.scores import SuiteScores
from evenhand.analysis.wordings import WordingGap, wording_gaps
from evenhand.types import STANDARD

GRADES = (0, 1, 2, 3)
# Grades 1 and 2 are not told apart reliably, not even by people; the two halves of the scale are.
_WELL = (2, 3)


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """One answer to a request for an article.

    Attributes:
        narrative, condition: of the request; the condition :data:`STANDARD` is for nobody in particular.
        target: the audience that was asked for, "" for none.
        identity, is_baseline: who asked.
        refused: whether it declines; None where nobody could tell.
        stance: "agrees", "both" or "disputes"; "" where it was not judged.
        quality: how well it addresses its audience, 0 to 3; None where it was not graded.
        disclaimer: whether it warns of itself.
        article: whether it has the form of an article.
        phrase: whether it has one of the authors' phrases of refusal.
        named: whether it names its audience; None without one.
        words: how many it has.
    """

    narrative: str
    condition: str
    target: str
    identity: str
    is_baseline: bool
    refused: bool | None
    stance: str = ""
    quality: int | None = None
    disclaimer: bool = False
    article: bool = False
    phrase: bool = False
    named: bool | None = None
    words: int = 0


@dataclass(frozen=True)
class Tally:
    """Counts of the texts that have something in common.

    Attributes:
        name: what that is.
        texts: how many could be judged.
        unjudged: how many could not; they are not in ``texts``.
        narratives: how many they are about.
        refused: how many decline.
        rate: that in percent of ``texts``; NaN without any.
        ci: its interval, in percent, over narratives (of one narrative, over its texts).
        phrases: how many have one of the authors' phrases of refusal: a cross-check of ``refused``.
        agree: how many the judge and the phrases say the same of.
        written: how many do not decline; the counts that follow are of these.
        articles, disclaimers: how many have the form of an article; how many warn of themselves.
        words: median length; NaN without any.
        for_audience, named: how many were for an audience, and how many of these name it.
        stances: stance -> texts, of those whose stance was judged.
        graded: texts for an audience that were graded, with those that decline where any was graded.
        grades: grade -> texts.
        well: percent of ``graded`` with grade 2 or 3; NaN without any.
    """

    name: str
    texts: int
    unjudged: int
    narratives: int
    refused: int
    rate: float
    ci: tuple[float, float]
    phrases: int
    agree: int
    written: int
    articles: int
    disclaimers: int
    words: float
    for_audience: int
    named: int
    stances: dict[str, int]
    graded: int
    grades: dict[int, int]
    well: float


@dataclass(frozen=True)
class FilterGap:
    """How much more often, or less, answers decline under one condition than under another.

    Attributes:
        condition, against: the conditions.
        target: the audience, "" for all together.
        gap: the difference in points, paired by narrative, for the identities, for nobody and by who asks.
    """

    condition: str
    against: str
    target: str
    gap: WordingGap


def tallies(
    texts: Sequence[GeneratedText], by: Callable[[GeneratedText], str], *, level: float = 0.95
) -> tuple[Tally, ...]:
    """Counts by what texts have in common, in the order in which it comes first.

    Args:
        texts: any.
        by: what a text is counted under.
        level: confidence of the intervals.
    """
    found: dict[str, list[GeneratedText]] = {}
    for text in texts:
        found.setdefault(by(text), []).append(text)
    return tuple(_tally(name, members, level) for name, members in found.items())


def filter_gaps(
    table: SuiteScores,
    targets: Mapping[str, str],
    control: tuple[str, str] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[FilterGap, ...]:
    """Every condition against asking for nobody, for all audiences together and for each of them.

    Args:
        table: 100 for an answer that declines, 0 for one that does not; clusters are narratives, wordings conditions.
        targets: item -> its audience, or the audience whose description it is as long as, or "" for one that belongs
            to none; items for nobody are not in it.
        control: a condition, and another one that it is set against as well, where both were asked.
        draws, seed: of the resampling.
        level: confidence of the intervals. q-values are adjusted over all differences that have the same reference
            and are about all audiences together, or about one of them.
    """
    audiences = [_for(table, targets, target) for target in dict.fromkeys(filter(None, targets.values()))]
    found: list[FilterGap] = []
    for tables in ([table], audiences):
        asked = [(STANDARD, tables)]
        if control:
            asked.append((control[1], [_against(one, control) for one in tables]))
        for against, compared in asked:
            # Gaps without a suite are means over the tables, which have items in common.
            found += [
                FilterGap(gap.wording, against, "" if gap.suite == table.suite else gap.suite, gap)
                for gap in wording_gaps(compared, draws=draws, seed=seed, level=level)
                if gap.suite
            ]
    return tuple(found)


def smallest_p(narratives: int) -> float:
    """The smallest two-sided p-value that so many narratives can give: all of them go the same way."""
    return min(1.0, 2.0 ** (1 - narratives))


def _for(table: SuiteScores, targets: Mapping[str, str], target: str) -> SuiteScores:
    """The table of one audience, under its name."""
    wanted = np.array([targets.get(item) in (None, target) for item in table.items], dtype=bool)
    return replace(table.select_items(wanted), suite=target)


def _against(table: SuiteScores, control: tuple[str, str]) -> SuiteScores:
    """The table with a condition and another one that takes the standard one's place; the others are out of it."""
    renamed = {control[0]: control[0], control[1]: STANDARD}
    return replace(table, wordings=tuple(renamed.get(wording, "") for wording in table.wordings))


def _tally(name: str, members: Sequence[GeneratedText], level: float) -> Tally:
    texts = [text for text in members if text.refused is not None]
    written = [text for text in texts if not text.refused]
    hits = np.array([bool(text.refused) for text in texts], dtype=float)
    share, ends = (
        proportion(hits, [text.narrative for text in texts], level) if texts else (math.nan, (math.nan, math.nan))
    )
    audience = [text for text in written if text.named is not None]
    grades = Counter(text.quality for text in written if text.quality is not None)
    refused = len(texts) - len(written)
    graded = grades.total() + refused if grades else 0
    return Tally(
        name,
        texts=len(texts),
        unjudged=len(members) - len(texts),
        narratives=len({text.narrative for text in texts}),
        refused=refused,
        rate=100 * share,
        ci=(100 * ends[0], 100 * ends[1]),
        phrases=sum(text.phrase for text in texts),
        agree=sum(text.phrase == text.refused for text in texts),
        written=len(written),
        articles=sum(text.article for text in written),
        disclaimers=sum(text.disclaimer for text in written),
        words=float(median(text.words for text in written)) if written else math.nan,
        for_audience=len(audience),
        named=sum(bool(text.named) for text in audience),
        stances=dict(Counter(text.stance for text in texts if text.stance)),
        graded=graded,
        grades={grade: grades[grade] for grade in GRADES} if grades else {},
        well=100 * sum(grades[grade] for grade in _WELL) / graded if graded else math.nan,
    )

"""The same questions in another wording, such as a dialect: what it costs, paired by question, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evenhand.analysis.deviations import Contrast, Differences, from_baseline, judged
from evenhand.analysis.marginals import cluster_codes, summed_by
from evenhand.analysis.scores import Floats, SuiteScores, mean_ignoring_nan
from evenhand.types import AXES, STANDARD

_TOP = 100.0
# Who stands for nobody in particular, the first of them that was asked.
_NOBODY = ("plain", "bare")

# Rows of some tables against one of their baselines.
_Against = Callable[[Sequence[SuiteScores], str], Differences]


@dataclass(frozen=True)
class WordingGap:
    """One wording against the standard one, on a suite or on an axis.

    Attributes:
        suite: which; "" for the suites of the axis together, each counting alike.
        axis: of the suite.
        wording: the other wording.
        questions: how many were asked in both; they are what is resampled.
        scores: mean scores in points on these questions, of the standard wording and of the other one.
        difference: the wording's score minus the standard's, paired by question: the mean over the identities, over the
            baselines where there are none. q-values are adjusted over the suites, or the wordings of an axis.
        baseline: who is nobody in particular; "" without one.
        nobody: the same difference for the baseline alone; None without one.
        changes: identity -> its difference minus the baseline's: whether saying who asks changes what the wording
            costs. Adjusted over the identities.
    """

    suite: str
    axis: str
    wording: str
    questions: int
    scores: tuple[float, float]
    difference: Contrast
    baseline: str
    nobody: Contrast | None
    changes: dict[str, Contrast]


def wording_gaps(
    tables: Sequence[SuiteScores],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    scales: Mapping[str, float] | None = None,
) -> list[WordingGap]:
    """Every wording against the standard one, by suite and, where several suites have it, by axis.

    Args:
        tables: suites; those without wordings are left alone.
        draws, seed: of the resampling.
        level: confidence of the intervals.
        scales: suite -> factor on its errors, 1 otherwise.
    """

    def against(rows: Sequence[SuiteScores], baseline: str) -> Differences:
        return from_baseline(rows, baseline, draws=draws, seed=seed, level=level, scales=scales)

    found: list[WordingGap] = []
    for axis in AXES:
        pairs = [pair for table in tables if table.axis == axis for pair in _pairs(table)]
        named = {name: [p for p in pairs if p.wording == name] for name in dict.fromkeys(p.wording for p in pairs)}
        found += _gaps([[pair] for pair in pairs], against)
        found += _gaps([members for members in named.values() if len(members) > 1], against)
    return found


@dataclass(frozen=True)
class _Pair:
    """A suite's scores by question in two wordings, shape (everybody, questions), NaN where one of the two is missing.

    Everybody: the identities, then the baselines.
    """

    table: SuiteScores
    wording: str
    standard: Floats
    other: Floats

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which questions somebody of the group was asked in both wordings."""
        return np.asarray(np.isfinite(self.other[self.group]).any(axis=0))

    @property
    def group(self) -> slice:
        """Over whom the difference is: the identities, the baselines where there are none."""
        return slice(0, len(self.table.identities) or None)

    def rows(self, names: Sequence[str], values: Floats, reference: Floats) -> SuiteScores:
        """Some rows by question as a table, with ``reference`` as its one baseline."""
        questions = tuple(map(str, range(reference.size)))
        return replace(
            self.table,
            identities=tuple(names),
            baselines=(STANDARD,),
            items=questions,
            groups=questions,
            clusters=questions,
            personalizers=("",),
            cells=values[None, :, :, None],
            baseline=reference[None],
            through=(),
            wordings=(),
            ways=(),
        )

    def of(self, who: slice) -> SuiteScores:
        """The other wording against the standard one, as the mean over some of everybody."""
        return self.rows([self.wording], _mean(self.other[who])[None], _mean(self.standard[who]))

    def changes(self, people: Sequence[str], baseline: str) -> SuiteScores:
        """Each identity's difference against the baseline's."""
        gaps = self.other - self.standard
        return self.rows(people, gaps[[self.row(name) for name in people]], gaps[self.row(baseline)])

    def row(self, name: str) -> int:
        return (*self.table.identities, *self.table.baselines).index(name)

    def knows(self, name: str) -> bool:
        """Whether an identity or baseline was asked any question in both wordings."""
        known = name in self.table.identities or name in self.table.baselines
        return known and bool(np.isfinite(self.other[self.row(name)]).any())


def _pairs(table: SuiteScores) -> list[_Pair]:
    if not table.wordings:
        return []
    scores, code = table.with_baselines, cluster_codes(table.clusters)
    standard = _by_question(scores, code, table.wordings, STANDARD)
    found = []
    for wording in dict.fromkeys(w for w in table.wordings if w and w != STANDARD):
        other = _by_question(scores, code, table.wordings, wording)
        both = np.isfinite(standard) & np.isfinite(other)
        pair = _Pair(table, wording, *(np.where(both, values, np.nan) for values in (standard, other)))
        if pair.asked.any():
            found.append(pair)
    return found


def _by_question(scores: Floats, code: NDArray[np.intp], wordings: Sequence[str], wording: str) -> Floats:
    """Means over the items of one wording, shape (rows, questions), NaN where there is none."""
    there = np.isfinite(scores) & np.array([w == wording for w in wordings], dtype=bool)
    sums, counts = summed_by(code, np.where(there, scores, 0.0).T), summed_by(code, there.T.astype(float))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).T


def _gaps(groups: Sequence[Sequence[_Pair]], against: _Against) -> list[WordingGap]:
    """One gap per group of suites, adjusted over the groups."""
    if not groups:
        return []
    overall = judged([_apart(against([pair.of(pair.group) for pair in group], STANDARD)) for group in groups])
    return [_gap(group, _within(found, _TOP), against) for group, (found,) in zip(groups, overall, strict=True)]


def _gap(group: Sequence[_Pair], difference: Contrast, against: _Against) -> WordingGap:
    baseline = next((b for b in _NOBODY if all(pair.knows(b) for pair in group)), "")
    people = [name for name in group[0].table.identities if all(pair.knows(name) for pair in group)]
    nobody, changes = None, dict[str, Contrast]()
    if baseline:
        alone = [pair.of(slice(pair.row(baseline), pair.row(baseline) + 1)) for pair in group]
        nobody = _within(_apart(against(alone, STANDARD)).contrasts()[0], _TOP)
    if baseline and people:
        found = against([pair.changes(people, baseline) for pair in group], STANDARD)
        # Differences of differences reach twice as far as scores do, and have no middle that they are drawn to.
        found = replace(found.unbounded(), unseen=2 * found.unseen)
        changes = dict(zip(people, (_within(c, 2 * _TOP) for c in found.contrasts()), strict=True))
    return WordingGap(
        group[0].table.suite if len(group) == 1 else "",
        group[0].table.axis,
        group[0].wording,
        sum(int(pair.asked.sum()) for pair in group),
        (_level([p.standard[p.group] for p in group]), _level([p.other[p.group] for p in group])),
        difference,
        baseline,
        nobody,
        changes,
    )


def _apart(found: Differences) -> Differences:
    """Near the ends of the scale either wording may fail where that was not seen: no side is the safer one."""
    return replace(found, either=True)


def _within(contrast: Contrast, most: float) -> Contrast:
    """The contrast with an interval no longer than the scale is."""
    low, high = contrast.ci
    return replace(contrast, ci=(max(low, -most), min(high, most)))


def _mean(rows: Floats) -> Floats:
    return mean_ignoring_nan(rows, axis=0)


def _level(suites: Sequence[Floats]) -> float:
    return float(np.mean([np.nanmean(_mean(rows)) for rows in suites]))

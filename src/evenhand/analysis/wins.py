"""Who wins where the user pushes against what the provider wants, per identity and way of telling it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evenhand.analysis.deviations import Contrast, from_baseline
from evenhand.analysis.label_rates import EVERYBODY, proportion
from evenhand.analysis.scores import SuiteScores
from evenhand.scored import ScoreRows
from evenhand.types import PRESSED, Axis, ScoreRow

_TOP = 100.0
# Whose answers: suite, axis, personalizer, identity.
_Whose = tuple[str, Axis, str, str]
# (Question, identity) -> share of the answers in which the provider won, in [0, 1].
_Held = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class WinRate:
    """How often an answer keeps to the provider's tier although the user says that it need not.

    Attributes:
        suite, personalizer: which answers.
        identity: whose; "" for all identities together, baselines left out.
        rate: mean score of the pressed wording, in percent; repeats of a question count once for an identity.
        ci: interval, in percent.
        questions: how many.
        against: what ``change`` is measured from: a personalizer, or the study before; "" where there is none.
        change: the rate minus that of the same identity there, paired by question, in points; adjusted over the
            identities. None without anything to measure from.
    """

    suite: str
    personalizer: str
    identity: str
    rate: float
    ci: tuple[float, float]
    questions: int
    against: str = ""
    change: Contrast | None = None


def win_rates(
    rows: Iterable[Sequence[Any]],
    personalizers: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[WinRate, ...]:
    """Win rates of a study; those through other personalizers are set against the first one that states an identity.

    Args:
        rows: scored answers; questions without a pressed wording are left out.
        personalizers: in the study's order.
        draws, seed: of the tests.
        level: confidence of the intervals.
    """
    place = {name: n for n, name in enumerate(personalizers)}
    found = _held(sorted(_pressed(rows), key=lambda row: place.get(row.personalizer, -1)))
    asked = {personalizer for (_, _, personalizer, identity) in found if identity == EVERYBODY}
    first = next((name for name in personalizers if name in asked), "")

    def before(whose: _Whose) -> _Held | None:
        suite, axis, personalizer, identity = whose
        return None if personalizer == first else found.get((suite, axis, first, identity))

    return _rates(found, before, first, draws, seed, level)


def win_changes(
    before: Iterable[Sequence[Any]],
    after: Iterable[Sequence[Any]],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[WinRate, ...]:
    """Win rates of a study, each against the same one of the study before it, such as of the model without an adapter.

    Args:
        before, after: scored answers of the two studies.
        draws, seed, level: as for :func:`win_rates`.
    """
    earlier = _held(_pressed(before))
    found = {whose: held for whose, held in _held(_pressed(after)).items() if whose in earlier}
    return _rates(found, earlier.get, "before", draws, seed, level)


def _pressed(rows: Iterable[Sequence[Any]]) -> ScoreRows:
    """Scored answers to questions in which the user pushes."""
    rows = ScoreRows.of(rows)
    return rows.where(rows.is_scored & rows.column("wording").is_in([PRESSED]))


def _held(rows: Iterable[ScoreRow]) -> dict[_Whose, _Held]:
    """Whose answers -> how each of some pressed questions was answered."""
    scores: defaultdict[_Whose, defaultdict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.score is not None:
            cell = row.cluster or row.item, row.identity
            scores[row.suite, row.axis, row.personalizer, row.identity][cell].append(row.score)
            if not row.is_baseline:
                scores[row.suite, row.axis, row.personalizer, EVERYBODY][cell].append(row.score)
    return {whose: {cell: float(np.mean(found)) for cell, found in held.items()} for whose, held in scores.items()}


def _rates(
    found: Mapping[_Whose, _Held],
    before: Callable[[_Whose], _Held | None],
    against: str,
    draws: int,
    seed: int,
    level: float,
) -> tuple[WinRate, ...]:
    rates: dict[_Whose, WinRate] = {}
    families: defaultdict[tuple[str, Axis, str, bool], list[_Whose]] = defaultdict(list)
    for whose, held in found.items():
        asked = [question for question, _ in held]
        share, (low, high) = proportion(np.array([*held.values()]), asked, level)
        suite, axis, personalizer, identity = whose
        ends = (_TOP * low, _TOP * high)
        rates[whose] = WinRate(suite, personalizer, identity, _TOP * share, ends, len(set(asked)))
        if (other := before(whose)) and not held.keys().isdisjoint(other):
            families[suite, axis, personalizer, identity == EVERYBODY].append(whose)
    for members in families.values():
        pairs = [(found[whose], before(whose) or {}) for whose in members]
        for whose, change in zip(members, _changes(members[0], pairs, draws, seed, level), strict=True):
            rates[whose] = replace(rates[whose], against=against, change=change)
    order = list(dict.fromkeys(rate.personalizer for rate in rates.values()))
    return tuple(sorted(rates.values(), key=lambda r: (r.suite, order.index(r.personalizer), r.identity != EVERYBODY)))


def _changes(
    whose: _Whose, pairs: Sequence[tuple[_Held, _Held]], draws: int, seed: int, level: float
) -> list[Contrast]:
    """Differences paired by question, of identities together."""
    by_question = [_gaps(now, before) for now, before in pairs]
    questions = sorted({question for found in by_question for question in found})
    gaps = _TOP * np.array([[found.get(question, np.nan) for question in questions] for found in by_question])
    names = tuple(map(str, range(len(pairs))))
    table = SuiteScores(
        whose[0], whose[1], names, ("",), tuple(questions), tuple(questions), ("",), gaps[None, :, :, None],
        np.zeros((1, len(questions))), tuple(questions),
    )  # fmt: skip
    found = from_baseline([table], "", draws=draws, seed=seed, level=level)
    # Differences have no middle that they are drawn to, but where nothing was seen to change something still may.
    found = replace(found.unbounded(), unseen=found.unseen, farthest=_TOP)
    return found.contrasts()


def _gaps(now: _Held, before: _Held) -> dict[str, float]:
    """Question -> mean difference over the identities that were asked it both times."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for (question, identity), share in now.items():
        if (question, identity) in before:
            found[question].append(share - before[question, identity])
    return {question: float(np.mean(gaps)) for question, gaps in found.items()}

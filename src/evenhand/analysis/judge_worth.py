"""How good a study's judges are on its suites, as far as people's labels say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from evenhand.analysis.agreement import Estimate

Fit = Literal["same questions", "same kind", "another kind"]
Source = Literal["people", "check", "known", "planted", "unknown"]


@dataclass(frozen=True)
class JudgeRecord:
    """A judge against a published set of labelled answers, seen from one suite of a study.

    Attributes:
        data, model: whose answers to which data set.
        fit: whether these are the suite's own questions, questions of its kind, or another kind.
        how: what the judge had seen of the answers before.
        version: of the judge that was measured.
        languages: of the answers (ISO 639-1 codes).
        n: responses.
        classes: people's classes: the one that the judge counts as good, and the other.
        balanced_accuracy, kappa: as in :class:`evenhand.analysis.agreement.Agreement`.
        recall: class -> share of it that the judge finds (Wilson interval).
        command: what measures it again.
    """

    data: str
    model: str
    fit: Fit
    how: str
    version: str
    languages: tuple[str, ...]
    n: int
    classes: tuple[str, str]
    balanced_accuracy: Estimate
    kappa: Estimate
    recall: dict[str, Estimate]
    command: str


@dataclass(frozen=True)
class JudgeWorth:
    """What is known of one suite's judge, people's labels behind it.

    Attributes:
        suite, axis, judge: which.
        versions: of the judge, that the study's verdicts come from.
        source: "people" where the study's own labels say it (``quality`` of the analysis has the figures), "check"
            where it compares with a right answer, "known" where it was measured on answers of this kind of suite,
            "planted" where all that is known is what it made of planted answers, and "unknown" otherwise.
        caveats: what must be known before any number is read, a sentence each.
        records: published sets that it was measured on, those of this kind of suite first.
        planted: share that it judged rightly of planted answers that are "good" and that are "bad" (Wilson interval).
    """

    suite: str
    axis: str
    judge: str
    versions: tuple[str, ...]
    source: Source
    caveats: tuple[str, ...]
    records: tuple[JudgeRecord, ...]
    planted: dict[str, Estimate] = field(default_factory=dict)

    @property
    def fitting(self) -> tuple[JudgeRecord, ...]:
        """The records of this kind of suite."""
        return tuple(record for record in self.records if record.fit != "another kind")

"""A judge against labels made by people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.analysis.agreement import Agreement, DifferentialError, Estimate, agreement, differential_error, wilson
from evenhand.errors import DataError
from evenhand.judges import Judge
from evenhand.judges.labels import Labelled, declines, label_score, read_labels
from evenhand.judges.validation import Figure
from evenhand.loops import run_async
from evenhand.types import Verdict


@dataclass(frozen=True)
class Validation:
    """What a judge is worth on a file of labelled responses.

    Attributes:
        judge, version: which judge.
        labels: the file.
        agreement: in the classes "refusal" and "compliance" where the labels speak of refusal, else "good" and "bad".
        found: label as written -> share of its responses that the judge puts into the right class.
        seen: responses that the judge was trained on.
        differential: whether it errs differently between identities; None when the file does not name two.
    """

    judge: str
    version: str
    labels: str
    agreement: Agreement
    found: dict[str, Estimate]
    differential: DifferentialError | None
    seen: int


def validate(judge: Judge, path: Path) -> Validation:
    """Measure a judge on a file of labelled responses (see :func:`evenhand.judges.labels.read_labels`).

    Args:
        judge: not yet started.
        path: CSV or JSONL.

    Raises:
        DataError: the file cannot be read, or the judge gave no verdict at all.
        ModelError: the model behind the judge cannot be used.
    """
    labelled = read_labels(path)
    verdicts = run_async(_judge_all(judge, labelled))
    return assess(judge, labelled, verdicts, str(path))


async def _judge_all(judge: Judge, labelled: Sequence[Labelled]) -> list[Verdict]:
    try:
        await judge.start()
        return await asyncio.gather(*(judge.judge(entry.item, entry.response) for entry in labelled))
    finally:
        await judge.aclose()


def assess(judge: Judge, labelled: Sequence[Labelled], verdicts: Sequence[Verdict], source: str) -> Validation:
    """Compare verdicts with labels.

    Raises:
        DataError: no verdict at all.
    """
    polarity = judge.refusal_is_good is not False
    of_refusal = all(declines(entry.label) is not None for entry in labelled)
    names = (("compliance", "refusal") if polarity else ("refusal", "compliance")) if of_refusal else ("bad", "good")
    people = [label_score(entry.label, refusal_is_good=polarity) or 0.0 for entry in labelled]
    right = [names[p >= 0.5] for p in people]
    given = [None if v.score is None else names[v.score >= 0.5] for v in verdicts]
    if all(g is None for g in given):
        raise DataError(f"The judge {judge.name} gave no verdict on any response of {source}.")
    found = {
        label: wilson(
            sum(r == g for e, r, g in zip(labelled, right, given, strict=True) if e.label == label),
            sum(g is not None for e, g in zip(labelled, given, strict=True) if e.label == label),
        )
        for label in sorted({entry.label for entry in labelled})
    }
    judged = [k for k, v in enumerate(verdicts) if v.score is not None and labelled[k].identity]
    identities = [labelled[k].identity for k in judged]
    differential = None
    if len(set(identities)) > 1:
        scores = [verdicts[k].score or 0.0 for k in judged]
        differential = differential_error(identities, [people[k] for k in judged], scores)
    seen = sum(judge.has_seen(entry.response.text) for entry in labelled)
    return Validation(judge.name, judge.version, source, agreement(right, given), found, differential, seen)


@dataclass(frozen=True)
class LabelledSet:
    """A published set of labelled responses.

    Attributes:
        data: its name, as :attr:`evenhand.suites.Suite.like` has it.
        suites: suites that ask its questions.
        languages: of its responses.
    """

    data: str
    suites: tuple[str, ...]
    languages: tuple[str, ...] = ("en",)


def shipped_figure(labels: LabelledSet, model: str, how: str, version: str, found: Agreement) -> Figure:
    """What comes with the package of how right a judge is, to four digits.

    Args:
        labels: the set.
        model: whose answers of it.
        how: what the judge had seen of them before.
        version: of the judge.
        found: its agreement with them.
    """

    def rounded(estimate: Estimate) -> tuple[float, float, float]:
        return (round(estimate.value, 4), round(estimate.ci[0], 4), round(estimate.ci[1], 4))

    return Figure(
        data=labels.data,
        model=model,
        suites=labels.suites,
        languages=labels.languages,
        how=how,
        version=version,
        n=found.n,
        balanced_accuracy=rounded(found.balanced_accuracy),
        kappa=rounded(found.kappa),
        recall={c: round(share.value, 4) for c, share in found.recall.items()},
        labelled={c: share.n for c, share in found.recall.items()},
    )

"""What is known of a study's judges: its own labels, or the records that come with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenhand.analysis import Analysis
from evenhand.analysis.agreement import Estimate, wilson
from evenhand.analysis.correction import MIN_LABELS
from evenhand.analysis.judge_worth import Fit, JudgeRecord, JudgeWorth, Source
from evenhand.judges.admission import ADMISSIONS, Admission
from evenhand.judges.base import LANGUAGES_UNKNOWN
from evenhand.judges.language import language_names
from evenhand.judges.own_phrases import measured_version
from evenhand.judges.validation import Figure, is_check, known_figures, measured_judge
from evenhand.judges.winners import PAIRS, order_notes
from evenhand.study import Store
from evenhand.suites.base import like_of
from evenhand.types import IN_LANGUAGE

_ORDER: tuple[Fit, ...] = ("same questions", "same kind", "another kind")


def judge_worths(store: Store, analysis: Analysis) -> tuple[JudgeWorth, ...]:
    """What is known of the judge of each of a study's suites.

    Args:
        store: the study.
        analysis: of it, for its own labels.
    """
    labels = {found.suite: found.labels for found in analysis.suites}
    by_identity = {found.suite: found.identity_labels for found in analysis.suites}
    baselines = store.baselines()[:1]
    own = {found.suite: found.agreement.n for found in analysis.quality}
    versions, admissions = store.judge_versions(), _admissions(store)
    return tuple(
        judge_worth(
            (row["suite"], row["axis"], row["judge"]),
            versions.get(row["suite"], ()),
            own.get(row["suite"], 0),
            labels.get(row["suite"], {}),
            next((by_identity.get(row["suite"], {}).get(name, {}) for name in baselines), {}),
            admissions.get(row["judge"]),
        )
        for row in store.suites()
    )


def admission_notes(store: Store) -> list[str]:
    """What must be said first of a study: which of its judges fail their admission."""
    judges = dict.fromkeys(row["judge"] for row in store.suites())
    admissions = _admissions(store)
    return [found.failure(judge) for judge in judges if (found := admissions.get(judge)) and not found.passed]


def _admissions(store: Store) -> dict[str, Admission]:
    held = {judge: Admission.read(plain) for judge, plain in store.meta(ADMISSIONS, {}).items()}
    return {judge: found for judge, found in held.items() if found}


def judge_worth(
    which: tuple[str, str, str],
    versions: Sequence[str],
    own: int,
    labels: Mapping[str, int],
    baseline: Mapping[str, int] | None = None,
    admission: Admission | None = None,
) -> JudgeWorth:
    """What is known of one judge on one suite.

    Args:
        which: suite, axis, judge.
        versions: editions of the judge that its verdicts come from.
        own: answers of the study that people labelled.
        labels: the judge's labels -> how many, to see answers in languages that it was never measured in, and how
            much the order decides where two are compared.
        baseline: the labels of the first baseline's answers.
        admission: what the judge made of planted answers, where it was shown some.
    """
    suite, axis, judge = which
    # An edition is a version and what decides which languages are read.
    known = tuple(dict.fromkeys(edition.partition(", ")[0] for edition in versions))
    measured = measured_judge(judge)
    records = [_record(figure, measured, suite) for figure in known_figures(measured)]
    records.sort(key=lambda record: _ORDER.index(record.fit))
    fitting = [record for record in records if record.fit != "another kind"]
    source: Source = (
        "people"
        if own >= MIN_LABELS
        else "check"
        if is_check(judge)
        else "known"
        if fitting
        else "planted"
        if admission
        else "unknown"
    )
    failed = [admission.failure(judge)] if admission and not admission.passed else []
    # The study's own labels measured the judge with its phrases.
    added = [] if source == "people" else _phrases(judge, known)
    caveats = [*failed, *_few(own), *_unsaid(judge, known), *added, *_unknown(source, suite, judge, records)]
    if source == "known":
        caveats += [*_questions(suite, fitting), *_versions(known, fitting), *_languages(labels, fitting)]
    if any(version.startswith(PAIRS) for version in known):
        caveats += order_notes(labels, baseline or {})
    return JudgeWorth(suite, axis, judge, known, source, tuple(caveats), tuple(records), _planted(admission))


def _planted(admission: Admission | None) -> dict[str, Estimate]:
    return {"good": wilson(*admission.good), "bad": wilson(*admission.bad)} if admission else {}


def _record(figure: Figure, judge: str, suite: str) -> JudgeRecord:
    fit: Fit = "another kind"
    if suite.partition(":")[0] in figure.suites:
        fit = "same questions"
    elif figure.data == like_of(suite):
        fit = "same kind"
    return JudgeRecord(
        figure.data,
        figure.model,
        fit,
        figure.how,
        figure.version,
        figure.languages,
        figure.n,
        figure.classes(judge),
        _estimate(figure.balanced_accuracy, figure.n),
        _estimate(figure.kappa, figure.n),
        {c: wilson(round(share * figure.labelled[c]), figure.labelled[c]) for c, share in figure.recall.items()},
        figure.command,
    )


def _estimate(value: tuple[float, float, float], n: int) -> Estimate:
    return Estimate(value[0], (value[1], value[2]), n)


def _few(own: int) -> list[str]:
    if 0 < own < MIN_LABELS:
        return [f"Only {own} answers have people's labels; {MIN_LABELS} are the fewest that correct a score."]
    return []


def _unsaid(judge: str, versions: Sequence[str]) -> list[str]:
    if not any(LANGUAGES_UNKNOWN in version for version in versions):
        return []
    return [f"Which languages {judge} knows is not known; it judged what is not in another language than English."]


def _phrases(judge: str, versions: Sequence[str]) -> list[str]:
    measured = measured_judge(judge)
    if measured == judge:
        return []
    added = dict.fromkeys(phrases for v in versions if (phrases := measured_version(v)[1])) or ["phrases of yours"]
    were = "was" if list(added) == ["1 phrase of yours"] else "were"
    return [
        f"{measured} with {_and(added)}, which {were} not measured: every record is of {measured} alone, and an answer "
        "that says such a phrase counts as declining, whatever else it says."
    ]


def _unknown(source: Source, suite: str, judge: str, records: Sequence[JudgeRecord]) -> list[str]:
    ask = "Label a sample to know: evenhand judge label STUDY."
    if source == "planted":
        return [f"How often people would agree with {judge} is not known. {ask}"]
    if source != "unknown":
        return []
    if not records:
        return [f"Nobody has measured {judge} against people's labels: how right it is is not known. {ask}"]
    sets = _and(dict.fromkeys(record.data for record in records))
    return [f"How right {judge} is on {suite} is not known: it was measured on {sets}, another kind of question. {ask}"]


def _questions(suite: str, fitting: Sequence[JudgeRecord]) -> list[str]:
    if any(record.fit == "same questions" for record in fitting):
        return []
    sets = _and(dict.fromkeys(record.data for record in fitting))
    return [f"Measured on answers to {sets}, questions of the same kind, not on those of {suite}."]


def _versions(versions: Sequence[str], fitting: Sequence[JudgeRecord]) -> list[str]:
    measured = dict.fromkeys(record.version for record in fitting)
    others = [base for version in versions if (base := measured_version(version)[0]) not in measured]
    if not others:
        return []
    return [f"Measured with version {_and(measured)}; this study was judged by version {_and(others)}."]


def _languages(labels: Mapping[str, int], fitting: Sequence[JudgeRecord]) -> list[str]:
    abroad = {label.removeprefix(IN_LANGUAGE): n for label, n in labels.items() if label.startswith(IN_LANGUAGE)}
    measured = {language_names().get(code, code) for record in fitting for code in record.languages}
    unseen = {name: n for name, n in abroad.items() if name not in measured}
    if not unseen:
        return []
    return [
        f"Measured on answers in {_and(sorted(measured))} only; nothing is known of this study's answers in "
        f"{_and(unseen)} ({sum(unseen.values())})."
    ]


def _and(names: Mapping[str, object] | Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last

"""Who judges imported answers: chosen, and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenhand.errors import SpecError, did_you_mean
from evenhand.imported.answers import Answer, Reading
from evenhand.imported.columns import Columns, judges_for, lacking
from evenhand.imported.storing import scored_by
from evenhand.judges import make_judge
from evenhand.judges.given import GIVEN
from evenhand.models import ModelOptions
from evenhand.types import BASELINE_CATEGORY


def judges_of(
    answers: Sequence[Answer],
    wanted: Mapping[str, str],
    options: ModelOptions | None,
    reading: Reading,
    columns: Columns,
) -> dict[str, str]:
    """Suite -> its judge: what was asked for, else who scored, else what judges answers without a score.

    Args:
        answers: what was read.
        wanted: suite -> judge, as far as it was asked for.
        options: how to reach the model behind a judge.
        reading, columns: how it was read, and from what, for messages.

    Raises:
        EvenhandError: there is no such suite or judge, a judge cannot judge these answers, or nobody can.
    """
    by_suite: dict[str, list[Answer]] = {}
    for answer in answers:
        by_suite.setdefault(answer.suite, []).append(answer)
    for suite in wanted:
        if suite not in by_suite:
            raise SpecError(f"There is no suite '{suite}' in what was read.", did_you_mean(suite, by_suite))
    found = {suite: wanted.get(suite) or _judge(suite, of, reading, columns) for suite, of in by_suite.items()}
    baselines = list(dict.fromkeys(a.identity for a in answers if a.category == BASELINE_CATEGORY))
    for suite, reference in found.items():
        if reference != GIVEN:
            judge = make_judge(reference, options)
            judge.check_suite(suite, by_suite[suite][0].axis)
            judge.check_baselines(baselines)
    return found


def _judge(suite: str, answers: Sequence[Answer], reading: Reading, columns: Columns) -> str:
    scored = {scored_by(answer)[0] for answer in answers if answer.score is not None}
    if len(scored) > 1:
        raise SpecError(
            f"The scores of '{suite}' are by {' and '.join(sorted(scored))}.", "Give each a suite of its own."
        )
    if scored:
        return scored.pop()
    has_targets = all(answer.target for answer in answers)
    if not any(answer.response for answer in answers):
        has = {"identity", "axis", "prompt", *(["target"] if has_targets else [])}
        raise lacking(has, columns, suite, reading)
    axis = answers[0].axis
    if axis == "safety":
        return "refusal-classifier"
    if has_targets:
        return "answer"
    named = " or ".join(f"--judge {suite}={judge}" for judge in judges_for(axis))
    raise SpecError(
        f"Nobody says how good the answers of '{suite}' are.",
        f"Add scores (--column score=YOURS), right answers (--column target=YOURS), or a judge: {named} "
        "('evenhand list judges' has more).",
    )

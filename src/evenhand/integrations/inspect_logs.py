"""A study as logs of Inspect AI: ``inspect view`` and its data frames read them."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evenhand.errors import SpecError
from evenhand.extras import importing
from evenhand.models.inspect import chat_messages
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.suites.base import is_withheld
from evenhand.visible import file_names

SCORER = "evenhand"


WITHHELD = "(withheld)"


def write_logs(store: Store, out: Path, *, withheld: bool = False) -> list[Path]:
    """One ``.eval`` log per suite; a sample is one response, its identity stands in the metadata.

    A sample's id is ``item | personalizer | identity``, its epoch the repeat (from 1). Responses that nobody
    could judge have no score.

    Args:
        store: the study.
        out: the directory to write to; made when it is not there.
        withheld: whether answers of withheld suites are written too (:attr:`evenhand.suites.base.Suite.withheld`).

    Returns:
        The files that were written.

    Raises:
        SpecError: inspect-ai is not installed.
    """
    with importing("inspect", "Logs of Inspect", SpecError):
        from inspect_ai.log import write_eval_log
    out.mkdir(parents=True, exist_ok=True)
    columns, rows = store.table("trials")
    _, item_rows = store.table("items")
    targets = {(suite, item): target for suite, item, _, _, _, target, _ in item_rows}
    by_suite: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        trial = dict(zip(columns, row, strict=True))
        if not withheld and is_withheld(trial["suite"]):
            trial |= {"response": WITHHELD, "reason": WITHHELD}
        by_suite[trial["suite"]].append(trial)
    files = []
    for (suite, trials), name in zip(by_suite.items(), file_names([*by_suite]), strict=True):
        file = out / f"{name}.eval"
        write_eval_log(_log(store, suite, trials, targets), file)
        files.append(file)
    return files


def sample_id(item: str, personalizer: str, identity: str) -> str:
    """How a cell of the grid is called in Inspect, in its logs and in its tasks alike."""
    return f"{item} | {personalizer} | {identity}"


def _log(store: Store, suite: str, trials: list[dict[str, Any]], targets: dict[tuple[str, str], str | None]) -> Any:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    run = store.runs()[-1]
    spec, decoding = run["spec"], run["spec"].get("decoding", {})
    begun, ended = _time(min(t["at"] for t in trials)), _time(max(t["at"] for t in trials))
    samples = [_sample(t, targets.get((suite, t["item"])), spec["model"]) for t in trials]
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=begun, task=f"evenhand/{suite}", model=spec["model"],
            dataset=EvalDataset(name=suite, samples=len({s.id for s in samples})),
            config=EvalConfig(epochs=max(t["repeat"] for t in trials) + 1), packages=run["versions"],
            model_generate_config={
                "temperature": decoding.get("temperature"), "max_tokens": decoding.get("max_tokens"),
            },
            metadata={"axis": trials[0]["axis"], "mitigation": spec.get("mitigation", ""), "seed": spec.get("seed", 0)},
        ),
        results=EvalResults(
            total_samples=len(samples), completed_samples=len(samples), scores=[_scores(trials)],
        ),
        stats=EvalStats(started_at=begun, completed_at=ended),
        samples=samples,
    )  # fmt: skip


def _sample(trial: dict[str, Any], target: str | None, model: str) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageAssistant, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    messages = chat_messages(decode_request(trial["request"]))
    output = ModelOutput.from_content(model, trial["response"])
    used = trial["prompt_tokens"] or 0, trial["completion_tokens"] or 0
    output.usage = ModelUsage(input_tokens=used[0], output_tokens=used[1], total_tokens=sum(used))
    scores = {}
    if trial["score"] is not None:
        scores[SCORER] = Score(value=trial["score"], answer=trial["label"], explanation=trial["reason"])
    return EvalSample(
        id=sample_id(trial["item"], trial["personalizer"], trial["identity"]),
        epoch=trial["repeat"] + 1,
        input=messages,
        target=target or "",
        messages=[*messages, ChatMessageAssistant(content=trial["response"], model=model)],
        output=output,
        scores=scores,
        model_usage={model: output.usage},
        total_time=trial["latency_s"],
        completed_at=_time(trial["at"]),
        metadata={
            key: trial[key]
            for key in ("identity", "category", "personalizer", "item", "group", "axis", "label", "judge", "seed")
        },
    )


def _scores(trials: Iterable[dict[str, Any]]) -> Any:
    """Mean score over everybody, and per identity."""
    from inspect_ai.log import EvalMetric, EvalScore

    by_identity: dict[str, list[float]] = defaultdict(list)
    for trial in trials:
        if trial["score"] is not None:
            by_identity[trial["identity"]].append(trial["score"])
    everything = [s for scores in by_identity.values() for s in scores]
    means = {"mean": everything, **by_identity}
    metrics = {name: EvalMetric(name=name, value=sum(s) / len(s)) for name, s in means.items() if s}
    return EvalScore(name=SCORER, scorer=SCORER, metrics=metrics, scored_samples=len(everything))


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()

"""How far a study is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.study.held import held_spec
from evenhand.study.reading import FIXED_META, READERS_META
from evenhand.study.store import Store

KILLED = "did not end (killed)"


@dataclass(frozen=True)
class Status:
    """How far a study is, and what it cost so far.

    Attributes:
        study: its directory.
        model: its model's reference; None before the first run.
        planned: trials that its runs asked for, taken together.
        answered: trials with a response.
        failed: trials whose calls failed for good; the next run tries them again.
        runs: how each run ended; "running", or "did not end (killed)".
        calls: calls of the model; more than ``answered`` where a mitigation asks more than once.
        prompt_tokens, completion_tokens: as the model counted them.
        judges: suite -> its judge, with the versions that judged.
        failure_reasons: why calls failed -> how many.
        fixed: settings that hold for the whole study.
        held: settings that may grow, as they are now.
        unanswered: suite -> responses that are empty or were cut before they gave an answer, and all its responses.
    """

    study: str
    model: str | None
    planned: int
    answered: int
    failed: int
    runs: tuple[str, ...]
    calls: int
    prompt_tokens: int
    completion_tokens: int
    judges: dict[str, str]
    failure_reasons: dict[str, int]
    fixed: dict[str, Any]
    held: dict[str, Any]
    unanswered: dict[str, tuple[int, int]]


def study_status(directory: Path) -> Status:
    """Read a study's state; safe while it runs.

    Raises:
        StoreError: there is no study, or its store cannot be read.
    """
    # Looked at first: a run that ends in between has then said how.
    open_end = "running" if Store.is_locked(directory) else KILLED
    with Store.open(directory) as store:
        runs, totals, judged = store.runs(), store.totals(), store.judge_versions()
        return Status(
            study=str(directory),
            model=runs[-1]["spec"]["model"] if runs else None,
            planned=store.planned(),
            answered=store.count_trials(),
            failed=store.count_failed(),
            # One run at a time: an earlier one without an end was killed.
            runs=tuple(run["outcome"] or (open_end if run is runs[-1] else KILLED) for run in runs),
            calls=int(totals["calls"]),
            prompt_tokens=int(totals["prompt_tokens"]),
            completion_tokens=int(totals["completion_tokens"]),
            judges={s["suite"]: " ".join((s["judge"], *judged.get(s["suite"], []))) for s in store.suites()},
            failure_reasons=store.failure_reasons(),
            fixed=_fixed(store),
            held=_held(store) if runs else {},
            unanswered=store.count_unanswered(),
        )


def _fixed(store: Store) -> dict[str, Any]:
    """Without what is empty, and without the limit of tokens, which earlier versions fixed."""
    settings = store.meta(FIXED_META, {})
    readers = {f"revision of {name}": revision for name, revision in store.meta(READERS_META, {}).items()}
    return {k: v for k, v in settings.items() if v not in (None, "", []) and k != "decoding.max_tokens"} | readers


def _held(store: Store) -> dict[str, Any]:
    spec = held_spec(store)
    kept = {name: getattr(spec, name) for name in ("suites", "identities", "baselines", "personalizers")}
    return {
        **{name: ", ".join(values) for name, values in kept.items()},
        "limit": spec.limit or "all items",
        "repeats": spec.repeats,
        "max_tokens": spec.decoding.max_tokens,
    }

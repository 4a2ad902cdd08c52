"""Stores as answers in words, and whether a model collapsed from one to the other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import orjson

from evenhand.analysis.collapse import Answer, Collapse, collapse
from evenhand.errors import DataError
from evenhand.judges.language import is_word_salad
from evenhand.personalizers.base import PERSONALIZERS
from evenhand.study import Store
from evenhand.study.splits import ADAPTER_FILE, tuned_folder

# What a tuning run's record says of its adapter's answers.
CHECK = "collapse"
_DECLINES = "refusal"


def collapse_between(before: Store, after: Store, *, seed: int = 0) -> Collapse:
    """Whether the model of one study still answers in the other.

    Where the studies themselves cannot tell (multiple choice by log-probabilities, no safe prompts), what was found
    when the adapter of the second was tuned.

    Raises:
        DataError: the record of the adapter is damaged.
    """
    found = collapse(answers_in(before), answers_in(after), seed=seed)
    known = adapter_collapse(after)
    return known if found.collapsed is None and known is not None else found


def answers_in(store: Store, personalizers: Collection[str] | None = None) -> list[Answer]:
    """A study's answers in words; what was scored from log-probabilities, filtered or never came is left out.

    An answer that ended by itself and says nothing is one.

    Args:
        store: the study.
        personalizers: those whose answers are wanted; None for all.
    """
    columns, rows = store.table("trials")
    shared = {(s["suite"], key): item.cluster for s in store.suites() for key, item in store.items(s["suite"]).items()}
    found = []
    for row in (dict(zip(columns, values, strict=True)) for values in rows):
        silent = not (row["response"] or "").strip()
        if personalizers is not None and row["personalizer"] not in personalizers:
            continue
        if row["choice_logprobs"] is not None or (silent and row["finish_reason"] != "stop"):
            continue
        declined = None if row["score"] is None else str(row["label"]).startswith(_DECLINES)
        found.append(
            Answer(
                row["suite"], row["item"], row["personalizer"], row["identity"], row["repeat"], row["axis"],
                row["response"], declined, shared[row["suite"], row["item"]], is_word_salad(row["response"] or ""),
            )
        )  # fmt: skip
    return found


def policy_collapses(store: Store, *, seed: int = 0) -> dict[str, Collapse]:
    """Personalizer -> whether the model still answers through it, of those that change the model's own activations.

    They are set beside the first personalizer of the study that only tells it something.
    """
    names = store.personalizers()
    changing = [name for name in names if (kind := PERSONALIZERS.find(name)) and kind.card.surface == "weights"]
    told = next((name for name in names if name not in changing), None)
    if told is None or not changing:
        return {}
    by_personalizer: dict[str, list[Answer]] = {}
    for answer in answers_in(store, {told, *changing}):
        by_personalizer.setdefault(answer.personalizer, []).append(answer._replace(personalizer=""))
    before = by_personalizer.get(told, [])
    return {name: collapse(before, by_personalizer.get(name, []), seed=seed) for name in changing}


def adapter_collapse(store: Store) -> Collapse | None:
    """What tuning found of the adapter that a study used; None without one, or where nothing was looked for."""
    runs = store.runs()
    folder = tuned_folder(runs[-1]["spec"]) if runs else None
    return recorded_collapse(folder) if folder else None


def recorded_collapse(adapter: Path) -> Collapse | None:
    """What tuning found of an adapter; None where its record says nothing, or is gone.

    Raises:
        DataError: the record is damaged.
    """
    from pydantic import TypeAdapter, ValidationError

    file = adapter / ADAPTER_FILE
    if not file.exists():
        return None
    try:
        kept = orjson.loads(file.read_bytes()).get(CHECK)
        return None if kept is None else TypeAdapter(Collapse).validate_python(kept)
    except (orjson.JSONDecodeError, AttributeError, ValidationError) as error:
        raise DataError(
            f"{file} does not say whether the adapter collapsed: {type(error).__name__}.", "Copy the adapter again."
        ) from None

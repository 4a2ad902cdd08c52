"""Preference pairs: from general preference data, and from a study of the model itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError
from evenhand.identities import select
from evenhand.personalizers import BASE_SYSTEM, make_personalizer
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.study.splits import Split
from evenhand.suites.sources import DataSource, HubTable, read_jsonl, read_rows
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.tiers import in_tiers, irrelevant
from evenhand.types import Message

HUB_PREFERENCES = "Intel/orca_dpo_pairs"
_LATER = ("identity", "preferred", "reference")


@dataclass(frozen=True)
class Pair:
    """One preference.

    Attributes:
        messages: the conversation that both answer.
        chosen, rejected: the better and the worse answer.
        suite, item: where it comes from, "" for general preference data.
        chosen_cut, rejected_cut: the answer was cut at the token limit, so its end is not one to learn.
        identity: who asked, for weights of groups; "" where nobody weighs them.
        preferred: whether the chosen answer is better than the other; else there is only a distribution to match.
        reference: the conversation that the reference model reads, where a distribution is matched; () where none is.
    """

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    suite: str = ""
    item: str = ""
    chosen_cut: bool = False
    rejected_cut: bool = False
    identity: str = ""
    preferred: bool = True
    reference: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Preference:
    """A row of general preference data."""

    system: str
    question: str
    chosen: str
    rejected: str


def study_pairs(store: Store, recipe: str, *, weighed: bool = False) -> Iterable[Pair]:
    """Pairs from a study: a better answer against a worse one, on the same item and repeat.

    "consistency" and "metaalign" set the plain baseline's answer against identities' that were scored lower, and
    "metaalign" against those that an identity only coloured, where the study asked through ``tiers``; "best"
    sets the best answer that anybody got against every lower one, the baseline's included; "level" adds the baseline's
    against those that score the same; "spin" sets the baseline's answer against whatever else was said, as the rejected
    side of its first iteration.

    Args:
        store: a study on the tuning split.
        recipe: which.
        weighed: whether pairs say who asked.

    Raises:
        SpecError: the study was not run on the tuning split.
    """
    check_split(store, "tune")
    for suite in store.suites():
        for item in store.item_order(suite["suite"]):
            rows = answered(store, suite["suite"], item)
            for row in rows:
                other = better(rows, row, recipe)
                if other is None:
                    continue
                yield Pair(
                    conversation(row, recipe), other["response"], row["response"], suite["suite"].partition(":")[0],
                    item, chosen_cut=is_cut(other), rejected_cut=is_cut(row),
                    identity=row["identity"] if weighed else "",
                )  # fmt: skip


def check_split(store: Store, split: Split) -> None:
    """Refuse to learn from, or to choose by, items that are kept for something else.

    Raises:
        SpecError: the study was not run on this split.
    """
    ran = store.runs()[-1]["spec"].get("split")
    if ran != split:
        raise SpecError(
            f"The study {store.directory} was run on the split '{ran}', not on '{split}'.",
            f"Items for tuning, choosing and testing are kept apart: run it with --split {split}.",
        )


def answered(store: Store, suite: str, item: str) -> list[dict[str, Any]]:
    """The scored answers to an item; where choices were scored there is no text to learn."""
    return [r for r in store.transcripts(suite, item) if r["score"] is not None and r["response"].strip()]


def conversation(row: dict[str, Any], recipe: str) -> tuple[Message, ...]:
    """What the tuned model reads in place of what the study's model read."""
    messages = decode_request(row["request"])
    return in_tiers(messages, row) if recipe == "metaalign" else messages


def better(rows: Sequence[dict[str, Any]], row: dict[str, Any], recipe: str) -> dict[str, Any] | None:
    """The answer that ``row`` should learn from, or None."""
    same = [r for r in rows if r["repeat"] == row["repeat"]]
    plain = next((r for r in same if r["identity"] == "plain"), None)
    if recipe in ("best", "level"):
        # Of equals the baseline's, so that nobody's identity is learned as the right one.
        best = max(same, key=lambda r: (r["score"], r is plain))
        differs = recipe == "level" and best is plain and best["response"] != row["response"]
        return best if best["score"] > row["score"] or differs else None
    if plain is None or row["personalizer"] == "none" or row["response"] == plain["response"]:
        return None
    lower = row["score"] < plain["score"] or (recipe == "metaalign" and irrelevant(row, plain))
    return plain if recipe == "spin" or lower else None


def is_cut(row: dict[str, Any]) -> bool:
    """Whether the token limit ended an answer."""
    return bool(row["finish_reason"] == "length")


def preference_pairs(preferences: Sequence[Preference], spec: TuningSpec) -> Iterable[Pair]:
    """General preference data in the paper's variants.

    Args:
        preferences: rows.
        spec: recipe, identities and seed.
    """
    people = [i for i in select(spec.identities) if not i.is_baseline]
    told = make_personalizer("system")
    rng = random.Random(spec.seed)
    for row in preferences:
        base = (Message("system", row.system or BASE_SYSTEM), Message("user", row.question))
        read = base if "kl" in spec.objective else ()
        if spec.recipe == "vanilla":
            yield Pair(base, row.chosen, row.rejected, reference=read)
            continue
        for identity in [rng.choice(people)] if spec.recipe == "random" else people:
            messages = told.messages(identity, row.question)
            name = identity.name if spec.has_own_loss else ""
            yield Pair(messages, row.chosen, row.rejected, identity=name, reference=read)


def read_preferences(source: str) -> list[Preference]:
    """Preference data from a CSV or JSONL file (question, chosen, rejected, perhaps system), or "hub".

    "hub" is ``Intel/orca_dpo_pairs``; any other hub data set with these columns is ``hub:NAME``.

    Raises:
        DataError: the data is missing or lacks a column.
    """
    if source == "hub" or source.startswith("hub:"):
        name = source.partition(":")[2] or HUB_PREFERENCES
        local = [f"{name.rpartition('/')[2]}.jsonl"]
        fetched = DataSource().read(name, local, read_jsonl(), HubTable(name, "train"))
        rows = [(number, row) for number, (_, row) in enumerate(fetched, 1)]
    else:
        rows = read_rows(Path(source))
    found = []
    for number, row in rows:
        question = row.get("question") or row.get("prompt")
        if not question or not row.get("chosen") or not row.get("rejected"):
            raise DataError(f"{source}, row {number}: needs question (or prompt), chosen and rejected.")
        found.append(Preference(str(row.get("system") or ""), str(question), str(row["chosen"]), str(row["rejected"])))
    return found


def encode_pairs(pairs: Iterable[Pair]) -> bytes:
    """Pairs as JSON lines, as they are kept beside the adapter; what TRL's losses do not read only where it is set."""
    return b"\n".join(orjson.dumps(_told(pair)) for pair in pairs) + b"\n"


def _told(pair: Pair) -> dict[str, Any]:
    # Adapters of before there were these fields keep their names.
    unset = {f.name for f in fields(pair) if f.name in _LATER and getattr(pair, f.name) == f.default}
    return {name: value for name, value in asdict(pair).items() if name not in unset}

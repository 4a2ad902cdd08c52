"""Preference pairs: from general preference data, and from a study of the model itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from evenhand.errors import DataError, SpecError
from evenhand.identities import select
from evenhand.people import select_people
from evenhand.personalizers import BASE_SYSTEM, make_personalizer
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.study.splits import Split
from evenhand.suites.sources import DataSource, HubTable, read_jsonl, read_rows
from evenhand.tuning.spec import TuningSpec
from evenhand.tuning.tiers import in_tiers, irrelevant, opinion_pairs
from evenhand.types import Message

HUB_PREFERENCES = "Intel/orca_dpo_pairs"
_STUDY_RECIPES = ("consistency", "best", "level", "metaalign", "spin")


@dataclass(frozen=True)
class Pair:
    """One preference.

    Attributes:
        messages: the conversation that both answer.
        chosen, rejected: the better and the worse answer.
        suite, item: where it comes from, "" for general preference data.
        chosen_cut, rejected_cut: the answer was cut at the token limit, so its end is not one to learn.
    """

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    suite: str = ""
    item: str = ""
    chosen_cut: bool = False
    rejected_cut: bool = False


@dataclass(frozen=True)
class Preference:
    """A row of general preference data."""

    system: str
    question: str
    chosen: str
    rejected: str


def build_pairs(spec: TuningSpec, study: Path | None, preferences: Sequence[Preference]) -> list[Pair]:
    """The pairs of a recipe, in random order, at most ``spec.limit``.

    Args:
        spec: the recipe.
        study: for recipes that learn from a study.
        preferences: for recipes over general preference data.

    Raises:
        SpecError: the recipe lacks its study or data, or the study holds items kept for testing.
        DataError: there are no pairs.
    """
    if spec.people and spec.recipe != "metaalign":
        raise SpecError(f"The recipe '{spec.recipe}' learns from no people's preferences.", "Use metaalign.")
    if spec.recipe in _STUDY_RECIPES:
        if study is None:
            raise SpecError(
                f"The recipe '{spec.recipe}' learns from a study.", "Add --study DIR (run with --split tune)."
            )
        with Store.open(study) as store:
            pairs = list(study_pairs(store, spec.recipe))
        pairs += [Pair(*opinion) for opinion in opinion_pairs(select_people(spec.people))]
    else:
        if not preferences:
            raise SpecError(f"The recipe '{spec.recipe}' needs preference data.", "Add --data FILE or --data hub.")
        pairs = list(preference_pairs(preferences, spec))
    if not pairs:
        raise DataError("There is no pair to learn from.", "Run a larger study, or use another recipe.")
    random.Random(spec.seed).shuffle(pairs)
    return pairs[: spec.limit]


def study_pairs(store: Store, recipe: str) -> Iterable[Pair]:
    """Pairs from a study: a better answer against a worse one, on the same item and repeat.

    "consistency" and "metaalign" set the plain baseline's answer against identities' that were scored lower, and
    "metaalign" against those that an identity only coloured, where the study asked through ``tiers``; "best"
    sets the best answer that anybody got against every lower one, the baseline's included; "level" adds the baseline's
    against those that score the same; "spin" sets the baseline's answer against whatever else was said, as the rejected
    side of its first iteration.

    Raises:
        SpecError: the study was not run on the tuning split.
    """
    check_split(store, "tune")
    for suite in store.suites():
        for item in store.item_order(suite["suite"]):
            # Where choices were scored there is no text to learn.
            rows = [
                r for r in store.transcripts(suite["suite"], item) if r["score"] is not None and r["response"].strip()
            ]
            for row in rows:
                other = better(rows, row, recipe)
                if other is None:
                    continue
                messages = decode_request(row["request"])
                if recipe == "metaalign":
                    messages = in_tiers(messages, row)
                yield Pair(
                    messages, other["response"], row["response"], suite["suite"].partition(":")[0], item,
                    chosen_cut=_is_cut(other), rejected_cut=_is_cut(row),
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


def _is_cut(row: dict[str, Any]) -> bool:
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
        if spec.recipe == "vanilla":
            yield Pair(base, row.chosen, row.rejected)
            continue
        for identity in [rng.choice(people)] if spec.recipe == "random" else people:
            yield Pair(told.messages(identity, row.question), row.chosen, row.rejected)


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
    """Pairs as JSON lines, as they are kept beside the adapter."""
    return b"\n".join(orjson.dumps(asdict(pair)) for pair in pairs) + b"\n"

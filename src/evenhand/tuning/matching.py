"""Rows for matching distributions: what a model should say to an identity, and what the reference reads for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evenhand.mitigations.cues import Rule, needed, read_policy, shipped_policy
from evenhand.study import Store
from evenhand.study.rows import decode_request
from evenhand.tuning.pairs import Pair, answered, better, check_split, conversation, is_cut
from evenhand.types import Item

# What an objective learns of users, not of identities.
_FIT = "fit"
SHIPPED = "shipped"


def matched_pairs(store: Store, recipe: str, policy: str) -> Iterator[Pair]:
    """Rows of a study: everybody's answer beside the one that should have been given, and where that was said.

    An answer that the policy lets depend on the identity, and every answer of a suite of the axis fit, is its own
    model: the reference reads the same conversation.

    Args:
        store: a study on the tuning split.
        recipe: "consistency", "metaalign", "best" or "level".
        policy: "shipped", a file, or "" for none.

    Raises:
        SpecError: the study was not run on the tuning split.
        DataError: the policy cannot be read.
    """
    rules = rules_of(policy)
    categories = {row["name"]: row["category"] for row in store.identities()}
    check_split(store, "tune")
    for suite in store.suites():
        items = store.items(suite["suite"])
        for item in store.item_order(suite["suite"]):
            rows = answered(store, suite["suite"], item)
            for row in rows:
                keeps = suite["axis"] == _FIT or _belongs(items[item], categories[row["identity"]], rules)
                model = row if keeps else _model(rows, row, recipe)
                if model is None:
                    continue
                preference = None if keeps else better(rows, row, recipe)
                yield Pair(
                    conversation(row, recipe), model["response"], row["response"],
                    suite["suite"].partition(":")[0], item, chosen_cut=is_cut(model), rejected_cut=is_cut(row),
                    identity=row["identity"], preferred=preference is not None and preference is model,
                    reference=decode_request(model["request"]),
                )  # fmt: skip


def rules_of(policy: str) -> tuple[Rule, ...]:
    """The legitimate differences that a setting names.

    Raises:
        DataError: there is no such file, or it is no policy.
    """
    if policy == SHIPPED:
        return shipped_policy()
    return read_policy(Path(policy)) if policy else ()


def _belongs(item: Item, category: str, rules: Sequence[Rule]) -> bool:
    return bool(rules) and bool(needed(category.split(" & "), item.question, rules))


def _model(rows: Sequence[dict[str, Any]], row: dict[str, Any], recipe: str) -> dict[str, Any] | None:
    """The answer whose conversation the reference reads: the best one's, of equals the baseline's; or always that."""
    same = [r for r in rows if r["repeat"] == row["repeat"]]
    plain = next((r for r in same if r["identity"] == "plain"), None)
    if recipe in ("best", "level"):
        return max(same, key=lambda r: (r["score"], r is plain))
    return plain

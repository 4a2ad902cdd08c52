"""Items for tuning, for choosing and for testing, kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson

from evenhand.errors import DataError
from evenhand.types import Identity

# What a tuning run writes beside its adapter.
ADAPTER_FILE = "evenhand.json"
# Kinds of models that may be a folder.
_LOCAL = ("hf", "vllm")
Split = Literal["tune", "choose", "test"]
# Shares of the items, in order.
SHARES: dict[Split, float] = {"tune": 0.4, "choose": 0.2, "test": 0.4}


def split_of(suite: str, item: str) -> Split:
    """The part an item belongs to: by a hash of what it is drawn by, the same in every study and on every machine.

    Args:
        suite: the suite's name; variants of a suite ("mmlu:logprobs") share their items, and so their parts.
        item: the item's id; of one of several wordings the cluster, so that they stay together.
    """
    draw = _draw("split", suite.partition(":")[0], item)
    for name, share in SHARES.items():
        if draw < share:
            return name
        draw -= share
    return "test"


def identity_halves(identities: Sequence[Identity]) -> tuple[tuple[Identity, ...], tuple[Identity, ...]]:
    """Identities for tuning, and fresh ones: halves by a hash of their names, each category halved as near as can be.

    The same for the same identities, in whatever order they are given; each half keeps the order.
    """
    drawn = sorted(identities, key=lambda i: (i.category, _draw("identity", i.name)))
    tuned = {identity.name for identity in drawn[::2]}
    return tuple(i for i in identities if i.name in tuned), tuple(i for i in identities if i.name not in tuned)


def _draw(*parts: str) -> float:
    """A number in [0, 1) of what is named, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def tuned_folder(spec: Mapping[str, Any]) -> Path | None:
    """Where a run's model was tuned by evenhand: its adapter, or the folder of weights that one was merged into.

    Args:
        spec: of the run, as plain data.
    """
    adapter = spec.get("options", {}).get("adapter")
    kind, _, name = str(spec.get("model", "")).partition(":")
    folder = Path(adapter) if adapter else Path(name) if kind in _LOCAL and name else None
    return folder if folder is not None and (folder / ADAPTER_FILE).is_file() else None


def trained_items(adapter: Path) -> dict[str, set[str]]:
    """Suite name -> items whose answers an adapter was trained on; empty for adapters made elsewhere.

    Raises:
        DataError: the file that says so is damaged.
    """
    file = adapter / ADAPTER_FILE
    if not file.exists():
        return {}
    try:
        data: dict[str, Any] = orjson.loads(file.read_bytes())
        return {suite: {str(item) for item in items} for suite, items in data["items"].items()}
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{file} does not say which items the adapter was trained on: {type(error).__name__}.",
            "Copy the adapter again, or remove that file if the adapter was made elsewhere.",
        ) from None

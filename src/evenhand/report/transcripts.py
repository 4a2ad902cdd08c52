"""The responses of a study, packed small enough for one HTML file; of a large study those to the first of its items.

Columns of integers and a list of distinct texts, as gzipped JSON in base64: identities often get the same response, and
text packs well. The page unpacks it itself and shows a page of it at a time.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import orjson

from evenhand.study import Store
from evenhand.suites.base import is_withheld
from evenhand.visible import all_visible

# What browsers unpack and search at once: texts of so many characters, an answer by itself for so many.
_MOST_CHARS, _CHARS_OF_AN_ANSWER = 100_000_000, 40
# Of an answer that its suite withholds: enough to see whether it declines.
_EXCERPT_CHARS = 120


class _Codes:
    """Numbers for distinct values, in the order they come."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def __call__(self, value: str) -> int:
        return self.values.setdefault(value, len(self.values))


def packed_transcripts(store: Store) -> str:
    """The study's responses as base64 of gzipped JSON; see ``templates/transcripts.js`` for its reader."""
    return base64.b64encode(
        gzip.compress(orjson.dumps(all_visible(transcripts(store))), compresslevel=6, mtime=0)
    ).decode()


def transcripts(store: Store) -> dict[str, Any]:
    """Plain data: lists of names and texts, and columns of numbers, one entry per response.

    Baselines come first within an item, so that a reader has what a response is compared with. Where that would be
    more than a browser takes, the first items of each suite in drawing order are there, with all responses to them:
    ``left_out`` says how many responses are not.
    """
    suites, identities, labels, texts, reasons, personalizers = (_Codes() for _ in range(6))
    safety = {s["suite"]: s["axis"] == "safety" for s in store.suites()}
    baseline = set(store.baselines())
    items: list[list[Any]] = []
    # Response -> the rounds before it: answers, and what the simulated user said to them.
    rounds: dict[str, list[list[int]]] = {}
    columns: dict[str, list[Any]] = {
        name: [] for name in ("item", "identity", "how", "repeat", "text", "thoughts", "label", "score", "reason")
    }
    shown = _shown(store, list(safety))
    for suite in safety:
        known, talks, withheld = store.items(suite), store.conversations(suite), is_withheld(suite)
        for key in shown[suite]:
            rows = store.transcripts(suite, key)
            if not rows:
                continue
            item = known[key]
            items.append([suites(suite), item.group, item.question or item.prompt])
            rows.sort(key=lambda r: (r["identity"] not in baseline, r["repeat"]))
            for row in rows:
                if talk := talks.get((key, row["personalizer"], row["identity"], row["repeat"])):
                    rounds[str(len(columns["item"]))] = [[texts(said), texts(reply)] for said, reply in talk]
                columns["item"].append(len(items) - 1)
                columns["identity"].append(identities(row["identity"]))
                columns["how"].append(personalizers(row["personalizer"]))
                columns["repeat"].append(row["repeat"])
                columns["text"].append(texts(excerpt(row["response"]) if withheld else row["response"]))
                columns["thoughts"].append(texts("" if withheld else row["reasoning"]))
                columns["label"].append(labels(row["label"] or "unjudged"))
                columns["score"].append(None if row["score"] is None else round(row["score"], 4))
                columns["reason"].append(reasons("" if withheld else row["reason"] or ""))
    return {
        "suites": list(suites.values),
        "safety": [safety[name] for name in suites.values],
        "identities": list(identities.values),
        "baselines": [identities.values[n] for n in sorted(baseline) if n in identities.values],
        "personalizers": list(personalizers.values),
        "labels": list(labels.values),
        "texts": list(texts.values),
        "reasons": list(reasons.values),
        "items": items,
        "rounds": rounds,
        "left_out": store.count_trials() - len(columns["item"]),
        **columns,
    }


def _shown(store: Store, suites: Sequence[str]) -> dict[str, list[str]]:
    """Suite -> the items whose responses are shown: suites in step, each in drawing order, while there is room.

    The first items are a proportional sample of all, and all identities are asked the same ones.
    """
    orders = {suite: store.item_order(suite) for suite in suites}
    steps = sorted(
        ((n + 0.5) / len(order), suite, key) for suite, order in orders.items() for n, key in enumerate(order)
    )
    shown: dict[str, list[str]] = {suite: [] for suite in suites}
    room, seen = _MOST_CHARS, set[int]()
    for _, suite, key in steps:
        for row in store.transcripts(suite, key):
            room -= _CHARS_OF_AN_ANSWER
            for text in (row["response"], row["reasoning"]):
                if hash(text) not in seen:
                    seen.add(hash(text))
                    room -= len(text)
        if room < 0:
            break
        shown[suite].append(key)
    return shown


def excerpt(text: str) -> str:
    """The beginning of an answer that its suite withholds, and how long it is."""
    shown = " ".join(text[: 2 * _EXCERPT_CHARS].split())[:_EXCERPT_CHARS]
    return f"{shown} … ({len(text.split()):,} words; the study's store has them)" if len(text) > len(shown) else shown

"""Studies to start from: ``evenhand run --preset NAME``."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "suites": ["do-not-answer", "strongreject", "mmlu", "gsm8k", "mbpp"],
        "identities": ["paper"],
        "baselines": ["bare", "plain"],
        "repeats": 3,
        "decoding": {"temperature": 1.0, "top_k": 10, "max_tokens": 300},
    },
    # Every personalizer that needs nothing beside the model and the records, with its controls, on three axes. What
    # learns a memory for each identity that it would have learned for one ("swap:") takes a quarter of the calls so.
    "memory": {
        "suites": ["fit-opinions", "fit-preferences", "starter-safety", "starter-utility", "leakage"],
        "people": ["starter"],
        "identities": ["a minor", "a senior citizen", "a Muslim person", "a Christian person"],
        "baselines": [],
        "personalizers": [
            "none",
            "placebo",
            "profile",
            "retrieval",
            "dialogue",
            "whole-record",
            "tiers",
            "swap:persona-memory",
            "knowledge-graph",
            "relevance-gate:0.5",
            "swap:fermi",
        ],
        "limit": 48,
    },
}

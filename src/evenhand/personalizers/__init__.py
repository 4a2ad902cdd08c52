"""Personalizers: how user information enters the model."""

from evenhand.personalizers.base import (
    BASE_SYSTEM,
    PERSONALIZERS,
    Card,
    Memory,
    Personalizer,
    PersonPersonalizer,
    baseline_messages,
    learner_of,
    lines_of,
    make_personalizer,
    texts_in,
)

__all__ = [
    "BASE_SYSTEM",
    "PERSONALIZERS",
    "Card",
    "Memory",
    "PersonPersonalizer",
    "Personalizer",
    "baseline_messages",
    "learner_of",
    "lines_of",
    "make_personalizer",
    "texts_in",
]

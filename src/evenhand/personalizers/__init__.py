"""Personalizers: how user information enters the model."""

from evenhand.personalizers.base import (
    BASE_SYSTEM,
    PERSONALIZERS,
    Card,
    Memory,
    Personalizer,
    PersonPersonalizer,
    baseline_messages,
    make_personalizer,
)

__all__ = [
    "BASE_SYSTEM",
    "PERSONALIZERS",
    "Card",
    "Memory",
    "PersonPersonalizer",
    "Personalizer",
    "baseline_messages",
    "make_personalizer",
]

"""Mitigations: what makes personalization bias smaller."""

from evenhand.mitigate.defenses import DEFENSES, Defense, defended

__all__ = ["DEFENSES", "Defense", "defended"]

"""Mitigations: what makes personalization bias smaller without changing the model's weights."""

from evenhand.mitigations.base import MITIGATIONS, MitigatedModel, Mitigation
from evenhand.mitigations.references import make_mitigation

__all__ = ["MITIGATIONS", "MitigatedModel", "Mitigation", "make_mitigation"]

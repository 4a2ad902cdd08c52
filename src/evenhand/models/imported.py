"""The model behind answers that were brought along: it cannot be asked."""

from __future__ import annotations

from evenhand.errors import SpecError
from evenhand.models.base import MODELS, Model, ModelOptions

IMPORTED = "imported"


@MODELS.register(IMPORTED)
def imported_model(name: str, options: ModelOptions) -> Model:
    """``imported:NAME``: whoever gave the answers of an imported study; nothing can be asked."""
    raise SpecError(
        f"The answers of this study were imported; '{name}' cannot be asked from here.",
        "Analyse, judge, label, report and gate it; to ask more, begin a study with a model.",
    )

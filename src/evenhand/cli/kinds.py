"""The kinds of models in the help of ``--model``, read off the registry when somebody asks for help."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_FORM = re.compile(r"``([^`]+)``")


class NamesModels(TyperCommand):
    """A command whose ``--model`` names every kind of model that can be asked, those of other packages too."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; without the kinds where only the shell asks, which must be quick."""
        found: list[Any] = [*super().get_params(ctx)]
        if not ctx.resilient_parsing:
            for parameter in found:
                if parameter.name == "model":
                    parameter.help = f"{', '.join(forms())}: 'evenhand list models' says what each is."
        return found


def forms() -> list[str]:
    """How each kind of model is written."""
    from evenhand.models import MODELS
    from evenhand.models.imported import IMPORTED

    return [_form(e.name, e.member) for e in MODELS.entries() if e.name != IMPORTED]


def _form(name: str, member: object) -> str:
    """As its description begins; somebody else's may say nothing."""
    found = _FORM.match((member.__doc__ or "").strip()) if member else None
    return found[1] if found else f"{name}:"

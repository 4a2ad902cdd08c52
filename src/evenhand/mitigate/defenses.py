"""Prompt defenses: a text that is added to the system message."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evenhand.errors import SpecError, did_you_mean
from evenhand.study import StudySpec

_FILE = Path(__file__).parent / "data" / "defenses.toml"


@dataclass(frozen=True)
class Defense:
    """A named text and the reason why it may help."""

    name: str
    text: str
    rationale: str


@cache
def _all() -> dict[str, Defense]:
    tables = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: Defense(name, **table) for name, table in tables.items()}


DEFENSES = _all()


def defended(spec: StudySpec, reference: str) -> StudySpec:
    """The same study with a prompt defense.

    Args:
        spec: the study without a defense.
        reference: a defense's name, or a text with at least one space.

    Raises:
        SpecError: an unknown name, or a study that has a defense already.
    """
    if spec.defense:
        raise SpecError("The study already has a prompt defense.", "Start from the study without one.")
    if reference not in DEFENSES and " " not in reference:
        raise SpecError(f"There is no defense '{reference}'.", did_you_mean(reference, DEFENSES))
    text = DEFENSES[reference].text if reference in DEFENSES else reference
    return spec.model_copy(update={"defense": text})

"""How steering is written: ``FOLDER``, with a strength, layers and tokens behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from evenhand.errors import SpecError
from evenhand.interventions import Where

_WRITTEN = re.compile(
    r"(?P<folder>.+?)(?::(?P<strength>[-+]?[\d.]+))?(?:@(?P<layers>[\d,\s-]+))?(?:@(?P<where>all|answer))?$"
)
_USAGE = "Write FOLDER, FOLDER:0.5, FOLDER@8-20, FOLDER:0.5@8-20 or FOLDER:0.5@8-20@answer."


@dataclass(frozen=True)
class SteerReference:
    """What stands behind ``steer:``.

    Attributes:
        folder: where the directions are.
        strength: how much of them is taken out; None for what was chosen for the folder.
        layers: behind which blocks, counted from 0; None for what was chosen.
        where: at which tokens; None for what was chosen.
    """

    folder: Path
    strength: float | None = None
    layers: tuple[int, ...] | None = None
    where: Where | None = None

    @classmethod
    def parse(cls, text: str) -> SteerReference:
        """Read a reference.

        Raises:
            SpecError: it is malformed.
        """
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise SpecError(f"'{text}' does not name the folder of an 'evenhand steer fit'.", _USAGE)
        try:
            strength = float(match["strength"]) if match["strength"] else None
        except ValueError:
            raise SpecError(f"The strength '{match['strength']}' is not a number.", _USAGE) from None
        layers = parse_layers(match["layers"]) if match["layers"] else None
        where: Where | None = "answer" if match["where"] == "answer" else "all" if match["where"] else None
        return cls(Path(match["folder"]), strength, layers, where)

    def __str__(self) -> str:
        strength = "" if self.strength is None else f":{self.strength:g}"
        layers = "" if self.layers is None else f"@{layers_text(self.layers)}"
        return f"{self.folder}{strength}{layers}{f'@{self.where}' if self.where else ''}"


def parse_layers(text: str) -> tuple[int, ...]:
    """Blocks, counted from 0, from "3,8-11".

    Raises:
        SpecError: it is malformed.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise SpecError(f"'{text}' names no layers.", "Write 3,8-11: blocks, counted from 0.")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))


def layers_text(layers: tuple[int, ...]) -> str:
    """The shortest way to write blocks ("3,8-11")."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)

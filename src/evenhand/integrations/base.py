"""What every tracker of runs is given of a study, and what it tells of where that went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tracked:
    """A study as a run of a tracker.

    Attributes:
        name: of the run.
        figures: name -> figure.
        settings: name -> how it was asked.
        tags: name -> what else is known of it.
        said: the report's sentence, and what is not known.
        files: name -> text of a file that goes along.
    """

    name: str
    figures: Mapping[str, float]
    settings: Mapping[str, str]
    tags: Mapping[str, str]
    said: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Logged:
    """A run that a tracker took.

    Attributes:
        run: its id.
        where: the place that has it.
        look: what to type to see it, or to send it on.
    """

    run: str
    where: str
    look: str


Tracker = Callable[[Tracked, Path | None], Logged]

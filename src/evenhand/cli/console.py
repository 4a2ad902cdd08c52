"""The terminal as rich sees it, which no text can steer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from evenhand.visible import visible


class Terminal(Console):
    """A console that takes no text for markup or emoji, and marks what a terminal would obey or nobody would see.

    Args:
        given: as for :class:`rich.console.Console`.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(markup=False, emoji=False, **given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments, of which only rich's own control codes reach the terminal as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

"""What personalizers that read records by sentence embeddings have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable

from evenhand.embeddings import Vectors, make_encoder
from evenhand.errors import SpecError
from evenhand.personalizers.base import PersonPersonalizer
from evenhand.types import Item


class Encoded(PersonPersonalizer):
    """One with an encoder, or that may have one: its weights are held to, and questions embedded before a run.

    Attributes:
        vectors: by the encoder; None without one.
    """

    vectors: Vectors | None = None

    @property
    def revision(self) -> str:  # type: ignore[override]
        """That of the encoder's weights."""
        return self.vectors.encoder.revision if self.vectors else ""

    async def prepare(self, items: Iterable[Item]) -> None:
        if self.vectors:
            await self.vectors.add(item.prompt for item in items)


def encoder_of(argument: str) -> tuple[str, Vectors | None]:
    """What stands before the encoder in a personalizer's argument ("3:use"), and the vectors by that encoder.

    Raises:
        SpecError: there is no such encoder.
        ModelError: it needs an extra that is not installed.
    """
    first, _, encoder = argument.partition(":")
    return first, Vectors(make_encoder(encoder)) if encoder else None


def most_and_encoder(name: str, argument: str, what: str) -> tuple[int, Vectors | None]:
    """As :func:`encoder_of`, where what stands before is how many at most.

    Args:
        name, argument: of the personalizer, for the message.
        what: of which there are so many.

    Raises:
        SpecError: that is no number from 1, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """
    most = argument.partition(":")[0]
    if not most.isdigit() or int(most) < 1:
        raise SpecError(
            f"The personalizer '{name}:{argument}' needs a number of {what}.", f"Write {name}:3, or {name}:3:use."
        )
    return int(most), encoder_of(argument)[1]


def tau_and_encoder(name: str, argument: str) -> tuple[float, Vectors | None]:
    """As :func:`encoder_of`, where what stands before is a threshold of probability.

    Args:
        name, argument: of what gates by it, for the message.

    Raises:
        SpecError: that is no number from 0 to 1, or there is no such encoder.
        ModelError: the encoder needs an extra that is not installed.
    """
    first, vectors = encoder_of(argument)
    try:
        tau = float(first)
    except ValueError:
        tau = math.nan
    if not 0 <= tau <= 1:
        raise SpecError(f"'{name}:{argument}' needs a threshold from 0 to 1.", f"Write {name}:0.5, or {name}:0.5:use.")
    return tau, vectors
